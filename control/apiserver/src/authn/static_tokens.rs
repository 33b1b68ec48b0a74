//! `--token-auth-file`: lines of token, user, uid and, quoted, groups.
//!
//! Source: `k8s.io/apiserver/pkg/authentication/token/tokenfile/tokenfile.go`. Tokens are kept and looked up by digest,
//! so that the time of a look-up tells nothing of a token.

use super::cache::{Key, key};
use crate::request::User;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}; each line is token,user,uid or token,user,uid,\"group1,group2\"", path.display())]
pub struct TokenFileError {
    path: PathBuf,
    problem: String,
}

/// The users of a token file.
#[derive(Default)]
pub struct StaticTokens(HashMap<Key, User>);

impl std::fmt::Debug for StaticTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StaticTokens({})", self.0.len())
    }
}

impl StaticTokens {
    /// Reads a file.
    pub fn open(path: &Path) -> Result<StaticTokens, TokenFileError> {
        let failed = |problem: String| TokenFileError { path: path.to_owned(), problem };
        let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
        StaticTokens::of(&text).map_err(failed)
    }

    /// The users of a file's text.
    pub fn of(text: &str) -> Result<StaticTokens, String> {
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let mut users = HashMap::new();
        for (number, record) in reader.records().enumerate() {
            let number = number + 1;
            let record = record.map_err(|e| e.to_string())?;
            if record.len() < 3 {
                let found = record.len();
                return Err(format!("record {number} must have at least 3 columns, found {found}"));
            }
            if record[0].is_empty() {
                return Err(format!("record {number} has an empty token"));
            }
            let groups = record.get(3).unwrap_or_default().split(',').map(str::trim);
            let groups = groups.filter(|group| !group.is_empty()).map(str::to_owned).collect();
            let user =
                User { name: record[1].to_owned(), uid: record[2].to_owned(), groups, ..User::default() };
            if users.insert(key(record[0].as_bytes()), user).is_some() {
                return Err(format!("record {number} has the token of an earlier one"));
            }
        }
        Ok(StaticTokens(users))
    }

    /// Whose token it is.
    pub fn user(&self, token: &str) -> Option<User> {
        self.0.get(&key(token.as_bytes())).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_users_with_quoted_groups() {
        let tokens = StaticTokens::of("t1,jane,u1,\"dev,ops\"\nt2,joe,u2\n").unwrap();
        assert_eq!(tokens.user("t1").unwrap().groups, ["dev", "ops"]);
        assert_eq!(tokens.user("t2").unwrap().name, "joe");
        assert!(tokens.user("t3").is_none());
        assert!(StaticTokens::of("t1,jane\n").unwrap_err().contains("found 2"));
        assert!(StaticTokens::of("t,a,b\nt,c,d\n").unwrap_err().contains("earlier"));
    }
}
