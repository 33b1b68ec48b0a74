//! Which files of a folder changed, by inotify(7).
//!
//! A file that is being written is not looked at: only its close tells of it. A file that was moved here is complete.
//! A new name says little (a symbolic link is complete, a file is about to be written), and so does a deleted one.

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Bytes of events read at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// How long a file that was moved away may be missing before it counts as deleted.
const REPLACE_WITHIN: Duration = Duration::from_millis(50);

/// A folder under watch.
#[derive(Debug)]
pub(super) struct Watch {
    queue: AsyncFd<OwnedFd>,
}

/// What an event tells of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is new or deleted.
    Changed,
    /// It was moved away, as editors do before they write the new version.
    MovedAway,
    /// It is written to its end.
    Complete,
}

/// What to look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The whole folder.
    pub(super) all: bool,
    /// These names, and what was last told of each.
    pub(super) names: BTreeMap<String, Told>,
    /// The folder went away, and with it the watch.
    pub(super) lost: bool,
}

impl Watch {
    /// Watches a folder. Must be called inside a tokio runtime.
    pub(super) fn new(folder: &Path) -> io::Result<Watch> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let of_files = WatchFlags::CLOSE_WRITE | WatchFlags::MOVE | WatchFlags::CREATE | WatchFlags::DELETE;
        let of_folder = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        inotify::add_watch(&queue, folder, of_files | of_folder)?;
        // SAFETY: the queue is owned by the AsyncFd from here on, and its descriptor stays open and the same until then.
        let queue = unsafe { AsyncFd::register(queue) }?;
        Ok(Watch { queue })
    }

    /// Waits for events, and adds what they tell of. Who moves a file away is given time to write another.
    pub(super) async fn wait(&self, seen: &mut Seen) {
        self.ready(seen).await;
        let replaced = async {
            while seen.names.values().any(|told| *told == Told::MovedAway) && !seen.lost {
                self.ready(seen).await;
            }
        };
        let _ = tokio::time::timeout(REPLACE_WITHIN, replaced).await;
    }

    async fn ready(&self, seen: &mut Seen) {
        let Ok(mut ready) = self.queue.readable().await else {
            seen.lost = true;
            return;
        };
        self.drain(seen);
        ready.clear_ready();
    }

    fn drain(&self, seen: &mut Seen) {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(self.queue.get_ref(), &mut buffer);
        while let Ok(event) = reader.next() {
            let flags = event.events();
            let name = event.file_name().and_then(|name| name.to_str().ok());
            seen.lost |= flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED);
            match name {
                // The way of mounted ConfigMaps: links in the folder lead through `..data`, which is replaced.
                Some(name) if !name.starts_with("..") => seen.add(name, flags),
                _ => seen.all = true,
            }
        }
    }
}

impl Seen {
    fn add(&mut self, name: &str, flags: ReadFlags) {
        // A temporary name becomes the file's: nobody waits for another under the temporary one.
        if name.starts_with('.') && flags.contains(ReadFlags::MOVED_FROM) {
            return;
        }
        let told = match self.names.get(name) {
            _ if flags.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) => Told::Complete,
            _ if flags.contains(ReadFlags::MOVED_FROM) => Told::MovedAway,
            Some(Told::MovedAway) if flags.contains(ReadFlags::CREATE) => Told::MovedAway,
            _ => Told::Changed,
        };
        self.names.insert(name.to_owned(), told);
    }
}
