use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

proptest! {
    // In go-yaml's order some names follow one another in a circle.
    #[test]
    fn whatever_the_names_of_members_they_are_written_and_read_again(names in prop::collection::vec("[a-b0-2~: ]{1,6}", 1..80)) {
        let value = Value::Object(names.into_iter().map(|name| (name, json!(1))).collect::<Map<_, _>>());
        prop_assert_eq!(decode(to_text(&value).unwrap().as_bytes()).unwrap().value, value);
    }
}

#[test]
fn scalars_are_what_yaml_1_1_makes_of_them() {
    let text = "a: yes\nb: off\nc: 0x1F\nd: 017\ne: 1_000\nf: 1.50\ng: '1'\nh: 2001-12-14\ni: 1e3\nj: 18446744073709551615\n\
                k: ~\nl: !!str 5\nm: !!float 3\ns: 12:30\no: 0b11\n1: x\ntrue: z\n1.5: w\np: !!binary aGk=\nq: 09\n";
    let decoded = decode(text.as_bytes()).unwrap();
    let expected = json!({
        "a": true, "b": false, "c": 31, "d": 15, "e": 1000, "f": 1.5, "g": "1", "h": "2001-12-14", "i": 1000,
        "j": 18_446_744_073_709_551_615.0, "k": null, "l": "5", "m": 3, "s": "12:30", "o": 3, "1": "x", "true": "z",
        "1.5": "w", "p": "hi", "q": 9,
    });
    assert_eq!(decoded, Decoded { value: expected, repeated: Vec::new() });
}

#[test]
fn anchors_and_merges_are_followed_and_repeated_keys_are_told() {
    let text = "base: &b {x: 1, w: 2}\nsame: *b\nmerged:\n  <<: *b\n  w: 3\nmany:\n  <<: [*b, {x: 9, z: 0}]\n";
    let decoded = decode(text.as_bytes()).unwrap();
    let expected = json!({
        "base": {"x": 1, "w": 2}, "same": {"x": 1, "w": 2}, "merged": {"x": 1, "w": 3}, "many": {"x": 1, "w": 2, "z": 0},
    });
    assert_eq!(decoded.value, expected);
    assert_eq!(decoded.repeated, ["line 5: key \"w\" already set in map", "line 1: key \"x\" already set in map"]);
    assert_eq!(decode(b"--- \na: 1\n---\nb: [").unwrap().value, json!({"a": 1}));
    assert_eq!(decode(b"").unwrap().value, Value::Null);
}

#[test]
fn errors_are_those_of_go() {
    let bomb = (1..12).fold("a: &a [x,x,x,x,x,x,x,x]\n".to_owned(), |text, level: u8| {
        let (name, inner) = (char::from(b'a' + level), char::from(b'a' + level - 1));
        let items = vec![format!("*{inner}"); 8].join(",");
        format!("{text}{name}: &{name} [{items}]\n")
    });
    let bodies: &[&[u8]] = &[
        b"\ta: b",
        b"a: [",
        b"a: b: c",
        b"a: 'x",
        b"a: *x",
        b"? [a]\n: b",
        b"null: 1",
        b"18446744073709551615: {a: [1]}",
        b"a: !!int x",
        b"a: .nan",
        b"a:\n  - b\n c: d",
        b"<<: 5",
        b"%YAML 3.0\n---\na: b",
        b"a: \x01",
        b"a: \xff",
        b"a: \xe2\x28",
        b"a: \xe2",
        b"a: \xc0\x80",
        b"\xff\xfea",
        b"@a",
        bomb.as_bytes(),
        b"a: &a\n  - *a\n",
    ];
    let errors: Vec<String> = bodies.iter().map(|body| decode(body).unwrap_err()).collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn text_has_the_form_of_the_real_server() {
    let value = json!({
        "f:a": {".": {}, "k:{\"x\":1}": {}, "v:\"a.b/c\"": {}}, "empty": {"list": [], "map": {}, "text": "", "nothing": null},
        "list": [{"b": 1, "a": [1, [2, 3]]}, "yes", "1", "1:30", "- x", "a: b", "a #b", " x", "x ", "*a", "é", "\u{7}"],
        "lines": "one\ntwo\n", "trailing": "one\n two", "numbers": [1, 1.5, 1e30, -2, 1e-7], "item10": 1, "item9": 2,
        "long": "word ".repeat(40), "time": "2026-01-02T03:04:05Z",
    });
    insta::assert_snapshot!(to_text(&value).unwrap());
    assert_eq!(decode(to_text(&value).unwrap().as_bytes()).unwrap().value, value);
}

#[test]
fn the_last_line_of_a_block_needs_no_end() {
    for (body, text) in [
        ("a: |\n  x", "x"),
        ("a: |\n  x\n  y ", "x\ny "),
        ("a: |+\n  x", "x"),
        ("a: |-\n  x", "x"),
        ("a: >\n  x\n  y", "x y"),
        ("a: >+\n  x\"<: ", "x\"<: "),
        ("a: |\n  x\n", "x\n"),
        ("a: |\n  x\n  ", "x\n"),
        ("a: |\n  x\n   ", "x\n "),
        ("a: |+\n  x\n\n", "x\n\n"),
    ] {
        assert_eq!(decode(body.as_bytes()).map(|decoded| decoded.value), Ok(json!({"a": text})), "{body:?}");
    }
}

#[test]
fn depth_is_bounded_in_documents_and_in_what_aliases_make_of_them() {
    let lists = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    assert!(decode(lists(MAXIMUM_DEPTH).as_bytes()).is_ok());
    assert_eq!(decode(lists(100_000).as_bytes()).unwrap_err(), "yaml: exceeded max depth of 10000");
    let chain = (1..9).fold("a0: &a0 x\n".to_owned(), |text, link| {
        let (open, close) = ("[".repeat(200), "]".repeat(200));
        format!("{text}a{link}: &a{link} {open}*a{}{close}\n", link - 1)
    });
    assert_eq!(decode(chain.as_bytes()).unwrap_err(), "yaml: exceeded max depth of 10000");
}
