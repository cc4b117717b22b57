//! `kogge conformance run` against a running `kogge up`, as a user who wants to know what the server is worth.

use crate::session::Session;

#[test]
fn the_api_suite_judges_a_running_server_by_the_recorded_answers_of_kube_apiserver() {
    let session = Session::start();
    let kubeconfig = session.data().join("kubeconfig").display().to_string();
    let run = |more: &[&str]| {
        let mut arguments = vec!["conformance", "run", "--suite", "api", "--kubeconfig", &kubeconfig];
        arguments.extend(more);
        session.kogge(&arguments)
    };
    // One of each kind: objects, definitions, webhooks that call back.
    let pattern = "^(Each write takes a revision|New defaults apply|Versions are converted by a webhook)";
    let answer = run(&["--scenario", pattern]).success();
    assert!(answer.stderr.starts_with("3 scenarios against https://127.0.0.1:"), "{}", answer.stderr);
    let sum = answer.stdout.lines().find(|line| line.starts_with("all ")).unwrap_or_default();
    let counts: Vec<&str> = sum.split_whitespace().skip(1).collect();
    assert_eq!(counts, ["3", "3", "0", "0", "0", "0"], "{}", answer.stdout);

    let json = run(&["--scenario", pattern, "-o", "json"]).success().json();
    assert_eq!((json["passed"].as_bool(), json["scenarios"].as_array().map(Vec::len)), (Some(true), Some(3)));

    let junit = run(&["--scenario", pattern, "-o", "junit"]).success();
    assert!(
        junit.stdout.contains("<testsuite name=\"api\" tests=\"3\" failures=\"0\" skipped=\"0\">"),
        "{}",
        junit.stdout
    );

    // A server held against itself answers the same.
    run(&["--scenario", pattern, "--against", &kubeconfig]).success();

    let none = run(&["--scenario", "no such scenario"]);
    assert_eq!((none.code, none.stderr.contains("no scenario matches")), (3, true), "{}", none.stderr);
}

#[test]
fn a_cluster_that_does_not_answer_or_a_file_that_is_none_is_told_apart() {
    let session = Session::prepared();
    let nobody = session.file(
        "nobody",
        "{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}], \
         contexts: [{name: a, context: {cluster: a, user: a}}], users: [{name: a, user: {}}], current-context: a}",
    );
    let unreachable = session.kogge(&["conformance", "run", "--suite", "api", "--kubeconfig", &nobody]);
    assert_eq!(unreachable.code, 5, "{}", unreachable.stderr);
    let nonsense = session.file("nonsense", "nonsense");
    let refused = session.kogge(&["conformance", "run", "--suite", "api", "--kubeconfig", &nonsense]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
}
