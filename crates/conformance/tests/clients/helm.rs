//! Helm: the life of releases of a chart with definitions, custom objects and hooks (`shop/`).

use crate::terminal::{Terminal, assert_same, is_equipped};

const SKIPPED: &str = "Helm was not run on both servers";

/// Everything of the namespace but what its own controllers put there.
const SHOW: &str =
    "kubectl get cm,deploy,svc,secret,shelf -n shop -o name --field-selector metadata.name!=kube-root-ca.crt";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn helm_sees_on_the_embedded_server_what_it_sees_on_the_real_one() {
    if !is_equipped(SKIPPED) {
        return;
    }
    let (embedded, real) = tokio::join!(
        async {
            let (_server, terminal) = Terminal::embedded().await;
            lives_of_releases(terminal).await
        },
        async { Some(lives_of_releases(Terminal::real(SKIPPED).await?).await) },
    );
    insta::assert_snapshot!(embedded);
    if let Some(real) = real {
        assert_same(&real, &embedded);
    }
}

async fn lives_of_releases(mut terminal: Terminal) -> String {
    applied_by_the_server(&mut terminal).await;
    patched_by_helm(&mut terminal).await;
    refused(&mut terminal).await;
    terminal.transcript
}

/// The way of Helm 4.
async fn applied_by_the_server(terminal: &mut Terminal) {
    terminal.run("helm install shop ./shop -n shop --create-namespace").await;
    terminal.run(SHOW).await;
    terminal.run("kubectl get cm/shop-settings deploy/shop shelf/shop -n shop -o yaml --show-managed-fields").await;
    terminal.run("helm list -n shop").await;
    terminal.run("helm get manifest shop -n shop").await;

    let changes = "--set replicas=3,greeting=servus,shelf.enabled=false";
    terminal.run(&format!("helm upgrade shop ./shop -n shop {changes} --dry-run=server --hide-notes")).await;
    terminal.run(SHOW).await;
    terminal.run(&format!("helm upgrade shop ./shop -n shop {changes}")).await;
    terminal.run(SHOW).await;
    terminal.run("kubectl get deploy shop -n shop -o jsonpath={.spec.replicas}").await;

    terminal.run("kubectl scale deploy shop -n shop --replicas=7").await;
    terminal.run("helm upgrade shop ./shop -n shop --set replicas=4").await;
    terminal.run("helm upgrade shop ./shop -n shop --set replicas=4 --force-conflicts").await;
    terminal.run("helm upgrade shop ./shop -n shop --set shelf.boards=0").await;
    terminal.run("helm upgrade shop ./shop -n shop --set shelf.boards=many").await;
    terminal.run("helm upgrade shop ./shop -n shop --set replicas=-1").await;
    terminal.run("helm history shop -n shop").await;

    terminal.run("helm rollback shop 1 -n shop").await;
    terminal.run(SHOW).await;
    terminal.run("kubectl get deploy/shop shelf/shop -n shop -o yaml --show-managed-fields").await;
    terminal.run("kubectl get cm shop-settings shop-upgraded -n shop -o jsonpath={.items[*].data}").await;
    terminal.run("helm uninstall shop -n shop --wait --keep-history").await;
    terminal.run(SHOW).await;
    terminal.run("helm uninstall shop -n shop").await;
    terminal.run("helm list -A").await;
    // Helm never deletes definitions.
    terminal.run("kubectl get crd shelves.example.com -o name").await;
}

/// The way of Helm 3, and from there to the other.
async fn patched_by_helm(terminal: &mut Terminal) {
    terminal.run("helm install old ./shop -n shop --server-side=false").await;
    let show = "kubectl get deploy/old shelf/old -n shop -o yaml --show-managed-fields";
    terminal.run(show).await;
    terminal.run("kubectl scale deploy old -n shop --replicas=9").await;
    terminal.run("helm upgrade old ./shop -n shop --set replicas=4,shelf.boards=6,greeting=moin").await;
    terminal.run("kubectl get deploy/old shelf/old -n shop -o jsonpath={.items[*].spec}").await;
    terminal.run("helm upgrade old ./shop -n shop --server-side=true --set replicas=5,shelf.boards=7").await;
    terminal.run(show).await;
    terminal.run("helm rollback old 1 -n shop").await;
    terminal.run("kubectl get deploy/old shelf/old -n shop -o jsonpath={.items[*].spec}").await;
    terminal.run("helm uninstall old -n shop --cascade foreground --wait=legacy").await;
    terminal.run(SHOW).await;
}

async fn refused(terminal: &mut Terminal) {
    terminal.run("helm install lost ./shop -n elsewhere").await;
    terminal.run("kubectl create cm mine-settings -n shop").await;
    terminal.run("helm install mine ./shop -n shop").await;
    terminal.run("helm install mine ./shop -n shop --take-ownership").await;
    terminal.run("helm install mine ./shop -n shop").await;
    terminal.run("helm uninstall mine -n shop --wait").await;
    terminal.run(SHOW).await;
}
