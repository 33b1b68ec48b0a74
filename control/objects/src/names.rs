//! What names, labels and keys may look like, with upstream's messages.
//!
//! Each function answers with what is wrong, nothing if it is right. Source:
//! `k8s.io/apimachinery/pkg/util/validation/validation.go`. Matching is by hand: the forms are simple, and a message
//! tells the pattern.

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// What is wrong with a text.
pub type Wrong = Vec<String>;

/// Upstream's text for a pattern that does not match.
pub fn pattern(text: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{text} (regex used for validation is '{pattern}')");
    }
    let examples: Vec<String> = examples.iter().map(|one| format!("'{one}', ")).collect();
    format!("{text} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

/// Upstream's text for what is too long.
pub fn too_long(most: usize) -> String {
    format!("must be no more than {most} bytes")
}

fn lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// `first` at both ends, `middle` or `first` between.
fn framed(text: &str, first: impl Fn(u8) -> bool, middle: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last()).is_some_and(|(head, tail)| first(*head) && first(*tail));
    ends && bytes.iter().all(|byte| first(*byte) || middle.contains(byte))
}

/// A DNS label: what a namespace's name is.
pub fn dns1123_label(text: &str) -> Wrong {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    if !framed(text, lower_alphanumeric, b"-") {
        let says = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
        wrong.push(pattern(says, LABEL, &["my-name", "123-abc"]));
    }
    wrong
}

/// DNS labels with dots between: what most names are.
pub fn dns1123_subdomain(text: &str) -> Wrong {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    if !text.split('.').all(|label| framed(label, lower_alphanumeric, b"-")) {
        let says = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
        wrong.push(pattern(says, &format!("{LABEL}(\\.{LABEL})*"), &["example.com"]));
    }
    wrong
}

/// A DNS label that starts with a letter: what a service's name is.
pub fn dns1035_label(text: &str) -> Wrong {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    let letter = text.starts_with(|char: char| char.is_ascii_lowercase());
    if !letter || !framed(text, lower_alphanumeric, b"-") {
        let says = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
        wrong.push(pattern(says, DNS_1035, &["my-name", "abc-123"]));
    }
    wrong
}

/// A subdomain behind `*.`: a host of an ingress.
pub fn wildcard_subdomain(text: &str) -> Wrong {
    let inner = text.strip_prefix("*.").unwrap_or_default();
    if dns1123_subdomain(inner).is_empty() {
        return Vec::new();
    }
    let says = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
    vec![pattern(says, &format!("\\*\\.{LABEL}(\\.{LABEL})*"), &["*.example.com"])]
}

