//! Planes beside each other, over TLS, and again after a restart.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kogge_apiserver::{
    certificates::{CertificateAndKey, create_authority, issue_client_certificate},
    server::{PlaneName, PlaneOptions, Server, ServerOptions, Storage},
};
use kube::{
    Api, Client, Config,
    api::{ListParams, PostParams, WatchParams},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

fn install_crypto() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A listener on a free port.
pub(crate) struct Listener {
    pub(crate) url: String,
    shutdown: tokio_util::sync::DropGuard,
    serving: tokio::task::JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn stop(self) {
        drop(self.shutdown);
        self.serving.await.unwrap();
    }
}

pub(crate) async fn listen(server: &Server) -> Listener {
    install_crypto();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let token = CancellationToken::new();
    let serving = tokio::spawn({
        let (server, token) = (server.clone(), token.clone());
        async move { server.serve(listener, token).await.unwrap() }
    });
    Listener { url, shutdown: token.drop_guard(), serving }
}

pub(crate) async fn client_of(server: &Server, url: &str, user: Option<&CertificateAndKey>) -> Client {
    let mut kubeconfig = Kubeconfig::from_yaml(&server.admin_kubeconfig(url)).unwrap();
    let auth = kubeconfig.auth_infos[0].auth_info.as_mut().unwrap();
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    match user {
        Some(user) => {
            auth.client_certificate_data = Some(encode(&user.certificate_pem));
            auth.client_key_data = Some(encode(&user.key_pem).into());
        }
        None => *auth = AuthInfo::default(),
    }
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    // A refusal is to be seen, not waited for.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

fn user(authority: &CertificateAndKey, name: &str, group: &str) -> CertificateAndKey {
    let (now, hour) = (SystemTime::now(), Duration::from_hours(1));
    issue_client_certificate(&authority.certificate_pem, &authority.key_pem, name, &[group], hour, now).unwrap()
}

fn code(error: kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn each_plane_trusts_its_own_authority_on_one_listener() {
    let server = Server::open(ServerOptions::default()).await.unwrap();
    let authority = create_authority("workload", SystemTime::now()).unwrap();
    let name = PlaneName("default/w".to_owned());
    let options = PlaneOptions {
        kubernetes_version: "v1.34.2".to_owned(),
        client_ca_pem: Some(authority.certificate_pem.clone()),
        service_network: Some("10.200.0.0/16".to_owned()),
        ..PlaneOptions::default()
    };
    let plane = server.create_plane(&name, options.clone()).await.unwrap();
    let again = server.create_plane(&name, options).await.unwrap();
    assert_eq!(again.name(), plane.name(), "made once");
    let listener = listen(&server).await;
    let url = listener.url.clone();
    let workload_url = format!("{url}/clusters/default/w");
    let admin = server.certificates().admin.clone();
    let management = client_of(&server, &url, Some(&admin)).await;
    let workload =
        client_of(&server, &workload_url, Some(&user(&authority, "kubernetes-admin", "system:masters"))).await;
    assert_eq!(management.apiserver_version().await.unwrap().git_version, "v1.36.0");
    assert_eq!(workload.apiserver_version().await.unwrap().git_version, "v1.34.2");

    let maps: Api<ConfigMap> = Api::namespaced(workload.clone(), "default");
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "only-here"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let elsewhere: Api<ConfigMap> = Api::namespaced(management.clone(), "default");
    assert_eq!(elsewhere.list(&ListParams::default()).await.unwrap().items.len(), 0);
    let inside: Api<ConfigMap> = Api::namespaced(server.plane(&name).unwrap().client(), "default");
    assert_eq!(inside.list(&ListParams::default()).await.unwrap().items.len(), 1);

    let namespaces = |client: Client| async move { Api::<Namespace>::all(client).list(&ListParams::default()).await };
    let foreign = client_of(&server, &workload_url, Some(&admin)).await;
    assert_eq!(code(namespaces(foreign).await.unwrap_err()), 401, "the management plane's admin is nobody here");
    let anonymous = client_of(&server, &url, None).await;
    assert_eq!(code(namespaces(anonymous.clone()).await.unwrap_err()), 401);
    assert_eq!(anonymous.apiserver_version().await.unwrap().git_version, "v1.36.0", "the version is public");
    let guest = client_of(&server, &workload_url, Some(&user(&authority, "anna", "developers"))).await;
    assert!(guest.list_core_api_versions().await.is_ok(), "discovery is for every authenticated user");
    match namespaces(guest).await.unwrap_err() {
        kube::Error::Api(status) => insta::assert_snapshot!(
            format!("{} {}: {}", status.code, status.reason, status.message),
            @r#"403 Forbidden: namespaces is forbidden: User "anna" cannot list resource "namespaces" in API group "" at the cluster scope"#
        ),
        other => panic!("{other}"),
    }
    assert_eq!(
        code(namespaces(client_of(&server, &format!("{url}/clusters/no/ne"), Some(&admin)).await).await.unwrap_err()),
        404
    );

    server.delete_plane(&name).await.unwrap();
    assert_eq!(code(namespaces(workload).await.unwrap_err()), 404);
    listener.stop().await;
}

#[tokio::test]
async fn shutting_down_ends_watches() {
    let server = Server::open(ServerOptions::default()).await.unwrap();
    let listener = listen(&server).await;
    let client = client_of(&server, &listener.url, Some(&server.certificates().admin)).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let watch = maps.watch(&WatchParams::default().disable_bookmarks(), "0").await.unwrap();
    let (events, ()) = tokio::join!(watch.count(), listener.stop());
    assert_eq!(events, 0, "the stream ends without an event");
}

#[tokio::test]
async fn an_empty_file_is_no_store_that_was_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let options = ServerOptions { data: Storage::Directory(directory.path().to_owned()), ..ServerOptions::default() };
    // A start that is cut short right at its begin leaves the file alone.
    std::fs::write(directory.path().join("kogge.redb"), "").unwrap();
    std::fs::create_dir(directory.path().join("pki")).unwrap();
    std::fs::write(directory.path().join("pki/admin.crt"), "").unwrap();
    let refused = Server::open(options.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("kogge.redb is empty, though") && refused.contains("from a backup"), "{refused}");
    std::fs::remove_file(directory.path().join("pki/admin.crt")).unwrap();
    Server::open(options).await.unwrap();
}

#[tokio::test]
async fn everything_is_there_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = ServerOptions { data: Storage::Directory(directory.path().to_owned()), ..ServerOptions::default() };
    let name = PlaneName("default/w".to_owned());
    let (authority, kubeconfig) = {
        let server = Server::open(options.clone()).await.unwrap();
        assert!(Server::open(options.clone()).await.is_err(), "one process at a time");
        let plane = server
            .create_plane(&name, PlaneOptions { kubernetes_version: "v1.35.1".to_owned(), ..PlaneOptions::default() })
            .await
            .unwrap();
        plane
            .apply_all(vec![crate::client::widgets(), {
                let mut widget = crate::client::widget("a", &json!({}));
                widget["metadata"]["namespace"] = "default".into();
                widget["status"] = json!({"ready": true});
                widget
            }])
            .await
            .unwrap();
        (server.certificate_authority_pem(), server.admin_kubeconfig("https://localhost"))
    };
    let server = loop {
        // The last connection tasks of the first server let go of the file a moment after it.
        match Server::open(options.clone()).await {
            Ok(server) => break server,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(
        (server.certificate_authority_pem(), server.admin_kubeconfig("https://localhost")),
        (authority, kubeconfig)
    );
    let plane = server.plane(&name).unwrap();
    assert_eq!(*plane.kubernetes_version(), "v1.35.1");
    let client = crate::client::Client { kube: plane.client(), _server: server };
    let widget = client.get(&format!("{}/a", crate::client::WIDGETS)).await.ok();
    assert_eq!((&widget["spec"]["size"], &widget["status"]["ready"]), (&json!("small"), &json!(true)));
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    assert_eq!(client.get_as("/api/v1/namespaces", accept).await.ok()["rows"].as_array().unwrap().len(), 4);
}
