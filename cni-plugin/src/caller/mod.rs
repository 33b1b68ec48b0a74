//! What a container runtime does with CNI: find a network, run its plugins in order, keep the result.
//!
//! Behaves as libcni does, so that a network works the same under this caller and under containerd:
//! the same directory order (`load`), the same environment (`exec`), the same chaining of results,
//! the same cache files (`cache`). Synchronous: one plugin runs at a time per attachment, and callers
//! that want many at once use threads. Costs one process per plugin and one small file per attachment.
//! Source: <https://github.com/containernetworking/cni/blob/spec-v1.1.0/SPEC.md>, sections 3 and 4.

mod base64;
mod cache;
mod exec;
mod load;

pub use cache::{Cache, CachedAttachment};
pub use exec::{find_plugin, plugin_environment, run_plugin};
pub use load::{load_dir, load_network};

use crate::types::{Attachment as Key, CniError, CniResult, NetConf, NetConfList, VersionInfo};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A network as it is handed to the caller.
pub type NetworkList = NetConfList;

/// One interface of one container on one network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attachment {
    /// The container's id.
    pub container_id: String,
    /// The path of its network namespace; may be empty on DEL.
    pub netns: String,
    /// The interface's name in the container.
    pub ifname: String,
    /// CNI_ARGS, as key and value.
    pub args: Vec<(String, String)>,
    /// Values by capability; a plugin receives those that it declares, in `runtimeConfig`.
    pub capability_args: Map<String, Value>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// A configuration file or directory could not be read.
    #[error("cannot use the CNI configuration {path}: {why}; correct or remove the file")]
    Config {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No plugin of this name exists.
    #[error("no CNI plugin {name:?} in {searched}; install it there")]
    NoPlugin {
        /// The `type` of the configuration.
        name: String,
        /// The directories, joined by ':'.
        searched: String,
    },
    /// The plugin could not be started, or did not speak CNI.
    #[error("CNI plugin {path} failed on {command} outside the protocol: {why}")]
    Run {
        /// The executable.
        path: PathBuf,
        /// CNI_COMMAND.
        command: &'static str,
        /// What happened, with its standard error.
        why: String,
    },
    /// The plugin answered with an error.
    #[error("CNI plugin {name:?} refused {command}: {error}")]
    Plugin {
        /// The `type` of the configuration.
        name: String,
        /// CNI_COMMAND.
        command: &'static str,
        /// Its answer.
        error: CniError,
    },
    /// The cache could not be written or read.
    #[error("CNI result cache {path}: {why}")]
    Cache {
        /// The file.
        path: PathBuf,
        /// What happened.
        why: String,
    },
    /// The attachment or the network lacks something for this command.
    #[error("cannot call {command}: {why}")]
    Unusable {
        /// CNI_COMMAND.
        command: &'static str,
        /// What is missing.
        why: String,
    },
    /// Several plugins failed in a command that goes on past failures.
    #[error("{} failures: {}", .0.len(), .0.iter().map(|e| e.to_string()).collect::<Vec<_>>().join("; "))]
    Several(Vec<CallerError>),
}

