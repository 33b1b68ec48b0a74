//! Files of keys: whole or not there, and readable for nobody else.

use super::PkiError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The mode of a key.
pub const PRIVATE: u32 = 0o600;
/// The mode of what everybody may know.
pub const PUBLIC: u32 = 0o644;

/// Writes a file of mode 0600, whole or not at all: over an earlier one by rename.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    replace(path, text, PRIVATE)
}

/// Writes a file, over an earlier one by rename.
pub fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let beside = written_beside(path, text, mode)?;
    fs::rename(&beside, path).inspect_err(|_| drop(fs::remove_file(&beside)))?;
    sync_folder(path)
}

/// Writes a file unless it is there; what is there then may be another process's.
pub fn create(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let beside = written_beside(path, text, mode)?;
    // A link, where a rename would overwrite what another process has just made and handed out.
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    match linked {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
        Ok(()) => sync_folder(path),
    }
}

/// Makes the folder, for its owner only.
pub fn folder(path: &Path) -> Result<(), PkiError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| PkiError::File { path: path.to_owned(), source })
}

/// The text of a file; `None` if there is none.
pub fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PkiError::File { path: path.to_owned(), source }),
    }
}

fn written_beside(path: &Path, text: &str, mode: u32) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}", rand::random::<u64>()));
    let beside = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.inspect_err(|_| drop(fs::remove_file(&beside)))?;
    Ok(beside)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_there_is_kept_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, "first", PRIVATE).unwrap();
        create(&path, "second", PRIVATE).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("first"));
        write_private(&path, "third").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("third"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
