//! Bad input of every kind: a clear error each, exit code 2, nothing stored.

use std::fmt::Write as _;

use crate::session::Session;

fn description(spec: &str) -> String {
    format!(
        "apiVersion: kogge.dev/v1alpha1\nkind: KubernetesCluster\nmetadata:\n  name: bad\nspec:\n  provider:\n    profile: sim\n{spec}"
    )
}

const VERSION: &str = "  kubernetes:\n    version: \"1.34\"\n";

/// What is wrong, and the document.
fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let with = |spec: &str| description(&format!("{VERSION}{spec}")).into_bytes();
    let bombs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                 d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                 g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    let mut invalid_utf8 = with("");
    invalid_utf8.extend_from_slice(b"  paused: \xff\n");
    let mut large = with("");
    large.resize(10 * 1024 * 1024 + 1, b'\n');
    vec![
        ("a misspelt field", with("  controlplane:\n    count: 3\n")),
        ("an unknown field", with("  colour: blue\n")),
        ("a wrong type", with("  controlPlane:\n    count: three\n")),
        ("a version as a number", description("  kubernetes:\n    version: 1.34\n").into_bytes()),
        ("overlapping networks", with("  network:\n    podCIDR: 10.8.0.0/16\n")),
        ("a network with host bits", with("  network:\n    nodeCIDR: 10.8.0.1/20\n")),
        ("an even control plane", with("  controlPlane:\n    count: 4\n")),
        ("an unknown profile", description(VERSION).replace("profile: sim", "profile: sin").into_bytes()),
        ("an unknown flavor", with("  controlPlane:\n    machineFlavor: SCS-2V-4-20\n")),
        ("an unknown zone", with("  workers:\n    - name: a\n      zones: [sim-d]\n")),
        ("a version that is not offered", description("  kubernetes:\n    version: \"1.29\"\n").into_bytes()),
        ("pools of one name", with("  workers:\n    - name: a\n    - name: a\n")),
        (
            "a name that is too long",
            description(VERSION).replace("name: bad", "name: a-name-that-is-far-too-long").into_bytes(),
        ),
        ("a missing field", description("").into_bytes()),
        ("another kind", b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: bad\n".to_vec()),
        ("no YAML", b"apiVersion: [\n".to_vec()),
        ("an alias bomb", bombs.as_bytes().to_vec()),
        ("invalid UTF-8", invalid_utf8),
        ("more than 10 MiB", large),
        ("nothing", Vec::new()),
        (
            "several documents, one of them bad",
            format!("{}---\n{}", description(VERSION).replace("name: bad", "name: good"), description("")).into_bytes(),
        ),
    ]
}

#[test]
fn bad_descriptions_are_refused_with_the_place_and_the_remedy_and_nothing_is_stored() {
    let session = Session::start();
    let mut answers = String::new();
    for (what, document) in cases() {
        let file = session.file("bad.yaml", document);
        let answer = session.kogge(&["cluster", "create", "-f", &file]);
        assert_eq!(answer.code, 2, "{what}: {answer:?}");
        let _ = writeln!(answers, "# {what}\n{}", answer.stderr.replace(&file, "bad.yaml"));
    }
    assert_eq!(session.kogge(&["cluster", "list", "-A"]).success().stdout, "");
    insta::assert_snapshot!(answers);
}

#[test]
fn changes_that_cannot_be_are_refused_and_the_cluster_stays_as_it_is() {
    let session = Session::start();
    let file = |spec: &str| session.file("change.yaml", description(spec).replace("name: bad", "name: demo"));
    let first = file("  kubernetes:\n    version: \"1.35\"\n");
    session.kogge(&["cluster", "create", "-f", &first, "--wait=60s"]).success();
    let before = session.cluster("demo")["spec"].clone();
    let mut answers = String::new();
    for (what, spec) in [
        ("a downgrade", "  kubernetes:\n    version: \"1.34\"\n"),
        ("another pod network", "  kubernetes:\n    version: \"1.35\"\n  network:\n    podCIDR: 172.20.0.0/16\n"),
        (
            "another service network",
            "  kubernetes:\n    version: \"1.35\"\n  network:\n    serviceCIDR: 10.97.0.0/16\n",
        ),
    ] {
        let answer = session.kogge(&["cluster", "create", "-f", &file(spec)]);
        assert_eq!(answer.code, 2, "{what}: {answer:?}");
        let told = answer.stderr.replace(&first, "change.yaml");
        let _ = writeln!(answers, "# {what}\n{told}");
    }
    let skip = session.kogge(&["cluster", "upgrade", "demo", "--to", "1.37"]);
    assert_eq!(skip.code, 2, "{skip:?}");
    let _ = writeln!(answers, "# a version that is not offered\n{}", skip.stderr);
    assert_eq!(session.cluster("demo")["spec"], before);
    insta::assert_snapshot!(answers);

    if let Some(refused) =
        session.kubectl(&["patch", "kc", "demo", "--type=merge", "-p", r#"{"spec":{"controlPlane":{"count":4}}}"#])
    {
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("must be odd"), "{}", refused.stderr);
    }
}

/// Nothing is started with these, so that nothing is left to notice later.
#[test]
fn options_of_up_that_cannot_work_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let options = [
        "--max-requests-inflight=0",
        "--max-mutating-requests-inflight=0",
        "--max-watches-per-user=0",
        "--max-request-bytes=0",
        "--max-header-bytes=0",
        "--history-age=0s",
        "--history-changes=0",
        "--history-size=0",
        "--audit-log-maxsize=0",
        "--server=https://elsewhere.example",
        "--token=secret",
    ];
    for option in options {
        let up = std::process::Command::new(env!("CARGO_BIN_EXE_kogge"))
            .args([
                "up",
                "--exit-when-ready",
                "--listen",
                "127.0.0.1:0",
                "--portal-listen",
                "127.0.0.1:0",
                option,
                "--data",
            ])
            .arg(&data)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&up.stderr);
        let name = option.split_once('=').unwrap().0;
        assert!(up.status.code() == Some(2) && error.contains(name) && !data.exists(), "{option}: {error}");
    }
}
