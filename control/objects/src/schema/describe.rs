//! The descriptions of types and fields, unpacked while an OpenAPI document is made and dropped with it.

use super::{Field, Type};
use std::io::Read;

const PACKED: &[u8] = include_bytes!("../../data/kubernetes-1.36.descriptions.gz");

/// The unpacked descriptions: one line for each line of the table.
#[derive(Debug)]
pub struct Descriptions {
    text: String,
    starts: Vec<usize>,
}

impl Descriptions {
    /// Unpacks them: half a megabyte, a few milliseconds.
    pub fn unpack() -> Descriptions {
        let mut text = String::new();
        // The data is part of the program and tested: what cannot be read leaves the documents without words.
        if flate2::read::GzDecoder::new(PACKED).read_to_string(&mut text).is_err() {
            text.clear();
        }
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(ends).collect();
        Descriptions { text, starts }
    }

    /// What a type is.
    pub fn of_type(&self, one: &Type) -> String {
        self.line(one.index)
    }

    /// What a field is.
    pub fn of_field(&self, field: &Field) -> String {
        self.line(field.index)
    }

    fn line(&self, index: usize) -> String {
        let range = self.starts.get(index).zip(self.starts.get(index + 1));
        let line = range.and_then(|(start, end)| self.text.get(*start..*end)).unwrap_or_default();
        unescape(line.trim_end_matches('\n'))
    }
}

fn unescape(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    text
}
