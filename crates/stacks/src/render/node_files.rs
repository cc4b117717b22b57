//! Files on the machines that follow from a description: proxy, registry mirrors, trusted authorities, sign-in.

use kogge_api::kubernetes_cluster::{KubernetesClusterSpec, MirrorCapability, OpenIdConnect, RegistryMirror};
use serde_json::{Value, json};

/// Where containerd looks for the hosts of a registry.
const CERTS_D: &str = "/etc/containerd/certs.d";
/// Where user names and passwords of mirrors lie.
const CREDENTIALS_DIRECTORY: &str = "/etc/kubernetes/registries";
/// Where user name and password of the proxy lie.
const PROXY_DIRECTORY: &str = "/etc/kubernetes/proxy";
/// Where the API server's structured authentication configuration lies.
pub(super) const AUTHENTICATION_DIRECTORY: &str = "/etc/kubernetes/authentication";

/// Files every machine gets.
pub(super) fn machine_files(spec: &KubernetesClusterSpec) -> Vec<Value> {
    let mut files = Vec::new();
    if let Some(proxy) = &spec.network.proxy {
        let url = &proxy.url;
        let mut content = format!(
            "[Service]\nEnvironment=\"HTTP_PROXY={url}\"\nEnvironment=\"HTTPS_PROXY={url}\"\nEnvironment=\"NO_PROXY={}\"\n",
            no_proxy(spec, &proxy.no_proxy)
        );
        if let Some(secret) = &proxy.secret_ref {
            // Written by a command below, because user and password are known on the machine only; it overrides the above.
            content = format!("{content}EnvironmentFile={PROXY_DIRECTORY}/environment\n");
            for key in ["username", "password"] {
                files.push(file_from_secret(&format!("{PROXY_DIRECTORY}/{key}"), &secret.name, key));
            }
        }
        for service in ["containerd", "kubelet"] {
            files.push(file(&format!("/etc/systemd/system/{service}.service.d/http-proxy.conf"), "0644", &content));
        }
    }
    for mirror in &spec.registries.mirrors {
        files.extend(mirror_files(mirror));
    }
    if let Some(trust) = &spec.trust {
        files.push(file_from_secret(
            "/usr/local/share/ca-certificates/kogge-trust.crt",
            &trust.ca_secret_ref.name,
            "ca.crt",
        ));
    }
    files
}

/// Commands every machine runs before it joins, because of [`machine_files`].
pub(super) fn machine_commands(spec: &KubernetesClusterSpec) -> Vec<Value> {
    let mut commands = Vec::new();
    if spec.trust.is_some() {
        commands.push("update-ca-certificates".to_owned());
    }
    if let Some(proxy) = &spec.network.proxy {
        if proxy.secret_ref.is_some() {
            let (scheme, host) = proxy.url.split_once("://").unwrap_or(("http", &proxy.url));
            commands.push(format!(
                "(umask 077; cd {PROXY_DIRECTORY}; printf 'HTTP_PROXY=%s\\nHTTPS_PROXY=%s\\n' \
                 {scheme}://\"$(cat username):$(cat password)\"@{host} {scheme}://\"$(cat username):$(cat password)\"@{host} \
                 > environment)",
                scheme = shell_word(scheme),
                host = shell_word(host),
            ));
        }
        commands.push("systemctl daemon-reload".to_owned());
    }
    for mirror in &spec.registries.mirrors {
        for (index, endpoint) in mirror.endpoints.iter().enumerate() {
            if endpoint.credentials_secret_ref.is_some() {
                let directory = mirror_directory(mirror);
                commands.push(format!(
                    "(umask 077; cd {credentials}; printf '\\n[host.%s.header]\\n  Authorization = \"Basic %s\"\\n' {url} \
                     \"$(printf '%s:%s' \"$(cat {index}-username)\" \"$(cat {index}-password)\" | base64 -w0)\" \
                     >> {hosts})",
                    credentials = shell_word(&format!("{CREDENTIALS_DIRECTORY}/{directory}")),
                    url = shell_word(&toml_text(&endpoint.url)),
                    hosts = shell_word(&format!("{CERTS_D}/{directory}/hosts.toml")),
                ));
            }
        }
    }
    if !commands.is_empty() {
        commands.push("systemctl restart containerd".to_owned());
    }
    commands.into_iter().map(Value::from).collect()
}