/// A label's or annotation's key, a finalizer, a condition's type: a name, with a domain in front or not.
pub fn qualified_name(text: &str) -> Wrong {
    let mut wrong = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".into());
            } else {
                wrong.extend(dns1123_subdomain(prefix).iter().map(|text| format!("prefix part {text}")));
            }
            *name
        }
        _ => {
            let says = pattern(QUALIFIED_TEXT, QUALIFIED, &["MyName", "my.name", "123-abc"]);
            return vec![format!(
                "a qualified name {says} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        wrong.push(format!("name part {}", too_long(63)));
    }
    if !framed(name, |byte| byte.is_ascii_alphanumeric(), b"-_.") {
        wrong.push(format!(
            "name part {}",
            pattern(QUALIFIED_TEXT, QUALIFIED, &["MyName", "my.name", "123-abc"])
        ));
    }
    wrong
}

/// A label's value.
pub fn label_value(text: &str) -> Wrong {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    if !text.is_empty() && !framed(text, |byte| byte.is_ascii_alphanumeric(), b"-_.") {
        let says = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
        wrong.push(pattern(
            says,
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    wrong
}

/// A name that is only not to break a path: roles, for example.
pub fn path_segment(text: &str) -> Wrong {
    match text {
        "." | ".." => vec![format!("may not be '{text}'")],
        _ => ["/", "%"]
            .iter()
            .filter(|part| text.contains(**part))
            .map(|part| format!("may not contain '{part}'"))
            .collect(),
    }
}

/// A key of a config map or a secret.
pub fn config_key(text: &str) -> Wrong {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if text.is_empty() || !text.bytes().all(fits) {
        let says = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        wrong.push(pattern(says, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    wrong.extend(not_upwards(text));
    wrong
}

fn not_upwards(text: &str) -> Option<String> {
    match text {
        "." | ".." => Some(format!("must not be '{text}'")),
        _ if text.starts_with("..") => Some("must not start with '..'".into()),
        _ => None,
    }
}

/// The name of an environment variable.
pub fn environment_variable(text: &str) -> Wrong {
    if text.is_empty() {
        return vec!["environment variable name must be non-empty".into()];
    }
    if text.bytes().any(|byte| byte == b'=' || !(b' '..=b'~').contains(&byte)) {
        return vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".into()];
    }
    Vec::new()
}

/// The name of a port: an IANA service name.
pub fn port_name(text: &str) -> Wrong {
    let mut wrong = Vec::new();
    if text.len() > 15 {
        wrong.push(too_long(15));
    }
    if text.is_empty() || !text.bytes().all(|byte| lower_alphanumeric(byte) || byte == b'-') {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".into());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".into());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".into());
    }
    wrong
}

/// The number of a port.
pub fn port_number(port: i64) -> Wrong {
    if (1..=65535).contains(&port) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".into()]
    }
}

/// An IP address.
pub fn ip(text: &str) -> Wrong {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Vec::new();
    }
    vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()]
}

/// A network.
pub fn cidr(text: &str) -> Wrong {
    if prefix(text).is_some() {
        return Vec::new();
    }
    vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".into()]
}

/// The address and the length of a network.
pub fn prefix(text: &str) -> Option<(std::net::IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: std::net::IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|length| digits && *length <= most)?;
    Some((address, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_upstreams() {
        assert_eq!(
            dns1123_label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(
            dns1123_subdomain("a..b"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
    }

    /// Cases of validation_test.go.
    #[test]
    fn what_is_right_and_wrong() {
        for name in ["a", "a-1", "0-0", &"a".repeat(63)] {
            assert!(dns1123_label(name).is_empty(), "{name}");
        }
        for name in ["", "-", "a.b", "A", "a_b", "a-", &"a".repeat(64), "é"] {
            assert!(!dns1123_label(name).is_empty(), "{name}");
        }
        assert!(dns1035_label("a1").is_empty() && !dns1035_label("1a").is_empty());
        assert!(dns1123_subdomain("a.b-c.1").is_empty() && !dns1123_subdomain("a.").is_empty());
        assert!(!dns1123_subdomain(&["a"; 128].join(".")).is_empty());
        for name in [
            "simple",
            "now-with-dashes",
            "1-starts-with-num",
            "a/b",
            "domain.io/Name_x.1",
            "UppercaseIsOK123",
        ] {
            assert!(qualified_name(name).is_empty(), "{name}");
        }
        for name in ["", "nospecialchars%^=@", "a/b/c", "/x", "Domain.io/x", "a/", "-x", &"a".repeat(64)] {
            assert!(!qualified_name(name).is_empty(), "{name}");
        }
        assert!(
            label_value("").is_empty() && label_value("a_b.C").is_empty() && !label_value("a b").is_empty()
        );
        assert!(
            config_key("a.b_C-1").is_empty()
                && !config_key("..a").is_empty()
                && !config_key("a/b").is_empty()
        );
        assert!(
            port_name("http-2").is_empty() && !port_name("a--b").is_empty() && !port_name("80").is_empty()
        );
        assert!(wildcard_subdomain("*.a.b").is_empty() && !wildcard_subdomain("*.").is_empty());
        assert!(
            cidr("10.0.0.0/8").is_empty()
                && !cidr("10.0.0.0/33").is_empty()
                && !cidr("10.0.0.0/+8").is_empty()
        );
        assert!(path_segment("system:admin").is_empty() && path_segment("a/b%").len() == 2);
    }
}
