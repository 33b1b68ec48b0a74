//! Finding a network in a configuration directory, in libcni's order.
//!
//! `.conflist`, `.conf` and `.json` files, sorted by name. The default network is the first that can
//! be read, as containerd and CRI-O choose; a file that cannot be read is passed over there, and an
//! error when it is all there is. Reads each file once: cost grows with the directory.

use super::CallerError;
use crate::types::NetConfList;
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 3] = ["conflist", "conf", "json"];

/// The first valid network of a directory.
pub fn load_dir(dir: &Path) -> Result<NetConfList, CallerError> {
    let mut first_error = None;
    for path in configuration_files(dir)? {
        match load_file(&path) {
            Ok(list) => return Ok(list),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let nothing = || config_error(dir, "there is no .conflist, .conf or .json file in it");
    Err(first_error.unwrap_or_else(nothing))
}

/// The network of the given name.
pub fn load_network(dir: &Path, name: &str) -> Result<NetConfList, CallerError> {
    let mut first_error = None;
    for path in configuration_files(dir)? {
        match load_file(&path) {
            Ok(list) if list.name == name => return Ok(list),
            Ok(_) => {}
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let absent = || config_error(dir, &format!("no file in it has the name {name:?}"));
    Err(first_error.unwrap_or_else(absent))
}

fn load_file(path: &Path) -> Result<NetConfList, CallerError> {
    let text = std::fs::read_to_string(path).map_err(|e| config_error(path, &e.to_string()))?;
    NetConfList::from_text(&text).map_err(|why| config_error(path, &why))
}

fn configuration_files(dir: &Path) -> Result<Vec<PathBuf>, CallerError> {
    let entries = std::fs::read_dir(dir).map_err(|e| config_error(dir, &e.to_string()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| EXTENSIONS.iter().any(|x| e == *x)) && !path.is_dir())
        .collect();
    files.sort();
    Ok(files)
}

fn config_error(path: &Path, why: &str) -> CallerError {
    CallerError::Config { path: path.to_path_buf(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_valid_file_wins_and_names_find_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert!(load_dir(dir.path()).unwrap_err().to_string().contains("no .conflist"));
        write("00-broken.conflist", "{");
        assert!(load_dir(dir.path()).unwrap_err().to_string().contains("00-broken"));
        write("20-b.conf", r#"{"name":"b","type":"x"}"#);
        write("10-a.conflist", r#"{"name":"a","plugins":[{"type":"x"}]}"#);
        write("05-note.txt", r#"{"name":"t","type":"x"}"#);
        assert_eq!(load_dir(dir.path()).unwrap().name, "a");
        assert_eq!(load_network(dir.path(), "b").unwrap().name, "b");
        std::fs::remove_file(dir.path().join("00-broken.conflist")).unwrap();
        assert!(load_network(dir.path(), "c").unwrap_err().to_string().contains("\"c\""));
    }
}
