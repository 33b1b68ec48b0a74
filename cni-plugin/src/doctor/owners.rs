//! Which attachments still live, as far as the node can tell.
//!
//! | evidence | says |
//! | --- | --- |
//! | a result of libcni's (`results/…`), and its namespace is there | it lives |
//! | the same, and the namespace is gone | it is gone |
//! | a pod of containerd's (`sandboxes/<id>`) | its runtime will still call DEL |
//! | an address reserved a moment ago | its ADD may be under way |
//! | none of these | nobody knows of it: the results may be lost |
//! | older than the last boot | it is gone |

use super::networks::Picked;
use super::{Places, Report, reservations};
use crate::caller::{Cache, CachedAttachment};
use netstate::{Link, NetNs};
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What became of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Alive,
    /// Surely gone, and why.
    Gone(String),
    /// Nothing knows of it.
    Unknown,
}

/// What tells of attachments.
pub(super) struct Owners {
    cached: Vec<CachedAttachment>,
    sandboxes: HashSet<String>,
    aliases: HashSet<String>,
    young: HashSet<(String, String)>,
    boot: Option<SystemTime>,
}

impl Owners {
    pub fn read(places: &Places, picked: Option<&Picked>, links: &[Link], report: &mut Report) -> Self {
        let cached = Cache::new(places.cache_dir.clone()).attachments().unwrap_or_else(|error| {
            report.find("owners", places.cache_dir.display(), error, "run it as root on the node itself");
            Vec::new()
        });
        let names = std::fs::read_dir(&places.sandboxes).into_iter().flatten();
        let sandboxes = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        let aliases = links.iter().filter_map(|link| link.alias.clone()).collect();
        let young = reservations::young(places, picked);
        Owners { cached, sandboxes, aliases, young, boot: boot_time(&places.stat) }
    }

    /// What became of an attachment; one without an interface's name is any of the container's.
    pub fn fate(&self, network: &str, container_id: &str, ifname: &str) -> Fate {
        let is_it = |cached: &&CachedAttachment| {
            let attachment = &cached.attachment;
            cached.network == network
                && attachment.container_id == container_id
                && (ifname.is_empty() || attachment.ifname == ifname)
        };
        let namespaces: Vec<&str> =
            self.cached.iter().filter(is_it).map(|cached| cached.attachment.netns.as_str()).collect();
        let lives = |path: &&str| !path.is_empty() && NetNs::open(Path::new(path)).is_ok();
        if self.sandboxes.contains(container_id) || namespaces.iter().any(lives) {
            return Fate::Alive;
        }
        match namespaces.iter().find(|path| !path.is_empty()) {
            Some(path) => Fate::Gone(format!("its network namespace {path} is gone")),
            None if self.young.contains(&(network.to_owned(), container_id.to_owned())) => Fate::Alive,
            None => Fate::Unknown,
        }
    }

    /// Whether one of our links is this attachment's.
    pub fn has_link(&self, network: &str, container_id: &str, ifname: &str) -> bool {
        self.aliases.contains(&netstate::owned_alias("cni", &format!("{network}/{container_id}/{ifname}")))
    }

    /// Whether something of that time was made before the node booted.
    pub fn before_boot(&self, time: SystemTime) -> bool {
        self.boot.is_some_and(|boot| time < boot)
    }
}

/// `btime` of /proc/stat.
fn boot_time(stat: &Path) -> Option<SystemTime> {
    let stat = std::fs::read_to_string(stat).ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// How long ago that was, in the largest unit that fits.
pub(super) fn age(time: SystemTime) -> String {
    let seconds = time.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
