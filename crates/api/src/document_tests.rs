use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

const MINIMAL: &str = "apiVersion: kogge.dev/v1alpha1\nkind: KubernetesCluster\nmetadata:\n  name: demo\nspec:\n  provider:\n    profile: sim\n  kubernetes:\n    version: \"1.34\"\n";

fn answer(text: &str) -> String {
    match read("cluster.yaml", text.as_bytes()) {
        Ok(documents) => format!("{} read", documents.len()),
        Err(error) => error.to_string(),
    }
}

fn replaced(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from}");
    answer(&MINIMAL.replace(from, to))
}

#[test]
fn the_minimal_document_is_read_with_its_defaults() {
    let documents = read("cluster.yaml", MINIMAL.as_bytes()).unwrap();
    let cluster = documents[0].cluster().unwrap();
    assert_eq!(cluster.spec.control_plane.count, 3);
    assert_eq!(cluster.spec.workers[0].name, "default");
    assert_eq!(
        documents[0].span("/spec/kubernetes/version"),
        Some(Span { offset: MINIMAL.find("\"1.34\"").unwrap(), length: 6, line: 9, column: 14 })
    );
}

#[test]
fn a_version_as_a_number_is_refused_with_the_fix_spelled_out() {
    assert_snapshot!(replaced("\"1.34\"", "1.30"));
}

#[test]
fn unknown_fields_are_refused_with_the_one_that_was_meant() {
    let text = MINIMAL.replace("metadata:\n", "metdata: {}\nmetadata:\n  lables: {}\n")
        + "  contolPlane: {}\n  workers:\n    - name: a\n      flavor: x\n    - nme: b\n";
    assert_snapshot!(answer(&text));
}

#[test]
fn wrong_types_words_and_missing_fields_are_all_told_at_once() {
    let text = "apiVersion: kogge.dev/v1alpha1\nkind: KubernetesCluster\nmetadata: {name: 12, labels: {a: yes}}\nspec:\n  provider: sim\n  kubernetes: {allowPreview: \"true\"}\n  controlPlane: {count: \"3\", zones: sim-a, antiAffinity: required}\n  workers:\n    name: a\n  addons: [harbor]\n  network:\n    dnsServers: 192.0.2.1\n";
    assert_snapshot!(answer(text));
}

#[test]
fn texts_that_are_no_document_are_refused_with_their_place() {
    let long = format!("{MINIMAL}  paused: {}\n", "x".repeat(400));
    let cases = [
        ("tab", MINIMAL.replace("  name: demo", "\tname: demo")),
        ("twice", format!("{MINIMAL}  paused: true\n  paused: false\n")),
        ("unclosed", MINIMAL.replace("\"1.34\"", "\"1.34")),
        ("a list", "- a\n- b\n".into()),
        ("a word", "hello\n".into()),
        ("empty", String::new()),
        ("comment", "# nothing\n".into()),
        ("tag", MINIMAL.replace("\"1.34\"", "!ruby/object 1.34")),
        ("infinite", MINIMAL.replace("\"1.34\"", ".inf")),
        ("no kind", MINIMAL.replace("kind: KubernetesCluster\n", "")),
        ("other kind", MINIMAL.replace("KubernetesCluster", "Cluster")),
        ("other version", MINIMAL.replace("v1alpha1", "v1")),
        (
            "group with a slip",
            MINIMAL.replace("kogge.dev", "koge.dev").replace("KubernetesCluster", "KubernetesCluter"),
        ),
        ("long line", long),
        ("json", "{\"apiVersion\": \"kogge.dev/v1alpha1\",}}".into()),
        ("json twice", "{\"kind\": \"a\", \"kind\": \"b\"}".into()),
    ];
    assert_snapshot!(cases.map(|(name, text)| format!("# {name}\n{}", answer(&text))).join("\n"));
}

#[test]
fn of_several_documents_with_one_bad_none_is_read() {
    let second = MINIMAL.replace("demo", "second");
    assert_eq!(answer(&format!("{MINIMAL}---\n{second}---\n# nothing\n---\n")), "2 read");
    let bad = second.replace("  profile: sim", "  profil: sim");
    assert_snapshot!(answer(&format!("{MINIMAL}---\n{bad}")));
}

