//! Texts, good and broken.

use super::*;
use crate::ObjectKind;
use proptest::prelude::*;

const SERVICE: &str =
    "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n  - port: 80\n";
const SLICE: &str = "addressType: IPv4\napiVersion: discovery.k8s.io/v1\nendpoints:\n- addresses: [10.244.0.1]\n\
                     kind: EndpointSlice\nmetadata:\n  name: web-1\nports:\n- port: 8080\n";

fn names(text: &str) -> Vec<String> {
    parse("m.yaml", text).unwrap().objects.iter().map(|object| object.key().to_string()).collect()
}

fn broken(text: &str) -> (u64, usize, String) {
    match parse("m.yaml", text) {
        Err(Problem::Document { line, document, reason, .. }) => (line, document, reason),
        other => panic!("{other:?} is no broken document"),
    }
}

#[test]
fn documents_are_told_apart_by_their_markers() {
    let text = format!("# head\n--- # one\n{SERVICE}---\n# nothing\n---\n{SLICE}...\n# tail\n");
    assert_eq!(names(&text), ["Service default/web", "EndpointSlice default/web-1"]);
    assert_eq!(names(""), [] as [&str; 0]);
    assert_eq!(names(&format!("%YAML 1.2\n---\n{SERVICE}").replace('\n', "\r\n")), ["Service default/web"]);
}

#[test]
fn fields_before_the_kind_are_not_lost() {
    let parsed = parse("m.yaml", SLICE).unwrap();
    let Object::EndpointSlice(slice) = &parsed.objects[0] else { panic!("it is a slice") };
    assert_eq!(slice.family, Ok(crate::Family::V4));
    assert_eq!(slice.endpoints[0].address, Ok("10.244.0.1".parse().unwrap()));
    assert_eq!(slice.ports[0].number, Some(8080));
}

#[test]
fn a_list_is_its_items() {
    let indent = |text: &str| text.replace('\n', "\n  ").trim_end().to_owned();
    let list = format!("apiVersion: v1\nitems:\n- {}\n- {}\nkind: List\n", indent(SERVICE), indent(SLICE));
    assert_eq!(names(&list), ["Service default/web", "EndpointSlice default/web-1"]);
    let first = format!("apiVersion: v1\nkind: List\nitems:\n- {}\n", indent(SERVICE));
    assert_eq!(names(&first), ["Service default/web"]);
}

#[test]
fn json_is_read_one_document_after_another() {
    let text = r#"{"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "x"}}
                  {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"}}"#;
    assert_eq!(names(text), ["Service x/web", "Node n"]);
    let key = parse("m.json", text).unwrap().objects[1].key();
    assert_eq!((key.kind, &*key.namespace), (ObjectKind::Node, ""));
    assert_eq!(names("{kind: Service, apiVersion: v1, metadata: {name: web}}"), ["Service default/web"]);
}

#[test]
fn a_broken_document_is_named_by_line_number_and_field() {
    let text = format!("{SERVICE}---\n{}", SERVICE.replace("port: 80", "port: http"));
    for line_break in ["\n", "\r\n", "\r"] {
        let (line, document, reason) = broken(&text.replace('\n', line_break));
        assert_eq!((line, document), (15, 2), "{line_break:?}");
        assert!(reason.starts_with("spec.ports[0].port: "), "{reason}");
    }
    assert_eq!(broken("\r\r\0").0, 3);
    let (line, document, reason) = broken("apiVersion: v1\nkind: Service\n  bad: [\n");
    assert!(line >= 2 && document == 1 && !reason.is_empty(), "{line} {reason}");
}

#[test]
fn reasons_are_without_the_decoders_own_places() {
    let (line, _, reason) = broken("---\n---\napiVersion: v1\nkind: Service\nkind: Service\n");
    assert_eq!((line, reason.as_str()), (5, "duplicate mapping key: kind"));
    let held = SLICE.replace("[10.244.0.1]", "3");
    assert!(broken(&held).2.contains("endpoints[0].addresses: "), "{}", broken(&held).2);
    let list = "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: 3\nkind: List\n";
    let (line, _, reason) = broken(list);
    assert!(line == 5 && reason.starts_with("items[0].metadata: "), "{line} {reason}");
    let json = r#"{"kind": "Service", "apiVersion": "v1", "metadata": {"name": 1}}"#;
    assert!(broken(json).2.starts_with("metadata.name: invalid type: integer"), "{}", broken(json).2);
}

#[test]
fn broken_json_is_named_by_line_number_and_field() {
    let text = "{\"apiVersion\": \"v1\",\n\"kind\": \"Service\", \"metadata\": {\"name\": \"web\"},\n\"spec\": {\"ports\": [{\"port\": []}]}}";
    match parse("m.json", text) {
        Err(Problem::Document { line: 3, document: 1, reason, file }) => {
            assert!(reason.starts_with("spec.ports[0].port: "), "{reason}");
            assert_eq!(file, "m.json");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_object_must_have_is_asked_for() {
    for (from, to, expected) in [
        ("kind: Service\n", "", "kind is missing"),
        ("apiVersion: v1\n", "", "apiVersion is missing"),
        ("apiVersion: v1\n", "apiVersion: v2\n", "apiVersion v2 of a Service is not known, use v1"),
        ("  name: web\n", "  namespace: x\n", "metadata.name of the Service is missing"),
    ] {
        let (_, _, reason) = broken(&SERVICE.replace(from, to));
        assert!(reason.contains(expected), "{reason}");
    }
    let (_, _, reason) = broken(&SLICE.replace("addressType: IPv4\n", ""));
    assert!(reason.contains("addressType of EndpointSlice default/web-1 is missing"), "{reason}");
    assert!(broken("just text\n").2.contains("an object with apiVersion and kind"));
}

#[test]
fn kinds_without_use_are_told_of_once() {
    let other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";
    let parsed = parse("m.yaml", &format!("{SERVICE}---\n{other}---\n{other}")).unwrap();
    assert_eq!(parsed.objects.len(), 1);
    let expected = Problem::Kind {
        file: "m.yaml".to_owned(),
        document: 2,
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
    };
    assert_eq!(parsed.ignored, [expected]);
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "---\n",
        "...\n",
        "apiVersion: v1\n",
        "kind: Service\n",
        "kind: List\n",
        "items:\n",
        "- ",
        "  ",
        "metadata:\n",
        "name: web\n",
        "{",
        "}",
        "\"",
        "spec:\n",
        "&a ",
        "*a",
        "[",
        "]",
        "!!binary ",
        "%YAML 9\n",
        "\u{feff}",
        "|\n",
        "\"kind\": \"Service\"",
        ",",
        "<<: ",
        "\n",
        "port: -1\n",
    ]);
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn arbitrary_text_is_read_or_named_broken(text in prop_oneof![".*", "(?s).{0,200}", pieces()]) {
        let breaks = text.matches(['\n', '\r']).count() - text.matches("\r\n").count();
        let lines = breaks as u64 + 1;
        match parse("m.yaml", &text) {
            Ok(parsed) => prop_assert!(parsed.objects.iter().all(|object| !object.key().name.is_empty())),
            Err(Problem::Document { line, document, reason, .. }) => {
                prop_assert!(line >= 1 && line <= lines && document >= 1 && !reason.is_empty());
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
