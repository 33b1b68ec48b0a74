//! Which list a runtime picks: the first file by name that it can read, as containerd and CRI-O do.
//!
//! Both decide by the extension how a file is read: a `.conflist` must have `plugins`, a `.conf` and a `.json` must
//! have `type`. What they cannot read they pass over, with one line in their log that nobody looks for.

use super::{Places, Report};
use crate::types::NetConfList;
use std::path::{Path, PathBuf};

const CHECK: &str = "networks";
const EXTENSIONS: [&str; 3] = ["conflist", "conf", "json"];

/// The list that is used.
pub(super) struct Picked {
    pub list: NetConfList,
    pub path: PathBuf,
}

pub(super) fn examine(places: &Places, report: &mut Report) -> Option<Picked> {
    let dir = &places.conf_dir;
    let files = match files(dir) {
        Ok(files) => files,
        Err(error) => {
            report.find(
                CHECK,
                dir.display(),
                format!("it cannot be listed: {error}"),
                "make it, and put a network's list in it",
            );
            return None;
        }
    };
    let mut picked: Option<Picked> = None;
    for path in files {
        match (read(&path), &picked) {
            (Ok(list), None) => {
                let types: Vec<&str> = list.plugins.iter().map(|p| p.plugin_type.as_str()).collect();
                report.fact(format!(
                    "network {} of {} (CNI {}): {}",
                    list.name,
                    path.display(),
                    list.version,
                    types.join(", ")
                ));
                picked = Some(Picked { list, path });
            }
            (Ok(list), Some(first)) => shadowed(&path, &list, first, report),
            (Err(why), _) => report.find(
                CHECK,
                path.display(),
                format!("it is passed over: {why}"),
                "correct it, or remove it",
            ),
        }
    }
    if picked.is_none() {
        let what = "no network that can be used is in it: pods stay in ContainerCreating, the node NotReady";
        report.find(CHECK, dir.display(), what, "write a .conflist into it; see docs/reference/weft-cni.md");
    }
    picked
}

/// Ours behind another is seldom meant; others are told.
fn shadowed(path: &Path, list: &NetConfList, first: &Picked, report: &mut Report) {
    let ours = |list: &NetConfList| list.plugins.iter().any(|plugin| plugin.plugin_type == "weft-cni");
    let what = format!("it is not used: {} is sorted before it", first.path.display());
    match ours(list) && !ours(&first.list) {
        true => {
            let next =
                format!("remove {}, or give this file a name that is sorted first", first.path.display());
            report.find(CHECK, path.display(), what, next);
        }
        false => report.fact(format!("network {} of {}: {what}", list.name, path.display())),
    }
    if list.name == first.list.name {
        let what = format!("it has the name of the network in {}", first.path.display());
        report.find(CHECK, path.display(), what, "remove the older of the two: they would share addresses");
    }
}

fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| EXTENSIONS.iter().any(|known| e == *known)))
        .collect();
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<NetConfList, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let list = NetConfList::from_text(&text)?;
    let raw: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let is_list = path.extension().is_some_and(|extension| extension == "conflist");
    match (is_list, raw.get("plugins").is_some()) {
        (true, false) => Err("a .conflist must have \"plugins\": name it .conf, or make a list of it".into()),
        (false, true) => Err("a file with \"plugins\" must be named .conflist".into()),
        _ => Ok(list),
    }
}
