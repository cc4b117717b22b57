use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::resource::ResourceType;

#[test]
fn label_selectors_read_and_fail_as_in_the_real_server() {
    let texts = [
        "",
        " ",
        "a=b,c!=d,e in (x,y),!f,g",
        "z,a",
        "a==b",
        "x in (foo,,baz),y,z notin ()",
        "in in (in,notin)",
        "a>1,b<2",
        "a>x",
        "a=,b",
        "example.com/a = b",
        "a,",
        "a b",
        "=a",
        "!",
        "a in",
        "a in (b",
        "a in b)",
        "a in (=)",
        "a in (b=)",
        "a/b/c=d",
        "a=-bad-",
        "!a=b",
        "a!",
        "a=b=c",
        ",a",
        "a in (,)",
        "a<>b",
    ];
    let lines: Vec<String> = texts
        .iter()
        .map(|text| match LabelSelector::parse(text) {
            Ok(selector) => format!("{text:?} => {selector}"),
            Err(error) => format!("{text:?} => {} {error}", error.code()),
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn label_selectors_match_as_documented() {
    let object = json!({"metadata": {"labels": {"a": "b", "n": "5"}}});
    let matches = |text: &str| LabelSelector::parse(text).unwrap().matches(&object);
    for text in ["", "a", "a=b", "a in (b,c)", "x!=y", "x notin (y)", "!x", "n>4", "n<6", "a=b,n"] {
        assert!(matches(text), "{text}");
    }
    for text in ["x", "a!=b", "a notin (b)", "!a", "n>5", "a>1", "x>1", "a=b,x"] {
        assert!(!matches(text), "{text}");
    }
    assert!(LabelSelector::default().matches(&json!({})));
    assert!(!LabelSelector::from_object(&Value::Null).unwrap().matches(&object));
    assert!(LabelSelector::from_object(&json!({})).unwrap().matches(&object));
}

#[test]
fn object_selectors_become_the_same_requirements() {
    let selector = LabelSelector::from_object(&json!({
        "matchLabels": {"a": "b"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]},
            {"key": "d", "operator": "NotIn", "values": ["x"]},
            {"key": "e", "operator": "Exists"},
            {"key": "f", "operator": "DoesNotExist", "values": []},
        ],
    }));
    assert_eq!(selector.unwrap(), LabelSelector::parse("a=b,c in (x,y),d notin (x),e,!f").unwrap());
    let failure = |expression: Value| {
        LabelSelector::from_object(&json!({"matchExpressions": [expression]})).unwrap_err().to_string()
    };
    insta::assert_snapshot!(
        [
            failure(json!({"key": "a", "operator": "Is"})),
            failure(json!({"key": "a", "operator": "In"})),
            failure(json!({"key": "a", "operator": "Exists", "values": ["b"]})),
            failure(json!({"key": "", "operator": "Exists"})),
        ]
        .join("\n")
    );
}

fn custom(selectable: &[&str]) -> ResourceType {
    let mut resource = crate::object_meta::test_resource("example.com", "Widget", true);
    resource.selectable_fields = selectable.iter().map(|path| (*path).to_owned()).collect();
    resource
}

#[test]
fn field_selectors_know_the_fields_of_the_kind() {
    let widget = custom(&[".spec.color", ".spec.size"]);
    let event = {
        let mut event = crate::object_meta::test_resource("", "Event", false);
        event.selectable_fields = ["involvedObject.name", "reason", "source"].map(str::to_owned).to_vec();
        event
    };
    let config_map = crate::object_meta::test_resource("", "ConfigMap", false);
    let object = json!({"metadata": {"name": "x", "namespace": "n"}, "spec": {"color": "r,e=d", "size": 3}, "regarding": {"name": "o"}, "source": {"component": "kubelet"}});
    let cases = [
        (&widget, "metadata.name=x,metadata.namespace==n"),
        (&widget, "metadata.name!=x"),
        (&widget, "spec.color=r\\,e\\=d,spec.size=3"),
        (&widget, "spec.other=1"),
        (&widget, "spec.color"),
        (&widget, "spec.color=a\\b"),
        (&event, "involvedObject.name=o,source=kubelet,reason="),
        (&event, "nothing=1"),
        (&config_map, "data=1"),
        (&config_map, ""),
    ];
    let lines: Vec<String> = cases
        .iter()
        .map(|(resource, text)| match FieldSelector::parse(text, resource) {
            Ok(selector) => {
                format!("{text:?} => {selector} matches={} name={:?}", selector.matches(&object), selector.exact_name())
            }
            Err(error) => format!("{text:?} => {} {error}", error.code()),
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in "[a-c=!(),<> \\\\/.\\PC]{0,40}") {
        let _ = LabelSelector::parse(&text);
        let _ = FieldSelector::parse(&text, &custom(&[]));
    }

    #[test]
    fn what_is_printed_parses_to_the_same(
        parts in prop::collection::vec(
            prop_oneof!["[a-z]{1,4}=[a-z0-9]{0,4}", "[a-z]{1,4}!=[a-z]{0,3}", "[a-z]{1,4} in \\([a-z]{0,2},[a-z]{1,2}\\)", "[a-z]{1,4} notin \\([a-z]{1,2}\\)", "!?[a-z]{1,4}", "[a-z]{1,4}>[0-9]{1,3}"],
            0..5,
        )
    ) {
        let text = parts.join(",");
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
        }
    }
}
