//! What is written for a manager before it starts: objects on the server, files in its folder.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kogge_api::server_answer::failure_text;
use kogge_apiserver::certificates::{CertificateAndKey, issue_serving_certificate};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::{Client, discovery};
use serde_json::{Value, json};

use super::ManagerError;
use super::configuration::{Flags, ManagerSpec, PLACEHOLDERS};
use super::manifests::{self, Manifests, WebhookAddress};

/// Owner of what is installed.
const FIELD_MANAGER: &str = "kogge-managers";
/// Life of a token, in seconds. A new one is written every hour.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// Why something could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// An object was refused.
    #[error("failed to install {object}: {}", failure_text(.source))]
    Object {
        /// Its kind and name.
        object: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The ServiceAccount got no token.
    #[error(
        "failed to get a token for the ServiceAccount {account}: {}{}",
        failure_text(.source),
        hint(.source)
    )]
    Token {
        /// `NAMESPACE/NAME`.
        account: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// A file the manager reads could not be written.
    #[error("failed to write {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What to do about a ServiceAccount that is not there.
fn hint(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            ": create it, or name one of the manifests as `serviceAccount`"
        }
        _ => "",
    }
}

/// What all managers of a run share.
pub struct Surroundings {
    /// Where the managers' folders are.
    pub directory: PathBuf,
    /// Issues the certificates of their webhooks.
    pub authority: CertificateAndKey,
}

/// A manager that is ready to be installed and run, on whichever server.
pub struct Installation {
    /// What to run.
    pub spec: ManagerSpec,
    /// The folder with its files.
    pub directory: PathBuf,
    manifests: Manifests,
    serving: CertificateAndKey,
    webhook_port: u16,
    /// Port on 127.0.0.1 where it answers `/readyz`.
    pub health_port: u16,
}

impl Installation {
    /// Reads a manager's manifests and wires its webhooks to a free port of this machine.
    ///
    /// # Errors
    /// If the manifests cannot be read, no port is free or no certificate can be made; nothing was installed then.
    pub fn prepare(spec: ManagerSpec, surroundings: &Arc<Surroundings>, now: SystemTime) -> Result<Self, ManagerError> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let [webhook_port, health_port] = free_ports().map_err(ManagerError::Port)?;
        let ca_bundle = STANDARD.encode(&surroundings.authority.certificate_pem);
        let documents = manifests::read(spec.manifests.as_deref().unwrap_or_default())?;
        let environment = |name: &str| spec.env.get(name).cloned().or_else(|| std::env::var(name).ok());
        let mut manifests = manifests::wire(documents, &WebhookAddress { port: webhook_port, ca_bundle }, &environment);
        if let Some(account) = &spec.service_account {
            manifests.service_account = Some(account.clone());
        }
        let mut names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        names.extend(manifests.service_names.iter().cloned());
        let serving = issue_serving_certificate(&surroundings.authority, &spec.name, &names, now)?;
        let directory = surroundings.directory.join(&spec.name);
        Ok(Self { spec, directory, manifests, serving, webhook_port, health_port })
    }

    /// Whether the manifests define kinds of an API group.
    pub(super) fn defines_group(&self, group: &str) -> bool {
        self.manifests
            .objects
            .iter()
            .any(|object| object["kind"] == "CustomResourceDefinition" && object["spec"]["group"] == group)
    }

    fn account(&self) -> Option<(&str, &str)> {
        self.manifests.service_account.as_deref()?.split_once('/')
    }

    fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    fn certificates(&self) -> PathBuf {
        self.directory.join("webhook")
    }

    /// Writes the files a manager reads; `administrator` is the kubeconfig of managers without a ServiceAccount.
    ///
    /// # Errors
    /// If there is no token for its ServiceAccount, or a file cannot be written.
    pub async fn write_files(
        &self,
        client: &Client,
        server_url: &str,
        authority_pem: &str,
        administrator: &str,
    ) -> Result<(), InstallError> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        for folder in [&self.directory, &self.certificates()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|source| InstallError::File { path: folder.clone(), source })?;
        }
        write_private(&self.certificates().join("tls.crt"), &self.serving.certificate_pem)?;
        write_private(&self.certificates().join("tls.key"), &self.serving.key_pem)?;
        let Some((namespace, _)) = self.account() else {
            return write_private(&self.kubeconfig(), administrator);
        };
        self.refresh_token(client).await?;
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "kogge", "cluster": {
                "server": server_url,
                "certificate-authority-data": STANDARD.encode(authority_pem),
            }}],
            "users": [{"name": self.spec.name, "user": {"tokenFile": self.directory.join("token")}}],
            "contexts": [{"name": "kogge", "context": {
                "cluster": "kogge", "user": self.spec.name, "namespace": namespace,
            }}],
            "current-context": "kogge",
        });
        // JSON is YAML, and this file is read by programs.
        write_private(&self.kubeconfig(), &format!("{kubeconfig:#}\n"))
    }

    /// Writes a fresh token, where the manager works as a ServiceAccount. Clients read the file again every minute.
    pub(super) async fn refresh_token(&self, client: &Client) -> Result<(), InstallError> {
        let Some((namespace, name)) = self.account() else { return Ok(()) };
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() }),
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await.map_err(|source| {
            InstallError::Token { account: format!("{namespace}/{name}"), source: Box::new(source) }
        })?;
        let token = answer.status.and_then(|status| status.token).unwrap_or_default();
        write_private(&self.directory.join("token"), &token)
    }

    /// The arguments the manager is started with.
    pub fn arguments(&self) -> Vec<String> {
        let own = self.spec.args.as_ref().unwrap_or(&self.manifests.arguments);
        let standard = [
            ("--kubeconfig", "{kubeconfig}".to_owned()),
            ("--webhook-port", "{webhookPort}".to_owned()),
            ("--webhook-cert-dir", "{webhookCertDir}".to_owned()),
            ("--health-addr", "127.0.0.1:{healthPort}".to_owned()),
            ("--diagnostics-address", "127.0.0.1:0".to_owned()),
        ];
        let is = |argument: &str, flag: &str| argument == flag || argument.starts_with(&format!("{flag}="));
        let from_deployment = self.spec.args.is_none();
        let mut arguments: Vec<String> = own
            .iter()
            // A Deployment's arguments are for a pod: leader election needs one, and addresses are ours to choose.
            .filter(|argument| {
                !from_deployment
                    || !(is(argument, "--leader-elect") || standard.iter().any(|(flag, _)| is(argument, flag)))
            })
            .cloned()
            .collect();
        if self.spec.flags == Flags::ClusterApi {
            for (flag, value) in &standard {
                if !arguments.iter().any(|argument| is(argument, flag)) {
                    arguments.push(format!("{flag}={value}"));
                }
            }
            if !arguments.iter().any(|argument| is(argument, "--insecure-diagnostics")) {
                arguments.push("--insecure-diagnostics".to_owned());
            }
        }
        let values = [
            self.kubeconfig().display().to_string(),
            self.webhook_port.to_string(),
            self.certificates().display().to_string(),
            self.health_port.to_string(),
        ];
        for argument in &mut arguments {
            for (place, value) in PLACEHOLDERS.iter().zip(&values) {
                *argument = argument.replace(place, value);
            }
        }
        arguments
    }

    /// The environment variables it is given beside those of its parent process.
    pub fn environment(&self) -> Vec<(String, String)> {
        let namespace = self.account().map_or("default", |(namespace, _)| namespace);
        let defaults = [
            ("KUBECONFIG", self.kubeconfig().display().to_string()),
            ("POD_NAMESPACE", namespace.to_owned()),
            ("POD_NAME", format!("{}-0", self.spec.name)),
            ("POD_UID", "00000000-0000-0000-0000-000000000001".to_owned()),
            ("POD_IP", "127.0.0.1".to_owned()),
        ];
        let defaults = defaults.into_iter().filter(|(name, _)| !self.spec.env.contains_key(*name));
        let given = self.spec.env.iter().map(|(name, value)| (name.clone(), value.clone()));
        defaults.map(|(name, value)| (name.to_owned(), value)).chain(given).collect()
    }
}

