//! Reads the protobuf numbers out of the sources of the crate k8s-pb: its `#[prost(.., tag = "N")]` lines.
//!
//! Names are compared without case and underscores, since prost's naming (`cluster_i_ps`) cannot be undone.

use std::collections::HashMap;
use std::io;
use std::path::Path;

/// A field as protobuf has it.
#[derive(Clone, Debug)]
pub struct WireField {
    /// The name, lower case and without underscores.
    pub name: String,
    /// The number.
    pub tag: u32,
    /// The last word of the message's type, lower case, where it is one message.
    pub message: Option<String>,
}

/// The messages by lower-case name (`io.k8s.api.core.v1.pod`).
pub type Messages = HashMap<String, Vec<WireField>>;

/// Reads the crate's folder `src`.
pub fn read(source: &Path) -> io::Result<Messages> {
    let mut messages = Messages::new();
    let mut folders = vec![(source.to_path_buf(), String::from("io.k8s"))];
    while let Some((folder, module)) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), format!("{module}.{name}")));
            } else if name == "mod.rs" {
                read_module(&std::fs::read_to_string(entry.path())?, &module, &mut messages);
            }
        }
    }
    Ok(messages)
}

/// `r#type` and `cluster_i_ps` as names that compare.
pub fn plain(name: &str) -> String {
    name.trim_start_matches("r#").replace('_', "").to_lowercase()
}

fn read_module(text: &str, module: &str, messages: &mut Messages) {
    let mut message = None;
    let mut attribute = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("pub struct ") {
            let full = format!("{module}.{}", name.trim_end_matches(['{', ' ', ';', '}'])).to_lowercase();
            messages.insert(full.clone(), Vec::new());
            message = Some(full);
        } else if line.starts_with('}') {
            message = None;
        }
        let (Some(full), line) = (&message, line.trim()) else { continue };
        if let Some(rest) = line.strip_prefix("#[prost(") {
            attribute = tag(rest).map(|tag| (tag, rest.starts_with("message, optional")));
        } else if let Some(rest) = line.strip_prefix("pub ")
            && let Some((tag, one)) = attribute.take()
        {
            let (name, kind) = rest.split_once(':').unwrap_or((rest, ""));
            let last = kind.rsplit(['<', ':']).next().unwrap_or("").trim_end_matches(['>', ',']);
            let message = one.then(|| plain(last));
            if let Some(fields) = messages.get_mut(full) {
                fields.push(WireField { name: plain(name), tag, message });
            }
        }
    }
}

fn tag(attribute: &str) -> Option<u32> {
    attribute.split_once("tag = \"")?.1.split_once('"')?.0.parse().ok()
}
