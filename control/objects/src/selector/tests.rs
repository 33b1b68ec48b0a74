#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;
use serde_json::json;

fn labels(text: &str) -> Result<LabelSelector, String> {
    text.parse::<LabelSelector>().map_err(|error| error.0)
}

/// Cases of labels/selector_test.go: TestSelectorMatches and TestSetMatches.
#[test]
fn label_selectors_match() {
    let set = json!({"a": "b", "n": "5", "e": ""});
    let hits = [
        "",
        "a=b",
        "a==b",
        "a",
        "!x",
        "a!=c",
        "x!=c",
        "a in (b,c)",
        "x notin (a)",
        "a notin (c)",
        "n>4",
        "n<6",
        "a in (b),n",
        "e=",
        "e in (,x)",
        "e",
        " a = b , n ",
        "in!=1",
        "!in",
        "a in(b)",
    ];
    for text in hits {
        assert!(labels(text).unwrap().matches_value(&set), "{text}");
    }
    let misses =
        ["a=c", "x", "!a", "a!=b", "a in (c)", "x in (y)", "a notin (b)", "n>5", "x>1", "a>1", "e=x"];
    for text in misses {
        assert!(!labels(text).unwrap().matches_value(&set), "{text}");
    }
    assert!(labels("").unwrap().matches_value(&json!(null)));
}

#[test]
fn label_selectors_that_are_wrong_are_told_as_upstream_does() {
    let cases = [
        ("a=b,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        (
            "a in ()",
            "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
        ),
        (
            "n>x",
            "unable to parse requirement: values: Invalid value: [\"x\"]: for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ];
    for (text, error) in cases {
        assert_eq!(labels(text).unwrap_err(), error, "{text}");
    }
    let error = labels("a b/c=d").unwrap_err();
    assert!(error.starts_with("unable to parse requirement: found 'b/c'"), "{error}");
    assert!(
        labels("_a=b")
            .unwrap_err()
            .starts_with("unable to parse requirement: <nil>: Invalid value: \"_a\": name part must")
    );
    assert!(
        labels("a=-")
            .unwrap_err()
            .starts_with("unable to parse requirement: values[0][a]: Invalid value: \"-\": a valid label")
    );
}

#[test]
fn an_index_is_told_what_to_look_for() {
    let selector = labels("a=b,c in (d),e in (x,y),f!=g").unwrap();
    assert_eq!(selector.exact("a"), Some("b"));
    assert_eq!(selector.exact("c"), Some("d"));
    assert_eq!((selector.exact("e"), selector.exact("f")), (None, None));
    assert_eq!(selector.requirements().len(), 4);
}

#[test]
fn selectors_are_printed_as_a_scale_has_them() {
    let object = json!({"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [
        {"key": "z", "operator": "NotIn", "values": ["q", "p"]}, {"key": "c", "operator": "Exists"}]});
    let selector = LabelSelector::of_object(&object).unwrap();
    assert_eq!(selector.to_string(), "a=2,b=1,c,z notin (p,q)");
    assert_eq!(labels(&selector.to_string()).unwrap(), selector);
    assert!(selector.matches_value(&json!({"a": "2", "b": "1", "c": ""})));
}

/// Source: TestLabelSelectorAsSelector.
#[test]
fn no_selector_selects_nothing_and_an_empty_one_everything() {
    assert!(!LabelSelector::of_object(&json!(null)).unwrap().matches_value(&json!({})));
    assert!(LabelSelector::of_object(&json!({})).unwrap().matches_value(&json!({"a": "b"})));
    let error =
        LabelSelector::of_object(&json!({"matchExpressions": [{"key": "a", "operator": "Is"}]})).unwrap_err();
    assert_eq!(error.0, "\"Is\" is not a valid label selector operator");
}

/// Cases of fields/selector_test.go.
#[test]
fn field_selectors() {
    let selector: FieldSelector = "metadata.name=x,spec.nodeName!=y,status.phase==".parse().unwrap();
    assert_eq!(selector.exact("metadata.name"), Some("x"));
    assert_eq!((selector.exact("spec.nodeName"), selector.exact("status.phase")), (None, Some("")));
    let pod = |field: &str| if field == "metadata.name" { "x" } else { "" };
    assert!(selector.matches(pod));
    assert!(!"spec.nodeName!=".parse::<FieldSelector>().unwrap().matches(pod));
    assert_eq!(selector.to_string(), "metadata.name=x,spec.nodeName!=y,status.phase=");
    let selector: FieldSelector = r"a=b\,c\=d\\,,e=f".parse().unwrap();
    assert_eq!(selector.exact("a"), Some(r"b,c=d\"));
    assert_eq!(selector.to_string().parse::<FieldSelector>().unwrap(), selector);
    let error = |text: &str| text.parse::<FieldSelector>().unwrap_err().0;
    assert_eq!(error("a"), "invalid selector: 'a'; can't understand 'a'");
    assert_eq!(error(r"a=\x"), r"invalid field selector: invalid escape sequence: \x");
    assert_eq!(error("a=b=c"), "invalid field selector: unescaped character in value: =");
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "([a-z/]{0,3}|[=!<>(), \\\\é]|in|notin){0,20}") {
        if let Ok(selector) = labels(&text) {
            prop_assert_eq!(labels(&selector.to_string()), Ok(selector));
        }
        let _ = text.parse::<FieldSelector>();
    }
}
