//! Whom to trust: the `caBundle` of a conversion webhook, in the words of client-go's transport.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kogge_machinery::{custom_resource_definition::is_established, status_error::FieldError};
use serde_json::Value;
use x509_parser::pem::Pem;

/// Adds what is wrong with the bundle of a changed definition. One that is not established yet may have any, and one that had
/// a wrong one may keep it.
pub(crate) fn add_conversion_error(definition: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let may_be_wrong = old.is_none_or(|old| !is_established(old) || conversion_problem(old).is_some());
    if may_be_wrong || definition["spec"]["conversion"]["strategy"] != "Webhook" {
        return;
    }
    let Some(problem) = conversion_problem(definition) else { return };
    let error = FieldError::invalid("spec.conversion.webhookClientConfig.caBundle", bundle(definition), &problem);
    // Behind what is wrong with the webhook's address.
    let is_earlier = |error: &FieldError| error.field.starts_with("spec.conversion.webhookClientConfig");
    let is_conversion = |error: &FieldError| error.field.starts_with("spec.conversion");
    let behind = errors.iter().rposition(is_earlier).map(|index| index + 1);
    let index = behind.or_else(|| errors.iter().position(is_conversion)).unwrap_or(errors.len());
    errors.insert(index, error);
}

/// What is wrong with the bundle of a definition, if it has one.
pub(crate) fn conversion_problem(definition: &Value) -> Option<String> {
    problem(&STANDARD.decode(bundle(definition).as_str()?).ok()?)
}

fn bundle(definition: &Value) -> &Value {
    &definition["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"]
}

/// Why nobody can be trusted by a bundle. One certificate that can be read is enough.
fn problem(bundle: &[u8]) -> Option<String> {
    if bundle.is_empty() {
        return None;
    }
    let blocks: Vec<_> = Pem::iter_from_buffer(bundle).map_while(Result::ok).collect();
    let certificates: Vec<_> = blocks.iter().filter(|block| block.label == "CERTIFICATE").collect();
    if certificates.iter().any(|block| block.parse_x509().is_ok()) {
        return None;
    }
    let why = match (blocks.is_empty(), certificates.is_empty()) {
        (true, _) => "unable to parse bytes as PEM block",
        (false, true) => "no valid certificate authority data seen",
        (false, false) => "failed to parse certificate: x509: malformed certificate",
    };
    Some(format!("unable to load root certificates: {why}"))
}
