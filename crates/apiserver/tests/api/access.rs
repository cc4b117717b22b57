//! Who may do what: roles, bindings and tokens of ServiceAccounts, with the real kubectl and at the wire.

use http::Method;
use kogge_apiserver::server::{PlaneName, PlaneOptions, Server, ServerOptions};
use serde_json::{Value, json};

use crate::{
    client::{Answer, CONFIG_MAPS, Client, config_map, open},
    kubectl::start,
};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

impl Client {
    /// A request as a user of these groups.
    async fn send_as(&self, user: &str, groups: &[&str], method: Method, path: &str, body: &Value) -> Answer {
        let mut headers = vec![("impersonate-user", user), ("content-type", "application/json")];
        headers.extend(groups.iter().map(|group| ("impersonate-group", *group)));
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send(method, path, &headers, body).await
    }

    async fn get_as_user(&self, user: &str, path: &str) -> Answer {
        self.send_as(user, &[], Method::GET, path, &Value::Null).await
    }

    async fn post_as_user(&self, user: &str, path: &str, body: &Value) -> Answer {
        self.send_as(user, &[], Method::POST, path, body).await
    }
}

fn role(kind: &str, name: &str, rules: &Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "rules": rules})
}

fn binding(kind: &str, name: &str, (role_kind, role): (&str, &str), user: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robot_gets_a_role_and_a_token_and_acts_with_it() {
    let Some(mut kubectl) = start().await else { return };
    kubectl.run("create namespace team").await;
    kubectl.run("create serviceaccount robot -n team").await;
    kubectl.run("create role reader -n team --verb=get,list,watch --resource=configmaps,pods/log").await;
    kubectl.run("create rolebinding robots -n team --role=reader --serviceaccount=team:robot").await;
    let token = kubectl.command(&["create", "token", "robot", "-n", "team", "--duration=20m"]).output().await.unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    assert_eq!(token.split('.').count(), 3, "{token}");
    for arguments in [
        &["config", "set-credentials", "robot", "--token", &token][..],
        &["config", "set-context", "robot", "--cluster=kogge", "--user=robot"],
    ] {
        assert!(kubectl.command(arguments).output().await.unwrap().status.success());
    }
    kubectl.run("auth whoami --context=robot").await;
    kubectl.run("get configmaps -n team --context=robot").await;
    kubectl.run("get configmaps --context=robot").await;
    kubectl.run("delete configmap x -n team --context=robot").await;
    kubectl.run("get namespaces --context=robot").await;
    kubectl.run("get --raw /metrics --context=robot").await;
    kubectl.run("auth can-i list configmaps -n team --context=robot").await;
    kubectl.run("auth can-i list configmaps --context=robot").await;
    kubectl.run("auth can-i get pods --subresource=log -n team --as=system:serviceaccount:team:robot").await;
    kubectl.run("auth can-i --list -n team --context=robot").await;
    kubectl.run("get configmaps -n team --as=anna --context=robot").await;
    kubectl.run("create clusterrolebinding mine --clusterrole=cluster-admin --user=anna --context=robot").await;
    kubectl
        .run_with(
            "auth reconcile -f -",
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader, namespace: team}\n\
             rules:\n- {apiGroups: [\"\"], resources: [configmaps], verbs: [delete]}\n",
        )
        .await;
    kubectl.run("auth can-i delete configmaps -n team --context=robot").await;
    kubectl.run("get clusterroles view -o jsonpath={.metadata.labels}").await;
    kubectl.run("delete serviceaccount robot -n team").await;
    kubectl.run("get configmaps -n team --context=robot").await;
    insta::assert_snapshot!(kubectl.transcript);
}

#[tokio::test]
async fn roles_of_the_start_are_there_and_aggregate_new_ones() {
    let client = open().await;
    let view = |user: &'static str| client.get_as_user(user, CONFIG_MAPS);
    assert_eq!(view("anna").await.code, 403);
    let bind = binding("RoleBinding", "viewers", ("ClusterRole", "view"), "anna");
    client.post(&format!("{RBAC}/namespaces/default/rolebindings"), &bind).await.ok();
    view("anna").await.ok();
    assert_eq!(view("eve").await.code, 403);
    client.define_widgets().await;
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    assert_eq!(client.get_as_user("anna", widgets).await.code, 403);
    let mut rules = role(
        "ClusterRole",
        "widget-viewer",
        &json!([
            {"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get", "list", "watch"]},
        ]),
    );
    rules["metadata"]["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    client.post(&format!("{RBAC}/clusterroles"), &rules).await.ok();
    // The controller is another task.
    while client.get_as_user("anna", widgets).await.code == 403 {
        tokio::task::yield_now().await;
    }
    let admin = client.get(&format!("{RBAC}/clusterroles/view")).await.ok();
    let managers: Vec<&Value> =
        admin["metadata"]["managedFields"].as_array().unwrap().iter().map(|entry| &entry["manager"]).collect();
    assert!(managers.contains(&&json!("clusterrole-aggregation-controller")), "{managers:?}");
    client.delete(&format!("{RBAC}/namespaces/default/rolebindings/viewers"), &json!({})).await.ok();
    assert_eq!(view("anna").await.code, 403);
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let client = open().await;
    let manage = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create", "update", "patch", "get"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]);
    client.post(&format!("{RBAC}/clusterroles"), &role("ClusterRole", "manager", &manage)).await.ok();
    let bind = binding("ClusterRoleBinding", "anna-manages", ("ClusterRole", "manager"), "anna");
    client.post(&format!("{RBAC}/clusterrolebindings"), &bind).await.ok();
    let (roles, bindings) =
        (format!("{RBAC}/namespaces/default/roles"), format!("{RBAC}/namespaces/default/rolebindings"));
    let held = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    client.post_as_user("anna", &roles, &role("Role", "mine", &held)).await.ok();
    client.post_as_user("anna", &bindings, &binding("RoleBinding", "mine", ("Role", "mine"), "otto")).await.ok();
    let more = json!([{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["list", "delete"]}]);
    let mut aggregated = role("ClusterRole", "all", &json!([]));
    aggregated["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
    let patch = [("impersonate-user", "anna"), ("content-type", "application/merge-patch+json")];
    let refusals = [
        client.post_as_user("anna", &roles, &role("Role", "more", &more)).await.error(),
        client
            .send(Method::PATCH, &format!("{roles}/mine"), &patch, json!({"rules": more}).to_string().into())
            .await
            .error(),
        client.post_as_user("anna", &format!("{RBAC}/clusterroles"), &aggregated).await.error(),
        client
            .post_as_user("anna", &bindings, &binding("RoleBinding", "admins", ("ClusterRole", "view"), "anna"))
            .await
            .error(),
        client.post_as_user("anna", &bindings, &binding("RoleBinding", "lost", ("Role", "gone"), "anna")).await.error(),
        client.get_as_user("eve<script>", "/api/v1/namespaces/default").await.error(),
        client.get_as_user("eve", "/api/v1/configmaps?fieldSelector=metadata.name=x").await.error(),
        client.get_as_user("eve", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/mine").await.error(),
        client.send_as("eve", &["system:unauthenticated"], Method::GET, "/apis", &Value::Null).await.error(),
    ];
    insta::assert_snapshot!(refusals.join("\n"));
    let bind_any = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles", "roles"], "verbs": ["bind", "escalate"]}]);
    client.post(&format!("{RBAC}/clusterroles"), &role("ClusterRole", "binder", &bind_any)).await.ok();
    let bind = binding("ClusterRoleBinding", "anna-binds", ("ClusterRole", "binder"), "anna");
    client.post(&format!("{RBAC}/clusterrolebindings"), &bind).await.ok();
    client
        .post_as_user("anna", &bindings, &binding("RoleBinding", "admins", ("ClusterRole", "admin"), "anna"))
        .await
        .ok();
    client.post_as_user("anna", &roles, &role("Role", "more", &more)).await.ok();
}

/// A request to a plane with a bearer token, as it comes over the listener.
async fn with_token(server: &Server, path: &str, token: &str) -> u16 {
    let request = http::Request::get(path).header("authorization", format!("Bearer {token}"));
    server.answer(request.body(axum::body::Body::empty()).unwrap()).await.status().as_u16()
}

#[tokio::test]
async fn a_token_is_good_on_its_own_plane_while_what_it_is_bound_to_exists() {
    let server = Server::open(ServerOptions::default()).await.unwrap();
    let name = PlaneName("default/w".to_owned());
    let workload = server.create_plane(&name, PlaneOptions::default()).await.unwrap();
    let clients = [server.management(), workload].map(|plane| Client { _server: server.clone(), kube: plane.client() });
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let request =
        |spec: &Value| json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let mut tokens = Vec::new();
    for client in &clients {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
        client.post(accounts, &account).await.ok();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
        client.post("/api/v1/namespaces/default/secrets", &secret).await.ok();
        let bound =
            json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "s"}, "expirationSeconds": 600});
        for spec in [json!({}), bound, json!({"audiences": ["vault"]})] {
            let answer = client.post(&format!("{accounts}/robot/token"), &request(&spec)).await;
            assert_eq!(answer.code, 201);
            tokens.push(answer.ok()["status"]["token"].as_str().unwrap().to_owned());
        }
    }
    let [management, workload] = ["/api", "/clusters/default/w/api"];
    let codes = async |path: &str| {
        let mut codes = Vec::new();
        for token in &tokens {
            codes.push(with_token(&server, path, token).await);
        }
        codes
    };
    assert_eq!(codes(management).await, [200, 200, 401, 401, 401, 401]);
    assert_eq!(codes(workload).await, [401, 401, 401, 200, 200, 401]);
    assert_eq!(with_token(&server, management, &format!("{}x", tokens[0])).await, 401);
    let client = &clients[0];
    let review = async |token: &str, audiences: Value| {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, "audiences": audiences}});
        client.post("/apis/authentication.k8s.io/v1/tokenreviews", &review).await.ok()["status"].clone()
    };
    let mut own = review(&tokens[1], json!(null)).await;
    assert!(own["user"]["uid"].take().is_string());
    assert!(own["user"]["extra"].take().is_object());
    assert_eq!(
        own,
        json!({"authenticated": true, "audiences": ["https://kubernetes.default.svc.cluster.local"], "user": {
            "username": "system:serviceaccount:default:robot", "uid": null, "extra": null,
            "groups": ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]}})
    );
    assert_eq!(review(&tokens[2], json!(["vault", "other"])).await["audiences"], json!(["vault"]));
    assert_eq!(
        review(&tokens[2], json!(["other"])).await,
        json!({"user": {}, "error": "[invalid bearer token, token audiences [\"vault\"] is invalid for the target audiences [\"other\"]]"})
    );
    assert_eq!(review("x", json!([])).await, json!({"user": {}, "error": "invalid bearer token"}));
    let refusals = [
        client.post(&format!("{accounts}/nobody/token"), &request(&json!({}))).await.error(),
        client.post(&format!("{accounts}/robot/token"), &request(&json!({"expirationSeconds": 60}))).await.error(),
        client
            .post(
                &format!("{accounts}/robot/token"),
                &request(&json!({"boundObjectRef": {"apiVersion": "v1", "kind": "ConfigMap", "name": "s"}})),
            )
            .await
            .error(),
        client
            .post(
                &format!("{accounts}/robot/token"),
                &request(&json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "u"}})),
            )
            .await
            .error()
            .split(" does not match")
            .next()
            .unwrap()
            .to_owned(),
    ];
    insta::assert_snapshot!(refusals.join("\n"));
    client.delete("/api/v1/namespaces/default/secrets/s", &json!({})).await.ok();
    assert_eq!(
        review(&tokens[1], json!([])).await["error"],
        "[invalid bearer token, service account token has been invalidated]"
    );
    assert_eq!(codes(management).await[..2], [200, 401]);
    client.delete(&format!("{accounts}/robot"), &json!({})).await.ok();
    assert_eq!(codes(management).await[..2], [401, 401]);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    client.post(accounts, &account).await.ok();
    assert_eq!(codes(management).await[0], 401, "another account of the same name");
    let keys = client.get("/openid/v1/jwks").await.ok();
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["alg"]), (&json!("EC"), &json!("ES256")));
    assert_eq!(
        clients[1].get("/.well-known/openid-configuration").await.ok()["issuer"],
        "https://kubernetes.default.svc.cluster.local/clusters/default/w"
    );
    client.post(CONFIG_MAPS, &config_map("x")).await.ok();
}