impl CallerError {
    /// The plugin's own error, if it answered with one.
    pub fn plugin_error(&self) -> Option<&CniError> {
        match self {
            CallerError::Plugin { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// A caller of CNI plugins: where configurations, plugins and results are.
#[derive(Debug, Clone)]
pub struct Caller {
    conf_dir: PathBuf,
    bin_dirs: Vec<PathBuf>,
    cache: Cache,
}

impl Caller {
    /// Usually `/etc/cni/net.d`, `[/opt/cni/bin]` and `/var/lib/cni`.
    pub fn new(
        conf_dir: impl Into<PathBuf>,
        bin_dirs: impl IntoIterator<Item = impl Into<PathBuf>>,
        cache_dir: impl Into<PathBuf>,
    ) -> Self {
        Caller {
            conf_dir: conf_dir.into(),
            bin_dirs: bin_dirs.into_iter().map(Into::into).collect(),
            cache: Cache::new(cache_dir.into()),
        }
    }

    /// The results of earlier ADDs.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The network that a kubelet's runtime would use: the first valid file in lexical order.
    pub fn default_network(&self) -> Result<NetworkList, CallerError> {
        load_dir(&self.conf_dir)
    }

    /// The network of the given name.
    pub fn network(&self, name: &str) -> Result<NetworkList, CallerError> {
        load_network(&self.conf_dir, name)
    }

    /// ADD: runs every plugin in order, each given the result of the one before, and caches the last.
    pub fn add(&self, network: &NetworkList, attachment: &Attachment) -> Result<CniResult, CallerError> {
        validate("ADD", attachment)?;
        let mut result: Option<Value> = None;
        for plugin in &network.plugins {
            let config = plugin_config(network, plugin, result.as_ref(), attachment);
            result = self.run("ADD", plugin, &config, Some(attachment))?;
        }
        let raw = result.ok_or_else(|| CallerError::Unusable {
            command: "ADD",
            why: format!("network {:?} printed no result", network.name),
        })?;
        let parsed = CniResult::from_value(&raw)
            .map_err(|e| CallerError::Unusable { command: "ADD", why: e.to_string() })?;
        self.cache.store(network, attachment, &raw)?;
        Ok(parsed)
    }

    /// CHECK: every plugin compares what it made with what is there. Nothing to do below 0.4.0.
    pub fn check(&self, network: &NetworkList, attachment: &Attachment) -> Result<(), CallerError> {
        validate("CHECK", attachment)?;
        if network.disable_check {
            return Ok(());
        }
        if !network.version.has_check() {
            let why =
                format!("network {:?} is of CNI {}, CHECK came with 0.4.0", network.name, network.version);
            return Err(CallerError::Unusable { command: "CHECK", why });
        }
        let previous = self.cache.result(&network.name, attachment)?;
        for plugin in &network.plugins {
            let config = plugin_config(network, plugin, previous.as_ref(), attachment);
            self.run("CHECK", plugin, &config, Some(attachment))?;
        }
        Ok(())
    }

    /// DEL: every plugin in reverse order; the cached result goes when all succeeded.
    pub fn del(&self, network: &NetworkList, attachment: &Attachment) -> Result<(), CallerError> {
        validate("DEL", attachment)?;
        // A cache file that cannot be read must not keep the container from going away.
        let previous = match network.version.has_check() {
            true => self.cache.result(&network.name, attachment).unwrap_or(None),
            false => None,
        };
        let mut failures = Vec::new();
        for plugin in network.plugins.iter().rev() {
            let config = plugin_config(network, plugin, previous.as_ref(), attachment);
            failures.extend(self.run("DEL", plugin, &config, Some(attachment)).err());
        }
        if failures.is_empty() {
            self.cache.remove(&network.name, attachment)?;
        }
        one_error(failures)
    }

    /// GC: DEL for every cached attachment that is not in `valid`, then the plugins' own GC (from 1.1.0).
    pub fn gc(&self, network: &NetworkList, valid: &[Key]) -> Result<(), CallerError> {
        if network.disable_gc {
            return Ok(());
        }
        let mut failures = Vec::new();
        for cached in self.cache.attachments()? {
            let key = Key {
                container_id: cached.attachment.container_id.clone(),
                ifname: cached.attachment.ifname.clone(),
            };
            if cached.network == network.name && !valid.contains(&key) {
                failures.extend(self.del(network, &cached.attachment).err());
            }
        }
        if network.version.has_gc_and_status() {
            for plugin in &network.plugins {
                let mut config = shared_config(network, plugin);
                config.insert("cni.dev/valid-attachments".into(), serde_json::json!(valid));
                failures.extend(self.run("GC", plugin, &config, None).err());
            }
        }
        one_error(failures)
    }

    /// STATUS: whether an ADD would be served now. Nothing to ask below 1.1.0.
    pub fn status(&self, network: &NetworkList) -> Result<(), CallerError> {
        if network.version.has_gc_and_status() {
            for plugin in &network.plugins {
                self.run("STATUS", plugin, &shared_config(network, plugin), None)?;
            }
        }
        Ok(())
    }

    /// VERSION of one plugin, by its `type`.
    pub fn version(&self, plugin_type: &str) -> Result<VersionInfo, CallerError> {
        let path = find_plugin(plugin_type, &self.bin_dirs)?;
        let config = Map::from_iter([("cniVersion".to_string(), Value::from("1.1.0"))]);
        let environment = plugin_environment("VERSION", None, &self.bin_dirs);
        let answer = run_plugin(&path, plugin_type, "VERSION", &environment, &config)?;
        let fail = |why: String| CallerError::Run { path: path.clone(), command: "VERSION", why };
        let answer = answer.ok_or_else(|| fail("it printed nothing".into()))?;
        serde_json::from_value(answer).map_err(|e| fail(e.to_string()))
    }

    fn run(
        &self,
        command: &'static str,
        plugin: &NetConf,
        config: &Map<String, Value>,
        attachment: Option<&Attachment>,
    ) -> Result<Option<Value>, CallerError> {
        let path = find_plugin(&plugin.plugin_type, &self.bin_dirs)?;
        let environment = plugin_environment(command, attachment, &self.bin_dirs);
        run_plugin(&path, &plugin.plugin_type, command, &environment, config)
    }
}

/// A plugin's object with the keys that the list decides.
fn shared_config(network: &NetworkList, plugin: &NetConf) -> Map<String, Value> {
    let mut config = plugin.raw.clone();
    config.insert("name".into(), network.name.as_str().into());
    config.insert("cniVersion".into(), network.version.as_str().into());
    config
}

/// The same with the result so far and with what the plugin's capabilities ask for.
fn plugin_config(
    network: &NetworkList,
    plugin: &NetConf,
    previous: Option<&Value>,
    attachment: &Attachment,
) -> Map<String, Value> {
    let mut config = shared_config(network, plugin);
    if let Some(previous) = previous {
        config.insert("prevResult".into(), previous.clone());
    }
    let wanted = plugin.capabilities.iter().filter(|(_, on)| **on);
    let runtime: Map<String, Value> =
        wanted.filter_map(|(k, _)| Some((k.clone(), attachment.capability_args.get(k)?.clone()))).collect();
    if !runtime.is_empty() {
        config.insert("runtimeConfig".into(), runtime.into());
    }
    config
}

fn validate(command: &'static str, attachment: &Attachment) -> Result<(), CallerError> {
    let why = if !crate::types::name_is_valid(&attachment.container_id) {
        format!("container id {:?} must be letters, digits, '.', '_' and '-'", attachment.container_id)
    } else if !ifname_is_valid(&attachment.ifname) {
        format!(
            "interface name {:?} must have 1 to 15 characters without '/', ':' and spaces",
            attachment.ifname
        )
    } else {
        return Ok(());
    };
    Err(CallerError::Unusable { command, why })
}

/// What the kernel and the specification accept as a link's name.
pub(crate) fn ifname_is_valid(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c == '\0')
}

fn one_error(mut failures: Vec<CallerError>) -> Result<(), CallerError> {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        _ => Err(CallerError::Several(failures)),
    }
}

/// The default places, as most runtimes have them.
impl Default for Caller {
    fn default() -> Self {
        Caller::new("/etc/cni/net.d", [Path::new("/opt/cni/bin")], "/var/lib/cni")
    }
}

#[cfg(test)]
#[path = "caller_tests.rs"]
mod tests;
