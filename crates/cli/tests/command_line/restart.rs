//! Stopping, killing, resuming, and the second process on the same data.

use crate::session::{Session, root};

#[test]
fn an_upgrade_goes_on_after_every_kill_and_ends_as_if_there_had_been_none() {
    let mut session = Session::start_with(&["--speed", "200"]);
    session.kogge(&["cluster", "create", "demo", "--kubernetes-version", "1.34", "--wait=120s"]).success();
    session.kogge(&["cluster", "upgrade", "demo", "--to", "1.35"]).success();
    for pause in [100, 400, 900, 1600] {
        std::thread::sleep(std::time::Duration::from_millis(pause));
        session.kill();
        session.resume(&["--speed", "200"]);
    }
    session.until("the upgrade is through", std::time::Duration::from_mins(2), || {
        let cluster = session.cluster("demo");
        cluster["status"]["phase"] == "Ready"
            && cluster["status"]["kubernetes"]["version"].as_str().is_some_and(|version| version.starts_with("v1.35."))
    });
    let cluster = session.cluster("demo");
    assert_eq!(cluster["status"]["controlPlane"]["upToDate"], 3, "{cluster}");
    assert_eq!(cluster["status"]["workers"][0]["upToDate"], 3, "{cluster}");
    assert_eq!(session.terminate(), 0);
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let session = Session::start();
    let data = session.data().display().to_string();
    let second = session.kogge(&["up", "--data", &data, "--listen", "127.0.0.1:0", "--portal-listen", "127.0.0.1:0"]);
    assert_eq!(second.code, 4, "{second:?}");
    assert!(second.stderr.contains("another `kogge up` (process "), "{}", second.stderr);
    session.kogge(&["cluster", "list"]).success();
}

#[test]
fn a_client_without_a_server_is_told_how_to_start_one() {
    let mut session = Session::start();
    assert_eq!(session.terminate(), 0);
    let answer = session.kogge(&["cluster", "list"]);
    assert_eq!(answer.code, 5);
    assert!(answer.stderr.contains("kogge up"), "{}", answer.stderr);
}

#[test]
fn up_with_a_file_ends_with_a_ready_cluster_and_the_next_commands() {
    let example = root().join("examples/first-cluster.yaml").display().to_string();
    let session = Session::start_with(&["--speed", "max", "-f", &example]);
    session
        .until("it tells the next commands", std::time::Duration::from_mins(1), || session.log().contains("Try next"));
    let log = session.log();
    assert!(log.contains("first is Ready"), "{log}");
    assert!(log.contains("cluster kubeconfig first"), "{log}");
}
