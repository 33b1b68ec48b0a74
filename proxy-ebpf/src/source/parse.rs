//! A manifest file's text to objects: YAML of several documents, or JSON.
//!
//! A file is taken whole or not at all. Text that starts as a JSON object is read as JSON first, which is faster,
//! and as YAML when it is not. Where a document is broken it is decoded once more to find the field's path.

use super::Problem;
use super::item::Item;
use crate::Object;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{budget, options};
use std::collections::BTreeSet;

/// Bounds of one YAML document, far above what a cluster's manifests have: 100 million nodes, and 1 GiB of text.
const MAX_NODES: usize = 100_000_000;
const MAX_SCALAR_BYTES: usize = 1 << 30;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// Its objects, in order.
    pub objects: Vec<Object>,
    /// The kinds in it that are not used, each once.
    pub ignored: Vec<Problem>,
}

/// Reads a file's text. The name is for problems alone.
///
/// # Errors
///
/// A [`Problem::Document`] that names the first broken document.
pub fn parse(file: &str, text: &str) -> Result<Parsed, Problem> {
    let starts_as_json = text.trim_start().starts_with('{');
    let as_json = starts_as_json.then(|| json(file, text));
    let items = match as_json {
        Some(Err(_)) if !file.ends_with(".json") && !is_json(text) => yaml(file, text)?,
        Some(read) => read?,
        None => yaml(file, text)?,
    };
    let mut parsed = Parsed::default();
    let mut seen = BTreeSet::new();
    for (document, item) in items {
        sort_out(file, document, item, &mut seen, &mut parsed);
    }
    Ok(parsed)
}

fn sort_out(
    file: &str,
    document: usize,
    item: Item,
    seen: &mut BTreeSet<(String, String)>,
    parsed: &mut Parsed,
) {
    match item {
        Item::Object(object) => parsed.objects.push(object),
        Item::List(items) => items.into_iter().for_each(|item| sort_out(file, document, item, seen, parsed)),
        Item::Empty => {}
        Item::Other { api_version, kind } => {
            if seen.insert((api_version.clone(), kind.clone())) {
                parsed.ignored.push(Problem::Kind { file: file.to_owned(), document, api_version, kind });
            }
        }
    }
}

fn json(file: &str, text: &str) -> Result<Vec<(usize, Item)>, Problem> {
    let mut items = Vec::new();
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<Item>();
    let mut start = 0;
    while let Some(item) = documents.next() {
        let document = items.len() + 1;
        match item {
            Ok(item) => items.push((document, item)),
            Err(error) => {
                let path = path_of(|track| {
                    let mut again = serde_json::Deserializer::from_str(&text[start..]);
                    Item::deserialize(serde_path_to_error::Deserializer::new(&mut again, track)).is_ok()
                });
                let line = error.line() as u64;
                let reason = format!("{path}{}", without_place(&error.to_string()));
                return Err(Problem::Document { file: file.to_owned(), line, document, reason });
            }
        }
        start = documents.byte_offset();
    }
    Ok(items)
}

fn yaml(file: &str, text: &str) -> Result<Vec<(usize, Item)>, Problem> {
    let mut items = Vec::new();
    for (before, document_text) in documents(text) {
        let document = items.len() + 1;
        match serde_saphyr::from_str_with_options::<Item>(document_text, yaml_options()) {
            Ok(item) => items.push((document, item)),
            Err(error) => {
                let line = error.location().map_or(1, |at| at.line().max(1)) + before;
                let path = path_of(|track| {
                    let again = |deserializer: serde_saphyr::Deserializer<'_, '_>| {
                        Item::deserialize(serde_path_to_error::Deserializer::new(deserializer, track))
                    };
                    let options = yaml_options();
                    serde_saphyr::with_deserializer_from_str_with_options(document_text, options, again)
                        .is_ok()
                });
                let reason = format!("{path}{}", without_place(&error.render()));
                return Err(Problem::Document { file: file.to_owned(), line, document, reason });
            }
        }
    }
    Ok(items)
}

fn yaml_options() -> serde_saphyr::Options {
    options! {
        with_snippet: false,
        emit_comments: false,
        budget: budget! {
            max_events: MAX_NODES, max_nodes: MAX_NODES, max_total_scalar_bytes: MAX_SCALAR_BYTES,
        },
    }
}

/// Decodes again, and tells where it ended: the path of a field and a colon, or nothing at the top.
fn path_of(decode: impl FnOnce(&mut serde_path_to_error::Track) -> bool) -> String {
    let mut track = serde_path_to_error::Track::new();
    let decoded = decode(&mut track);
    let path = track.path().to_string();
    if decoded || matches!(path.as_str(), "." | "?") { String::new() } else { format!("{path}: ") }
}

/// A decoder's message without the line in the document, which is not that in the file, and without advice on how
/// to call the decoder.
fn without_place(message: &str) -> &str {
    let line = message.lines().next().unwrap_or_default();
    let line = line.split_once(", set DuplicateKeyPolicy").map_or(line, |(before, _)| before);
    line.rfind(" at line ").map_or(line, |at| &line[..at])
}

/// Whether text is JSON, be its objects right or wrong.
fn is_json(text: &str) -> bool {
    serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>().all(|document| document.is_ok())
}

/// The documents of a YAML stream that say something, each with the count of lines before it. A line that starts
/// with a marker cannot be inside a scalar (YAML 1.2.2, rule 206 c-forbidden), so lines tell the documents apart.
fn documents(text: &str) -> Vec<(u64, &str)> {
    let mut found = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 0, 0);
    let mut says = false;
    for (number, line) in lines(text).enumerate() {
        let ends_before = is_marker(line, "---");
        let ends_after = is_marker(line, "...");
        if ends_before {
            push(&mut found, says, start_line, &text[start..at]);
            (start, start_line) = (at, number as u64);
            says = says_something(line["---".len()..].trim_start());
        } else {
            says |= !ends_after && says_something(line);
        }
        at += line.len();
        if ends_after {
            push(&mut found, says, start_line, &text[start..at]);
            (start, start_line, says) = (at, number as u64 + 1, false);
        }
    }
    push(&mut found, says, start_line, &text[start..]);
    found
}

/// Lines with their breaks, which are LF, CR LF and CR alone (YAML 1.2.2, rule 28 b-break), as the decoder counts.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = match rest.find(['\n', '\r']) {
            Some(at) if rest[at..].starts_with("\r\n") => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        let (line, after) = rest.split_at(end);
        rest = after;
        (!line.is_empty()).then_some(line)
    })
}

fn push<'a>(found: &mut Vec<(u64, &'a str)>, says: bool, line: u64, document: &'a str) {
    if says {
        found.push((line, document));
    }
}

/// Whether a line is more than a comment or a directive.
fn says_something(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}');
    !line.starts_with('%') && !line.trim().is_empty() && !line.trim_start().starts_with('#')
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

#[cfg(test)]
mod tests;
