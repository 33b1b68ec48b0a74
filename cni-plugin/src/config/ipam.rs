//! The `ipam` block: host-local's own form, the node's subnet, another plugin, or none.
//!
//! | configuration | meaning |
//! | --- | --- |
//! | no `ipam` | the node's subnet from `subnetFile` |
//! | `"ipam": {}` | none: the container gets a link and no address |
//! | `"type": "host-local"` with a subnet or ranges | those |
//! | `"type": "host-local"` without, and `subnetFile` is set | the node's subnet, with this block's routes and dataDir |
//! | any other `type` | that plugin of CNI_PATH is run |

use super::{DATA_DIR, SUBNET_FILE, invalid};
use crate::ipam::{Range, RangeSet};
use crate::types::{CniError, Route};
use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::path::PathBuf;

/// Where addresses come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Ipam {
    /// Nowhere: a link without addresses.
    None,
    /// Our own implementation of host-local.
    HostLocal(HostLocal),
    /// The plugin of this name.
    Delegated(String),
}

/// An `ipam` block in host-local's form.
#[derive(Debug, Clone, PartialEq)]
pub struct HostLocal {
    /// One address is taken from each; empty: the node's subnet is to be read from `subnet_file`.
    pub sets: Vec<RangeSet>,
    /// The container's routes.
    pub routes: Vec<Route>,
    /// Where reservations are kept.
    pub data_dir: PathBuf,
    /// A resolv.conf whose content becomes the result's `dns`.
    pub resolv_conf: Option<PathBuf>,
    /// Where the overlay writes the node's subnet.
    pub subnet_file: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Block {
    routes: Option<Vec<Route>>,
    data_dir: String,
    resolv_conf: String,
    ranges: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RangeBlock {
    subnet: Option<IpNetwork>,
    range_start: Option<IpAddr>,
    range_end: Option<IpAddr>,
    gateway: Option<IpAddr>,
}

impl Ipam {
    /// Reads the block of a whole configuration; `extra` ranges of the runtime come first.
    pub(super) fn read(raw: &Map<String, Value>, extra: &[Value]) -> Result<Self, CniError> {
        let subnet_file = match raw.get("subnetFile") {
            None | Some(Value::Null) => None,
            Some(Value::String(path)) if !path.is_empty() => Some(PathBuf::from(path)),
            Some(other) => return Err(invalid("subnetFile", format!("{other} is not a path"))),
        };
        let value = match raw.get("ipam") {
            None | Some(Value::Null) => {
                let file = subnet_file.or_else(|| Some(SUBNET_FILE.into()));
                return HostLocal::read(&Value::Null, extra, file).map(Ipam::HostLocal);
            }
            Some(value) => value,
        };
        let object = value.as_object().ok_or_else(|| invalid("ipam", "it is not an object"))?;
        match object.get("type").and_then(Value::as_str).unwrap_or_default() {
            "" if object.is_empty() => Ok(Ipam::None),
            "" => Err(invalid("ipam.type", "it is missing; write \"host-local\"")),
            "host-local" => HostLocal::read(value, extra, subnet_file).map(Ipam::HostLocal),
            other if other.contains('/') => {
                Err(invalid("ipam.type", format!("{other:?} must be a file name")))
            }
            other => Ok(Ipam::Delegated(other.to_string())),
        }
    }
}

impl HostLocal {
    fn read(value: &Value, extra: &[Value], subnet_file: Option<PathBuf>) -> Result<Self, CniError> {
        let block: Block = match value {
            Value::Null => Block::default(),
            value => Block::deserialize(value).map_err(|e| invalid("ipam", e))?,
        };
        let mut sets: Vec<RangeSet> = Vec::new();
        for (number, set) in extra.iter().enumerate() {
            sets.push(range_set(set).map_err(|e| invalid(&format!("runtimeConfig.ipRanges[{number}]"), e))?);
        }
        if value.get("subnet").is_some_and(|s| !s.is_null()) {
            let range = range(value).map_err(|e| invalid("ipam.subnet", e))?;
            sets.push(RangeSet::new(vec![range]).map_err(|e| invalid("ipam.subnet", e))?);
        }
        for (number, set) in block.ranges.iter().flatten().enumerate() {
            sets.push(range_set(set).map_err(|e| invalid(&format!("ipam.ranges[{number}]"), e))?);
        }
        check_overlaps(&sets)?;
        if sets.is_empty() && subnet_file.is_none() {
            let why = "no range: give it \"subnet\" or \"ranges\", or \"subnetFile\" beside it";
            return Err(invalid("ipam", why));
        }
        let path = |text: String| (!text.is_empty()).then(|| PathBuf::from(text));
        Ok(HostLocal {
            sets,
            routes: block.routes.unwrap_or_default(),
            data_dir: path(block.data_dir).unwrap_or_else(|| DATA_DIR.into()),
            resolv_conf: path(block.resolv_conf),
            subnet_file,
        })
    }
}

fn range(value: &Value) -> Result<Range, String> {
    let block = RangeBlock::deserialize(value).map_err(|e| e.to_string())?;
    let subnet = block.subnet.ok_or("\"subnet\" is missing")?;
    Range::new(subnet, block.range_start, block.range_end, block.gateway)
}

fn range_set(value: &Value) -> Result<RangeSet, String> {
    let ranges = value.as_array().ok_or("it must be a list of ranges")?;
    RangeSet::new(ranges.iter().map(range).collect::<Result<_, _>>()?)
}

fn check_overlaps(sets: &[RangeSet]) -> Result<(), CniError> {
    for (number, set) in sets.iter().enumerate() {
        if let Some(other) = sets[number + 1..].iter().find(|other| set.overlaps(other)) {
            return Err(invalid("ipam.ranges", format!("{set} and {other} overlap")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Ipam, CniError> {
        Ipam::read(&serde_json::from_str(json).unwrap(), &[])
    }

    fn host_local(json: &str) -> HostLocal {
        match read(json).unwrap() {
            Ipam::HostLocal(block) => block,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_form_is_known() {
        assert_eq!(read(r#"{"ipam":{}}"#).unwrap(), Ipam::None);
        assert_eq!(read(r#"{"ipam":{"type":"dhcp"}}"#).unwrap(), Ipam::Delegated("dhcp".into()));
        let node = host_local("{}");
        assert_eq!(node.subnet_file.unwrap().to_str(), Some(SUBNET_FILE));
        assert!(node.sets.is_empty());
        let other = host_local(r#"{"subnetFile":"/x","ipam":{"type":"host-local","dataDir":"/d"}}"#);
        assert_eq!((other.subnet_file.unwrap().to_str(), other.data_dir.to_str()), (Some("/x"), Some("/d")));
    }

    #[test]
    fn both_forms_of_ranges_are_read_and_the_single_one_comes_first() {
        let block = host_local(
            r#"{"ipam":{"type":"host-local","subnet":"10.1.0.0/24","rangeStart":"10.1.0.10","rangeEnd":"10.1.0.20",
                "gateway":"10.1.0.254","ranges":[[{"subnet":"fd00::/64"},{"subnet":"fd01::/64"}]],
                "routes":[{"dst":"0.0.0.0/0"},{"dst":"10.9.0.0/16","gw":"10.1.0.3"}],"resolvConf":"/etc/resolv.conf"}}"#,
        );
        assert_eq!(block.sets[0].to_string(), "10.1.0.10-10.1.0.20");
        assert_eq!(block.sets[1].ranges().len(), 2);
        assert_eq!((block.routes.len(), block.data_dir.to_str()), (2, Some(DATA_DIR)));
    }

    #[test]
    fn what_is_wrong_is_named_with_code_7() {
        for (json, part) in [
            (r#"{"ipam":{"type":"host-local"}}"#, "no range"),
            (r#"{"ipam":{"subnet":"10.1.0.0/24"}}"#, "ipam.type"),
            (r#"{"ipam":{"type":"../evil"}}"#, "file name"),
            (r#"{"ipam":{"type":"host-local","subnet":"10.1.0.0/31"}}"#, "too small"),
            (r#"{"ipam":{"type":"host-local","subnet":"10.1.0.0/24","gateway":"10.2.0.1"}}"#, "gateway"),
            (
                r#"{"ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"10.1.0.0/25"}]]}}"#,
                "overlap",
            ),
            (r#"{"ipam":{"type":"host-local","ranges":[{"subnet":"10.1.0.0/24"}]}}"#, "ipam.ranges[0]"),
            (r#"{"ipam":7}"#, "object"),
            (r#"{"subnetFile":7}"#, "subnetFile"),
        ] {
            let error = read(json).unwrap_err();
            assert_eq!(error.code, 7, "{json}");
            assert!(error.msg.contains(part), "{json}: {error}");
        }
    }
}
