//! The wall clock of one program, by libfaketime: it is stepped by what a file says.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A clock that a test steps.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// One that goes right, and says so in a folder.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn within(folder: &Path) -> Clock {
        let clock = Clock { file: folder.join("clock") };
        fs::write(&clock.file, "+0").expect("a file");
        clock
    }

    /// The variables of a program that has this clock; its monotonic one goes right.
    ///
    /// # Panics
    /// When libfaketime is not there.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        // Debian's multiarch folders.
        let folders = fs::read_dir("/usr/lib").expect("a folder").flatten();
        let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        let library = found.find(|path| path.is_file()).expect("libfaketime is there: `cargo xtask setup`");
        [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// Steps it, by for example `+400d` from the right time.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn step(&self, to: &str) {
        fs::write(&self.file, to).expect("a file");
        // It looks at the file again every so often.
        std::thread::sleep(Duration::from_millis(300));
    }
}

impl Drop for Clock {
    /// A program that was killed has left its clock's shared memory.
    fn drop(&mut self) {
        let left = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        for file in left.map(|file| file.path()) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let of = ["faketime_shm_", "sem.faketime_sem_"].iter().find_map(|of| name.strip_prefix(of));
            if of.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                // Another test may have been faster.
                drop(fs::remove_file(file));
            }
        }
    }
}