#[test]
fn bytes_that_are_not_utf8_and_byte_order_marks_are_told_apart() {
    assert_eq!(answer(&format!("\u{feff}{MINIMAL}")), "1 read");
    let mut bytes = MINIMAL.as_bytes().to_vec();
    bytes[40] = 0xff;
    assert_snapshot!(read("cluster.yaml", &bytes).unwrap_err().to_string());
    assert_snapshot!(read("big.yaml", &vec![b' '; MAX_BYTES + 1]).unwrap_err().to_string());
}

#[test]
fn aliases_and_nesting_are_bounded() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]");
    for (name, before) in ["b", "c", "d", "e", "f", "g", "h"].iter().zip(["a", "b", "c", "d", "e", "f", "g"]) {
        let aliases = vec![format!("*{before}"); 10].join(", ");
        bomb.extend(["\n", name, ": &", name, " [", &aliases, "]"]);
    }
    assert_snapshot!(answer(&bomb));
    assert_snapshot!(answer(&format!("a: {}", "[".repeat(100))).lines().next().unwrap_or_default());
}

#[test]
fn json_aliases_and_merge_keys_are_read_as_kubernetes_reads_them() {
    let json = "{\n\t\"apiVersion\": \"kogge.dev/v1alpha1\", \"kind\": \"KubernetesCluster\", \"metadata\": {\"name\": \"demo\"},\n\t\"spec\": {\"provider\": {\"profile\": \"sim\", \"region\": null}, \"kubernetes\": {\"version\": \"1.34\"}}}";
    assert_eq!(answer(json), "1 read");
    let text = format!(
        "{MINIMAL}  workers:\n    - &pool {{name: a, count: 0o3, machineFlavor: x}}\n    - <<: *pool\n      name: b\n"
    );
    let documents = read("cluster.yaml", text.as_bytes()).unwrap();
    let pools = &documents[0].cluster().unwrap().spec.workers;
    assert_eq!((pools[1].name.as_str(), pools[1].count, pools[1].machine_flavor.as_deref()), ("b", Some(3), Some("x")));
}

#[test]
fn objects_of_other_groups_pass_unread_and_status_is_left_to_the_server() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n";
    assert!(matches!(read("a", secret.as_bytes()).unwrap()[0].object, Object::Other(_)));
    let text = format!("{MINIMAL}status: {{phase: Nonsense}}\n");
    assert_eq!(read("a", text.as_bytes()).unwrap()[0].cluster().unwrap().status, None);
}

#[test]
fn the_examples_and_the_built_in_profile_are_valid() {
    let profile = crate::provider_profile::simulation();
    let examples = [
        ("first-cluster.yaml", include_str!("../../../examples/first-cluster.yaml")),
        ("typical.yaml", include_str!("../../../examples/typical.yaml")),
        ("full.yaml", include_str!("../../../examples/full.yaml")),
    ];
    for (name, text) in examples {
        let documents = read(name, text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        let today = jiff::civil::date(2026, 11, 21);
        let problems = crate::validation::validate(documents[0].cluster().unwrap(), None, Some(&profile), today);
        assert_eq!(problems, [], "{name}");
    }
    let read =
        read("sim.yaml", crate::provider_profile::SIMULATION.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read[0].object, Object::Profile(Box::new(profile)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_brings_the_reader_down(text in "[-a-z:{}\\[\\]&*!|>'\"%#?,. \n\t0-9é~<]{0,200}") {
        let _ = read("text", text.as_bytes());
    }

    #[test]
    fn no_damaged_document_brings_the_reader_down(at in 0..MINIMAL.len(), byte in any::<u8>()) {
        let mut bytes = MINIMAL.as_bytes().to_vec();
        bytes[at] = byte;
        if let Err(error) = read("text", &bytes) {
            prop_assert!(!error.problems.is_empty());
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn what_serde_json_writes_is_read_back_as_it_was(text in "\\PC{0,30}", number in any::<i64>()) {
        let value = serde_json::json!({"apiVersion": "example.com/v1", "kind": "Example", "text": text, "number": number, "list": [text, null, true]});
        let documents = read("json", serde_json::to_string_pretty(&value).unwrap().as_bytes()).unwrap();
        prop_assert_eq!(&documents[0].value, &value);
    }
}