/// Two ports of this machine that nobody listens on.
fn free_ports() -> std::io::Result<[u16; 2]> {
    let first = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok([first.local_addr()?.port(), second.local_addr()?.port()])
}

/// Writes a file only its owner may read, in one step: the manager may be reading the old one.
fn write_private(path: &Path, text: &str) -> Result<(), InstallError> {
    let failed = |source| InstallError::File { path: path.to_owned(), source };
    let fresh = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)
}

/// Applies the objects of all managers: first every definition, then what depends on them, webhooks last.
///
/// # Errors
/// The first object that is refused.
pub async fn install_all(client: &Client, installations: &[Installation]) -> Result<(), ManagerError> {
    let mut types = HashMap::new();
    for webhooks in [false, true] {
        for installation in installations {
            for object in &installation.manifests.objects {
                let kind = object["kind"].as_str().unwrap_or_default();
                if kind.ends_with("WebhookConfiguration") != webhooks {
                    continue;
                }
                apply(client, &mut types, object)
                    .await
                    .map_err(|source| ManagerError::Install { name: installation.spec.name.clone(), source })?;
            }
        }
    }
    Ok(())
}

async fn apply(
    client: &Client,
    types: &mut HashMap<GroupVersionKind, ApiResource>,
    object: &Value,
) -> Result<(), InstallError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    let failed = |source| InstallError::Object { object: format!("{kind} {name}"), source: Box::new(source) };
    let kind_of_object = TypeMeta { api_version: text("/apiVersion").to_owned(), kind: kind.to_owned() };
    let kind_of_object = GroupVersionKind::try_from(&kind_of_object)
        .map_err(|error| failed(kube::Error::Discovery(kube::error::DiscoveryError::MissingKind(error.to_string()))))?;
    let resource = if let Some(resource) = types.get(&kind_of_object) {
        resource.clone()
    } else {
        let (resource, _) = discovery::pinned_kind(client, &kind_of_object).await.map_err(failed)?;
        types.insert(kind_of_object, resource.clone());
        resource
    };
    let api: Api<DynamicObject> = match text("/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object)).await.map_err(failed)?;
    Ok(())
}
