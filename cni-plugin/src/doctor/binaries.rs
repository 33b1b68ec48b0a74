//! What each type of the picked list resolves to: the first file of that name in the plugins' directories.

use super::networks::Picked;
use super::{Places, Report};
use crate::caller::find_plugin;
use crate::plugin::PERSONALITIES;
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const CHECK: &str = "binaries";
/// What every copy of our program has in it: it prints this when it is run by hand.
const MARK: &[u8] = b"a CNI plugin, run by a container runtime with CNI_COMMAND set";

pub(super) fn examine(places: &Places, picked: Option<&Picked>, report: &mut Report) {
    let Some(picked) = picked else { return };
    let mut seen = BTreeSet::new();
    for plugin in &picked.list.plugins {
        let name = plugin.plugin_type.as_str();
        let path = one(places, name, &mut seen, report);
        // Ours serves these in its own process; a reference plugin runs a program of that name.
        let inside = |other: &str| path.as_deref().is_some_and(is_ours) && PERSONALITIES.contains(&other);
        let delegate = plugin.raw.get("delegate").and_then(|block| block.get("type")).and_then(Value::as_str);
        let delegate = delegate.or((name == "flannel").then_some("bridge"));
        for other in [plugin.ipam_type.as_deref(), delegate].into_iter().flatten() {
            if !other.is_empty() && !inside(other) {
                one(places, other, &mut seen, report);
            }
        }
    }
}

/// The file of a type, if there is one; told once.
fn one(places: &Places, name: &str, seen: &mut BTreeSet<String>, report: &mut Report) -> Option<PathBuf> {
    let found = find_plugin(name, &places.bin_dirs).ok();
    if !seen.insert(name.to_owned()) {
        return found;
    }
    let Some(path) = found else {
        let dirs: Vec<String> = places.bin_dirs.iter().map(|dir| dir.display().to_string()).collect();
        let next = match PERSONALITIES.contains(&name) {
            true => format!("install weft-cni there under this name: `ln -s weft-cni {name}`"),
            false => "install the plugin of this name there".to_owned(),
        };
        report.find(CHECK, format!("plugin {name}"), format!("it is not in {}", dirs.join(":")), next);
        return None;
    };
    let executable = std::fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
    if !executable {
        let next = format!("`chmod 755 {}`", path.display());
        report.find(CHECK, path.display(), "it cannot be executed", next);
    }
    report.fact(format!("plugin {name} is {}: {}", path.display(), whose(&path)));
    Some(path)
}

fn whose(path: &Path) -> String {
    let target = std::fs::canonicalize(path).ok();
    match (is_ours(path), target) {
        (true, Some(target)) if target != path => format!("ours, a link to {}", target.display()),
        (true, _) => "ours".into(),
        (false, Some(target)) if target != path => format!("another program, {}", target.display()),
        _ => "another program".into(),
    }
}

/// Whether a type resolves to our program.
pub(super) fn resolves_to_ours(places: &Places, name: &str) -> bool {
    find_plugin(name, &places.bin_dirs).is_ok_and(|path| is_ours(&path))
}

fn is_ours(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| contains(&bytes, MARK))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