/// A request with a bearer token and headers; code and message.
async fn ask(server: &Server, token: &str, headers: &[(&str, &str)], path: &str) -> String {
    let mut request = http::Request::get(path).header("authorization", format!("Bearer {token}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = server.answer(request.body(axum::body::Body::empty()).unwrap()).await;
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1_000_000).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    format!("{code} {}", body["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn acting_as_somebody_else_needs_the_right_to_each_part() {
    let server = Server::open(ServerOptions::default()).await.unwrap();
    let client = Client { kube: server.management().client(), _server: server.clone() };
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    client
        .post(accounts, &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}))
        .await
        .ok();
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = client.post(&format!("{accounts}/robot/token"), &request).await.ok();
    let token = answer["status"]["token"].as_str().unwrap().to_owned();
    let grant = async |name: &str, rules: Value| {
        client.post(&format!("{RBAC}/clusterroles"), &role("ClusterRole", name, &rules)).await.ok();
        let mut bind = binding("ClusterRoleBinding", name, ("ClusterRole", name), "");
        bind["subjects"] = json!([{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]);
        client.post(&format!("{RBAC}/clusterrolebindings"), &bind).await.ok();
    };
    grant("legacy", json!([
        {"apiGroups": [""], "resources": ["users"], "resourceNames": ["anna"], "verbs": ["impersonate"]},
        {"apiGroups": [""], "resources": ["groups"], "resourceNames": ["crew"], "verbs": ["impersonate"]},
        {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["userextras/tenant"], "resourceNames": ["x"], "verbs": ["impersonate"]},
    ])).await;
    grant("constrained", json!([
        {"apiGroups": ["authentication.k8s.io"], "resources": ["users"], "resourceNames": ["otto"], "verbs": ["impersonate:user-info"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["impersonate-on:user-info:list"]},
    ])).await;
    let bind = binding("RoleBinding", "otto", ("ClusterRole", "view"), "otto");
    client.post(&format!("{RBAC}/namespaces/default/rolebindings"), &bind).await.ok();
    let anna = ("impersonate-user", "anna");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[anna], CONFIG_MAPS),
        (&[anna, ("impersonate-group", "crew"), ("impersonate-extra-tenant", "x")], CONFIG_MAPS),
        (&[anna, ("impersonate-group", "system:masters")], CONFIG_MAPS),
        (&[anna, ("impersonate-extra-tenant", "y")], CONFIG_MAPS),
        (&[anna, ("impersonate-uid", "1")], CONFIG_MAPS),
        (&[("impersonate-user", "system:serviceaccount:team:other")], CONFIG_MAPS),
        (&[("impersonate-user", "otto")], CONFIG_MAPS),
        (&[("impersonate-user", "otto")], "/api/v1/namespaces/default/secrets"),
        (&[("impersonate-group", "crew")], CONFIG_MAPS),
    ];
    let mut lines = Vec::new();
    for (headers, path) in cases {
        lines.push(format!("{headers:?}\n  {}", ask(&server, &token, headers, path).await));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn a_secret_for_a_token_is_filled_and_revokes_it_when_deleted() {
    let server = Server::open(ServerOptions::default()).await.unwrap();
    let client = Client { kube: server.management().client(), _server: server.clone() };
    let (accounts, secrets) = ("/api/v1/namespaces/default/serviceaccounts", "/api/v1/namespaces/default/secrets");
    client
        .post(accounts, &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}))
        .await
        .ok();
    let secret = |name: &str, account: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": account}}})
    };
    assert_eq!(
        client.post(secrets, &secret("none", "")).await.error().lines().next().unwrap(),
        "422 Invalid: Secret \"none\" is invalid: metadata.annotations[kubernetes.io/service-account.name]: Required value"
    );
    let filled = async |name: &str| loop {
        let object = client.get(&format!("{secrets}/{name}")).await.ok();
        if object["data"]["token"].is_string() {
            break object;
        }
        tokio::task::yield_now().await;
    };
    let gone = async |name: &str| {
        while client.get(&format!("{secrets}/{name}")).await.code != 404 {
            tokio::task::yield_now().await;
        }
    };
    let token_of = |object: &Value| {
        use base64::Engine as _;
        let decoded = base64::engine::general_purpose::STANDARD.decode(object["data"]["token"].as_str().unwrap());
        String::from_utf8(decoded.unwrap()).unwrap()
    };
    client.post(secrets, &secret("a", "robot")).await.ok();
    client.post(secrets, &secret("b", "robot")).await.ok();
    let (first, second) = (token_of(&filled("a").await), token_of(&filled("b").await));
    assert_eq!(
        (ask(&server, &first, &[], "/api").await, ask(&server, &second, &[], "/api").await),
        ("200 ".into(), "200 ".into())
    );
    let patch = async |path: String, patch: Value| client.patch(&path, "merge", &patch).await.ok();
    let used = filled("a").await;
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    assert_eq!(used["metadata"]["labels"], json!({"kubernetes.io/legacy-token-last-used": today}));
    let owners = used["metadata"]["managedFields"].as_array().unwrap();
    assert!(owners.iter().any(|owner| owner["manager"] == "kube-apiserver"));
    let review = async || {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": first}});
        client.post("/apis/authentication.k8s.io/v1/tokenreviews", &review).await
    };
    assert_eq!(review().await.warnings(), [""; 0]);
    patch(format!("{accounts}/robot"), json!({"secrets": [{"name": "a"}]})).await;
    assert_eq!(
        review().await.warnings(),
        [
            "299 - \"Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based tokens.\"",
        ]
    );
    let invalid = |since: Value| json!({"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": since}}});
    patch(format!("{secrets}/a"), invalid("2026-01-01".into())).await;
    assert_eq!(ask(&server, &first, &[], "/api").await, "401 Unauthorized");
    assert_eq!(
        review().await.ok()["status"]["error"],
        "[invalid bearer token, the token in secret default/a for service account default/robot has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the 'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token]"
    );
    patch(format!("{secrets}/a"), invalid(Value::Null)).await;
    assert_eq!(ask(&server, &first, &[], "/api").await, "200 ");
    client.delete(&format!("{secrets}/a"), &json!({})).await.ok();
    assert_eq!(ask(&server, &first, &[], "/api").await, "401 Unauthorized");
    assert_eq!(ask(&server, &second, &[], "/api").await, "200 ");
    client.delete(&format!("{accounts}/robot"), &json!({})).await.ok();
    assert_eq!(ask(&server, &second, &[], "/api").await, "401 Unauthorized");
    gone("b").await;
    client.post(secrets, &secret("c", "nobody")).await.ok();
    gone("c").await;
}