/// Name of a registry as a directory of containerd's configuration.
fn mirror_directory(mirror: &RegistryMirror) -> &str {
    if mirror.upstream == "*" { "_default" } else { &mirror.upstream }
}

/// A text as one word of a shell.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn mirror_files(mirror: &RegistryMirror) -> Vec<Value> {
    let directory = mirror_directory(mirror);
    let mut files = Vec::new();
    let mut hosts = Vec::new();
    if mirror.upstream != "*" {
        hosts.push(format!("server = {}\n", toml_text(&format!("https://{}", mirror.upstream))));
    }
    for (index, endpoint) in mirror.endpoints.iter().enumerate() {
        let capabilities: Vec<&str> = endpoint
            .capabilities
            .iter()
            .map(|capability| match capability {
                MirrorCapability::Pull => "\"pull\"",
                MirrorCapability::Resolve => "\"resolve\"",
                MirrorCapability::Push => "\"push\"",
            })
            .collect();
        hosts.push(format!("\n[host.{}]\n  capabilities = [{}]\n", toml_text(&endpoint.url), capabilities.join(", ")));
        if endpoint.override_path {
            hosts.push("  override_path = true\n".to_owned());
        }
        if let Some(secret) = &endpoint.ca_secret_ref {
            let path = format!("{CERTS_D}/{directory}/{index}-ca.crt");
            hosts.push(format!("  ca = {}\n", toml_text(&path)));
            files.push(file_from_secret(&path, &secret.name, "ca.crt"));
        }
        if let Some(secret) = &endpoint.credentials_secret_ref {
            for key in ["username", "password"] {
                let path = format!("{CREDENTIALS_DIRECTORY}/{directory}/{index}-{key}");
                files.push(file_from_secret(&path, &secret.name, key));
            }
        }
    }
    files.insert(0, file(&format!("{CERTS_D}/{directory}/hosts.toml"), "0644", &hosts.concat()));
    files
}

/// The API server's configuration for sign-in by OpenID Connect.
pub(super) fn authentication_file(oidc: &OpenIdConnect) -> Value {
    // JSON is YAML, and needs no quoting rules of its own.
    let mut mappings = json!({"username": {"claim": oidc.username_claim, "prefix": "oidc:"}});
    if let Some(claim) = &oidc.groups_claim {
        mappings["groups"] = json!({"claim": claim, "prefix": "oidc:"});
    }
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1beta1",
        "kind": "AuthenticationConfiguration",
        "jwt": [{"issuer": {"url": oidc.issuer_url, "audiences": [oidc.client_id]}, "claimMappings": mappings}],
    });
    file(&format!("{AUTHENTICATION_DIRECTORY}/configuration.yaml"), "0600", &format!("{configuration}\n"))
}

/// What is reached without the proxy: the cluster itself, the metadata service, and what the user adds.
fn no_proxy(spec: &KubernetesClusterSpec, own: &[String]) -> String {
    let network = &spec.network;
    let mut targets: Vec<&str> = vec![
        "127.0.0.0/8",
        "localhost",
        "169.254.169.254/32",
        ".svc",
        ".svc.cluster.local",
        &network.node_cidr,
        &network.pod_cidr,
        &network.service_cidr,
    ];
    if let Some(ipv6) = &network.ipv6 {
        targets.extend(["::1", ipv6.node_cidr.as_str(), &ipv6.pod_cidr, &ipv6.service_cidr]);
    }
    targets.extend(own.iter().map(String::as_str));
    targets.join(",")
}

fn toml_text(text: &str) -> String {
    // A TOML basic string escapes like a JSON string.
    Value::from(text).to_string()
}

fn file(path: &str, permissions: &str, content: &str) -> Value {
    json!({"path": path, "owner": "root:root", "permissions": permissions, "content": content})
}

fn file_from_secret(path: &str, secret: &str, key: &str) -> Value {
    json!({
        "path": path,
        "owner": "root:root",
        "permissions": "0600",
        "contentFrom": {"secret": {"name": secret, "key": key}},
    })
}
