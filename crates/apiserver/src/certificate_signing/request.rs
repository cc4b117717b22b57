//! What a request asks for: the PKCS#10 request inside, its usages and its signer.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::crypto::aws_lc_rs;
use serde_json::Value;
use x509_parser::{
    certification_request::X509CertificationRequest,
    der_parser::asn1_rs::BitString,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer as _,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

use super::subject::Subject;

/// The signer of client certificates for the API server.
pub(crate) const KUBE_APISERVER_CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// The signer of client certificates of kubelets.
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// The signer of serving certificates of kubelets.
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";

/// A request that was read. Its signature is good.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) signer: String,
    pub(crate) usages: BTreeSet<String>,
    /// Wanted seconds of validity.
    pub(crate) expiration_seconds: Option<i64>,
    pub(crate) subject: Subject,
    /// DER of the public key with its algorithm.
    pub(crate) public_key: Vec<u8>,
    /// DER of the subject's alternative names as an extension has them, where there are any.
    pub(crate) alternative_names: Option<Vec<u8>>,
    names: Names,
}

/// How many alternative names of each sort.
#[derive(Debug, Default)]
struct Names {
    dns: usize,
    email: usize,
    address: usize,
    uri: usize,
}

impl Request {
    /// Reads `spec`.
    ///
    /// # Errors
    /// What is wrong with `spec.request`.
    pub(crate) fn of(object: &Value) -> Result<Self, String> {
        let spec = &object["spec"];
        let pem = STANDARD.decode(spec["request"].as_str().unwrap_or_default()).unwrap_or_default();
        let wrong_block = || "PEM block type must be CERTIFICATE REQUEST".to_owned();
        let (_, block) = x509_parser::pem::parse_x509_pem(&pem).map_err(|_| wrong_block())?;
        if block.label != "CERTIFICATE REQUEST" {
            return Err(wrong_block());
        }
        let (_, request) =
            X509CertificationRequest::from_der(&block.contents).map_err(|error| format!("x509: {error}"))?;
        check_signature(&request)?;
        let info = &request.certification_request_info;
        let mut names = Names::default();
        let mut alternative_names = None;
        for extension in request.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(found) = extension else { continue };
            for name in &found.general_names {
                match name {
                    GeneralName::DNSName(_) => names.dns += 1,
                    GeneralName::RFC822Name(_) => names.email += 1,
                    GeneralName::IPAddress(_) => names.address += 1,
                    GeneralName::URI(_) => names.uri += 1,
                    _ => {}
                }
            }
            alternative_names = Some(super::certificate::alternative_names(&found.general_names));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Self {
            signer: text(&spec["signerName"]),
            usages: spec["usages"].as_array().into_iter().flatten().map(text).collect(),
            expiration_seconds: spec["expirationSeconds"].as_i64(),
            subject: Subject::of(&info.subject).ok_or("x509: the subject has an attribute that is no text")?,
            public_key: info.subject_pki.raw.to_vec(),
            alternative_names,
            names,
        })
    }

    pub(crate) fn common_name(&self) -> &str {
        &self.subject.common_name
    }

    /// The groups the certificate would have.
    pub(crate) fn organizations(&self) -> &[String] {
        self.subject.organizations()
    }

    /// Whether it goes to a signer of this server.
    pub(super) fn is_of_known_signer(&self) -> bool {
        matches!(self.signer.as_str(), KUBE_APISERVER_CLIENT | KUBELET_CLIENT | KUBELET_SERVING)
    }

    /// Whether it is a proper request for a kubelet's client certificate.
    pub(super) fn is_of_kubelet_client(&self) -> bool {
        self.signer == KUBELET_CLIENT && self.check_signer_rules().is_ok()
    }

    /// # Errors
    /// Which rule of its signer the request breaks.
    pub(super) fn check_signer_rules(&self) -> Result<(), String> {
        match self.signer.as_str() {
            KUBE_APISERVER_CLIENT => {
                let optional = ["client auth", "digital signature", "key encipherment"];
                if let Some(usage) = self.usages.iter().find(|usage| !optional.contains(&usage.as_str())) {
                    return Err(format!("invalid usage for client certificate: {usage}"));
                }
                if !self.usages.contains("client auth") {
                    return Err("missing required usage for client certificate: client auth".to_owned());
                }
                Ok(())
            }
            KUBELET_CLIENT => {
                let names = &self.names;
                for (count, what) in
                    [(names.dns, "DNS"), (names.email, "Email"), (names.address, "IP"), (names.uri, "URI")]
                {
                    self.is_of_node()?;
                    if count > 0 {
                        return Err(format!("{what} subjectAltNames are not allowed"));
                    }
                }
                self.is_named_as_node()?;
                self.has_usages("client auth")
            }
            _ => {
                self.is_of_node()?;
                if self.names.dns == 0 && self.names.address == 0 {
                    return Err("DNS or IP subjectAltName is required".to_owned());
                }
                for (count, what) in [(self.names.email, "Email"), (self.names.uri, "URI")] {
                    if count > 0 {
                        return Err(format!("{what} subjectAltNames are not allowed"));
                    }
                }
                self.has_usages("server auth")?;
                self.is_named_as_node()
            }
        }
    }

    fn is_of_node(&self) -> Result<(), String> {
        if self.organizations() == ["system:nodes"] {
            return Ok(());
        }
        Err("subject organization is not system:nodes".to_owned())
    }

    fn is_named_as_node(&self) -> Result<(), String> {
        if self.subject.common_name.starts_with("system:node:") {
            return Ok(());
        }
        Err("subject common name does not begin with system:node:".to_owned())
    }

    fn has_usages(&self, purpose: &str) -> Result<(), String> {
        let mut wanted = vec![purpose, "digital signature", "key encipherment"];
        wanted.sort_unstable();
        let given: Vec<&str> = self.usages.iter().map(String::as_str).collect();
        let without: Vec<&str> = wanted.iter().copied().filter(|usage| *usage != "key encipherment").collect();
        if given == wanted || given == without {
            return Ok(());
        }
        Err(format!("usages did not match [{}]", wanted.join(" ")))
    }
}

/// Whether the request was signed with the key it is for.
fn check_signature(request: &X509CertificationRequest<'_>) -> Result<(), String> {
    let info = &request.certification_request_info;
    let good = is_signed(&request.signature_algorithm, &info.subject_pki, info.raw, &request.signature_value);
    if good { Ok(()) } else { Err("x509: the signature of the request is not good".to_owned()) }
}

/// Whether a signature over a message was made with the key.
pub(crate) fn is_signed(
    algorithm: &AlgorithmIdentifier<'_>,
    key: &SubjectPublicKeyInfo<'_>,
    message: &[u8],
    signature: &BitString<'_>,
) -> bool {
    let algorithm = algorithm.algorithm.as_bytes();
    let provider = aws_lc_rs::default_provider();
    // An algorithm identifier begins with its object identifier: 6, its length, its bytes.
    let mut usable = provider.signature_verification_algorithms.all.iter().filter(|known| {
        let known = known.signature_alg_id();
        let bytes: &[u8] = known.as_ref();
        bytes.get(2..).is_some_and(|bytes| bytes.starts_with(algorithm)) && usize::from(bytes[1]) == algorithm.len()
    });
    usable.any(|known| known.verify_signature(&key.subject_public_key.data, message, &signature.data).is_ok())
}
