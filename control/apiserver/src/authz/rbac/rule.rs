//! A rule, and whether it covers a request or another rule.
//!
//! Source: `pkg/apis/rbac/v1/evaluation_helpers.go` (requests), `component-helpers/auth/rbac/validation/
//! policy_comparator.go` (rules).

use serde_json::{Map, Value, json};

/// `rbac.authorization.k8s.io/v1` `PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Which verbs; `*` for all.
    pub verbs: Vec<String>,
    /// Of which API groups.
    pub groups: Vec<String>,
    /// On what: `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<String>,
    /// On which objects; none for all.
    pub names: Vec<String>,
    /// On which paths that are no resources'.
    pub urls: Vec<String>,
}

/// What a request is after.
pub struct Wanted<'a> {
    /// The verb.
    pub verb: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The resource with its subresource.
    pub resource: &'a str,
    /// The subresource.
    pub subresource: &'a str,
    /// The object.
    pub name: &'a str,
    /// The path.
    pub path: &'a str,
    /// Whether it is after a resource, or a path.
    pub is_resource: bool,
}

fn has(list: &[String], one: &str) -> bool {
    list.iter().any(|own| own == one)
}

fn has_or_all(list: &[String], one: &str) -> bool {
    list.iter().any(|own| own == "*" || own == one)
}

fn url_covers(own: &str, wanted: &str) -> bool {
    own == "*" || own == wanted || own.strip_suffix('*').is_some_and(|start| wanted.starts_with(start))
}

/// `*/scale` covers `deployments/scale`.
fn is_any(own: &str, subresource: &str) -> bool {
    !subresource.is_empty() && own.strip_prefix("*/") == Some(subresource)
}

impl Rule {
    /// The rules of a JSON list.
    pub fn all(list: &Value) -> Vec<Rule> {
        list.as_array().into_iter().flatten().map(Rule::of).collect()
    }

    fn of(rule: &Value) -> Rule {
        let list = |key: &str| -> Vec<String> {
            let all = rule[key].as_array().into_iter().flatten();
            all.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Rule {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            urls: list("nonResourceURLs"),
        }
    }

    /// As JSON: its lists that are not empty.
    pub fn json(&self) -> Value {
        let lists = [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ];
        let mut rule = Map::new();
        for (key, list) in lists {
            if !list.is_empty() {
                rule.insert(key.to_owned(), json!(list));
            }
        }
        Value::Object(rule)
    }

    /// Whether it allows a request.
    pub fn allows(&self, wanted: &Wanted<'_>) -> bool {
        if !has_or_all(&self.verbs, wanted.verb) {
            return false;
        }
        if !wanted.is_resource {
            return self.urls.iter().any(|own| url_covers(own, wanted.path));
        }
        let resource = |own: &String| own == "*" || own == wanted.resource || is_any(own, wanted.subresource);
        has_or_all(&self.groups, wanted.group)
            && self.resources.iter().any(resource)
            && (self.names.is_empty() || has(&self.names, wanted.name))
    }

    /// Whether whoever has this rule may hand out a part of a rule (`Rule::parts`).
    pub fn covers(&self, part: &Rule) -> bool {
        let all = |own: &[String], of: &[String]| has(own, "*") || of.iter().all(|one| has(own, one));
        let resource = |one: &String| {
            let subresource = one.split_once('/').map_or("", |(_, subresource)| subresource);
            self.resources.iter().any(|own| own == "*" || own == one || is_any(own, subresource))
        };
        let names = match part.names.is_empty() {
            true => self.names.is_empty(),
            false => self.names.is_empty() || part.names.iter().all(|one| has(&self.names, one)),
        };
        all(&self.verbs, &part.verbs)
            && all(&self.groups, &part.groups)
            && part.resources.iter().all(resource)
            && part.urls.iter().all(|one| self.urls.iter().any(|own| url_covers(own, one)))
            && names
    }

    /// The rule taken apart: one verb on one thing each.
    pub fn parts(&self) -> Vec<Rule> {
        let mut parts = Vec::new();
        for verb in &self.verbs {
            let verbs = || vec![verb.clone()];
            for group in &self.groups {
                for resource in &self.resources {
                    let part = Rule {
                        verbs: verbs(),
                        groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        ..Rule::default()
                    };
                    if self.names.is_empty() {
                        parts.push(part);
                        continue;
                    }
                    let named = |name: &String| Rule { names: vec![name.clone()], ..part.clone() };
                    parts.extend(self.names.iter().map(named));
                }
            }
            let urls = self.urls.iter();
            parts.extend(urls.map(|url| Rule { verbs: verbs(), urls: vec![url.clone()], ..Rule::default() }));
        }
        parts
    }
}

/// In upstream's words: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`.
impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lists = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let lists: Vec<String> = lists.map(|(key, list)| format!("{key}:{}", quoted(list))).collect();
        write!(f, "{{{}}}", lists.join(", "))
    }
}

/// Go's `%q` of a list of strings.
pub fn quoted(list: &[String]) -> String {
    let list: Vec<String> = list.iter().map(|one| format!("{one:?}")).collect();
    format!("[{}]", list.join(" "))
}
