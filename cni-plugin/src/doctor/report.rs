//! What was found, as text for people and as JSON for programs.

use crate::ipam::Key;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check found it.
    pub check: &'static str,
    /// On which object.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do next.
    pub next: String,
    /// `--fix` does it.
    pub fixable: bool,
    /// How it is fixed.
    #[serde(skip)]
    pub(super) repair: Option<Repair>,
}

/// What `--fix` does about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Repair {
    /// Deletes one of our links.
    DeleteLink { name: String, index: u32 },
    /// Frees a container's addresses.
    Release { data_dir: PathBuf, network: String, key: Key },
}

/// All that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How things are: which list, which binaries.
    pub facts: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn fact(&mut self, text: impl Into<String>) {
        self.facts.push(text.into());
    }

    /// Something for a person to mend.
    pub(super) fn find(
        &mut self,
        check: &'static str,
        object: impl fmt::Display,
        what: impl fmt::Display,
        next: impl fmt::Display,
    ) {
        self.find_repairable(check, object, what, next, None);
    }

    /// Something that `--fix` may mend.
    pub(super) fn find_repairable(
        &mut self,
        check: &'static str,
        object: impl fmt::Display,
        what: impl fmt::Display,
        next: impl fmt::Display,
        repair: Option<Repair>,
    ) {
        let (object, what, next) = (object.to_string(), what.to_string(), next.to_string());
        self.findings.push(Finding { check, object, what, next, fixable: repair.is_some(), repair });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.iter().try_for_each(|fact| writeln!(f, "{fact}"))?;
        for Finding { check, object, what, next, fixable, .. } in &self.findings {
            writeln!(f, "\n{check}: {object}: {what}\n  next: {next}")?;
            if *fixable {
                writeln!(f, "  --fix does this")?;
            }
        }
        match self.findings.len() {
            0 => writeln!(f, "\nnothing is wrong"),
            1 => writeln!(f, "\n1 finding"),
            count => writeln!(f, "\n{count} findings"),
        }
    }
}
