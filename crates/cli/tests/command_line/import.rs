//! `kogge import`, as somebody with a cluster of the first reference implementation has it.

use crate::session::{Session, root};

#[test]
fn an_imported_parameter_file_becomes_a_ready_cluster() {
    let session = Session::start();
    let file = root().join("examples/import/clusterctl.yaml").display().to_string();
    let imported = session.kogge(&["import", &file, "--name", "shop"]).success();
    assert!(imported.stderr.contains("KUBERNETES_VERSION needs a decision"), "{}", imported.stderr);
    let description = session.file("shop.yaml", &imported.stdout);
    session.kogge(&["cluster", "create", "-f", &description, "--wait=120s"]).success();
    let cluster = session.cluster("shop");
    assert_eq!(cluster["status"]["phase"], "Ready");
    assert_eq!(cluster["status"]["workers"][0]["ready"], 4);
}

#[test]
fn what_is_no_parameter_file_is_refused() {
    let session = Session::start();
    let file = session.file("other.yaml", "a: 1\n");
    let refused = session.kogge(&["import", &file, "--name", "shop"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("no clusterctl.yaml"), "{}", refused.stderr);
    assert_eq!(session.kogge(&["import", "/nonexistent", "--name", "shop"]).code, 2);
}
