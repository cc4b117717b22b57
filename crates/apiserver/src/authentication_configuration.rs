//! `AuthenticationConfiguration` (`apiserver.config.k8s.io/v1`): which issuers' tokens count, and whom they stand for.
//!
//! The file format and its rules are those of kube-apiserver's `--authentication-config`
//! (`k8s.io/apiserver/pkg/apis/apiserver`), so a file moves from one to the other. Anonymous access cannot be
//! configured: health and version are public here, and nothing else; what asks for more is refused.

use std::collections::BTreeSet;

use kogge_machinery::{
    cel::{self, authentication::Purpose},
    object_meta::subdomain_messages,
    status_error::FieldError,
};
use serde::Deserialize;
use serde_json::json;

use self::anonymous::Anonymous;
use crate::{store::PlaneName, token};

mod anonymous;

/// Versions of the file that are read; they have the same fields.
const VERSIONS: [&str; 3] =
    ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"];

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationConfigurationError {
    /// It is not YAML, or has fields of another shape.
    #[error("failed to read the authentication configuration: {0}")]
    Read(String),
    /// It is of another kind or version.
    #[error(
        "no kind {kind:?} of version {api_version:?} is known: AuthenticationConfiguration of apiserver.config.k8s.io/v1 is expected"
    )]
    Kind {
        /// The kind it names.
        kind: String,
        /// The version it names.
        api_version: String,
    },
    /// Fields are wrong, one line each.
    #[error("the authentication configuration is not valid:\n{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<FieldError>),
}

/// A validated configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthenticationConfiguration {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    pub(crate) jwt: Vec<JwtAuthenticator>,
    #[serde(default)]
    anonymous: Option<Anonymous>,
}

/// One issuer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct JwtAuthenticator {
    pub(crate) issuer: Issuer,
    #[serde(default)]
    pub(crate) claim_validation_rules: Vec<ClaimValidationRule>,
    #[serde(default)]
    pub(crate) claim_mappings: ClaimMappings,
    #[serde(default)]
    pub(crate) user_validation_rules: Vec<UserValidationRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    #[serde(rename = "discoveryURL")]
    pub(crate) discovery_url: String,
    /// PEM; the system's authorities where absent.
    pub(crate) certificate_authority: String,
    pub(crate) audiences: Vec<String>,
    audience_match_policy: String,
    egress_selector_type: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClaimValidationRule {
    pub(crate) claim: String,
    pub(crate) required_value: String,
    pub(crate) expression: String,
    pub(crate) message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClaimMappings {
    pub(crate) username: PrefixedMapping,
    pub(crate) groups: PrefixedMapping,
    pub(crate) uid: Mapping,
    pub(crate) extra: Vec<ExtraMapping>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PrefixedMapping {
    pub(crate) claim: String,
    pub(crate) prefix: Option<String>,
    pub(crate) expression: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Mapping {
    pub(crate) claim: String,
    pub(crate) expression: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExtraMapping {
    pub(crate) key: String,
    pub(crate) value_expression: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UserValidationRule {
    pub(crate) expression: String,
    pub(crate) message: String,
}

impl AuthenticationConfiguration {
    /// Reads a configuration, YAML or JSON.
    ///
    /// # Errors
    /// See [`AuthenticationConfigurationError`].
    pub fn from_yaml(text: &str) -> Result<Self, AuthenticationConfigurationError> {
        let read: Self =
            serde_saphyr::from_str(text).map_err(|error| AuthenticationConfigurationError::Read(error.to_string()))?;
        if read.kind != "AuthenticationConfiguration" || !VERSIONS.contains(&read.api_version.as_str()) {
            return Err(AuthenticationConfigurationError::Kind { kind: read.kind, api_version: read.api_version });
        }
        let errors = read.validate();
        if errors.is_empty() { Ok(read) } else { Err(AuthenticationConfigurationError::Invalid(errors)) }
    }

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.jwt.len() > 64 {
            let detail = "must have at most 64 items";
            errors.push(FieldError::invalid("jwt", &json!(self.jwt.len()), detail));
        }
        if let Some(anonymous) = &self.anonymous {
            anonymous.validate(&mut errors);
        }
        let (mut urls, mut discovery_urls) = (BTreeSet::new(), BTreeSet::new());
        for (index, authenticator) in self.jwt.iter().enumerate() {
            let path = format!("jwt[{index}]");
            let issuer = &authenticator.issuer;
            issuer.validate(&format!("{path}.issuer"), &mut errors);
            authenticator.validate_rules(&path, &mut errors);
            authenticator.validate_mappings(&format!("{path}.claimMappings"), &mut errors);
            if !urls.insert(&issuer.url) {
                errors.push(FieldError::duplicate(format!("{path}.issuer.url"), &json!(issuer.url)));
            }
            if !issuer.discovery_url.is_empty() && !discovery_urls.insert(&issuer.discovery_url) {
                errors.push(FieldError::duplicate(format!("{path}.issuer.discoveryURL"), &json!(issuer.discovery_url)));
            }
        }
        errors
    }
}

impl Issuer {
    fn validate(&self, path: &str, errors: &mut Vec<FieldError>) {
        if self.url.is_empty() {
            errors.push(FieldError::required(format!("{path}.url"), ""));
        } else {
            let own = token::issuer(&PlaneName::default());
            if self.url == own {
                let detail = format!("URL must not overlap with disallowed issuers: [{own}]");
                errors.push(FieldError::invalid(format!("{path}.url"), &json!(self.url), &detail));
            }
            validate_url(&self.url, &format!("{path}.url"), errors);
        }
        if !self.discovery_url.is_empty() {
            let path = format!("{path}.discoveryURL");
            if self.url.trim_end_matches('/') == self.discovery_url.trim_end_matches('/') {
                errors.push(FieldError::invalid(
                    &path,
                    &json!(self.discovery_url),
                    "discoveryURL must be different from URL",
                ));
            }
            validate_url(&self.discovery_url, &path, errors);
        }
        if self.audiences.is_empty() {
            let detail = format!("at least one {path}.audiences is required");
            errors.push(FieldError::required(format!("{path}.audiences"), &detail));
        }
        let mut seen = BTreeSet::new();
        for (index, audience) in self.audiences.iter().enumerate() {
            let path = format!("{path}.audiences[{index}]");
            if audience.is_empty() {
                errors.push(FieldError::required(&path, ""));
            }
            if !seen.insert(audience) {
                errors.push(FieldError::duplicate(path, &json!(audience)));
            }
        }
        let policy = &self.audience_match_policy;
        let detail = match self.audiences.len() {
            2.. if policy != "MatchAny" => Some("audienceMatchPolicy must be MatchAny for multiple audiences"),
            1 if !policy.is_empty() && policy != "MatchAny" => {
                Some("audienceMatchPolicy must be empty or MatchAny for single audience")
            }
            _ => None,
        };
        if let Some(detail) = detail {
            errors.push(FieldError::invalid(format!("{path}.audienceMatchPolicy"), &json!(policy), detail));
        }
        if !self.certificate_authority.is_empty()
            && reqwest::Certificate::from_pem_bundle(self.certificate_authority.as_bytes())
                .map_or(true, |certificates| certificates.is_empty())
        {
            let detail = "data does not contain any valid RSA or ECDSA certificates";
            errors.push(FieldError::invalid(format!("{path}.certificateAuthority"), &json!("<omitted>"), detail));
        }
        if !self.egress_selector_type.is_empty() {
            let detail = "this server has no egress selectors";
            errors.push(FieldError::forbidden(format!("{path}.egressSelectorType"), detail));
        }
    }
}

fn validate_url(text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let mut wrong = |detail: &str| errors.push(FieldError::invalid(path, &json!(text), detail));
    let url = match reqwest::Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            wrong(&error.to_string());
            return;
        }
    };
    if url.scheme() != "https" {
        wrong("URL scheme must be https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        wrong("URL must not contain a username or password");
    }
    if url.query().is_some_and(|query| !query.is_empty()) {
        wrong("URL must not contain a query");
    }
    if url.fragment().is_some_and(|fragment| !fragment.is_empty()) {
        wrong("URL must not contain a fragment");
    }
}

impl JwtAuthenticator {
    fn validate_rules(&self, path: &str, errors: &mut Vec<FieldError>) {
        let (mut claims, mut expressions) = (BTreeSet::new(), BTreeSet::new());
        for (index, rule) in self.claim_validation_rules.iter().enumerate() {
            let path = format!("{path}.claimValidationRules[{index}]");
            match (rule.claim.is_empty(), rule.expression.is_empty()) {
                (false, false) => {
                    errors.push(FieldError::invalid(
                        path,
                        &json!(rule.claim),
                        "claim and expression can't both be set",
                    ));
                }
                (true, true) => errors.push(FieldError::required(path, "claim or expression is required")),
                (false, true) => {
                    if !rule.message.is_empty() {
                        let detail = "may not be specified when claim is set";
                        errors.push(FieldError::invalid(format!("{path}.message"), &json!(rule.message), detail));
                    }
                    if !claims.insert(&rule.claim) {
                        errors.push(FieldError::duplicate(format!("{path}.claim"), &json!(rule.claim)));
                    }
                }
                (true, false) => {
                    if !rule.required_value.is_empty() {
                        let detail = "may not be specified when expression is set";
                        let path = format!("{path}.requiredValue");
                        errors.push(FieldError::invalid(path, &json!(rule.required_value), detail));
                    }
                    let path = format!("{path}.expression");
                    if expressions.insert(&rule.expression) {
                        check(Purpose::ClaimRule, &rule.expression, &path, errors);
                    } else {
                        errors.push(FieldError::duplicate(path, &json!(rule.expression)));
                    }
                }
            }
        }
        let mut expressions = BTreeSet::new();
        for (index, rule) in self.user_validation_rules.iter().enumerate() {
            let path = format!("{path}.userValidationRules[{index}].expression");
            if rule.expression.is_empty() {
                errors.push(FieldError::required(path, ""));
            } else if expressions.insert(&rule.expression) {
                check(Purpose::UserRule, &rule.expression, &path, errors);
            } else {
                errors.push(FieldError::duplicate(path, &json!(rule.expression)));
            }
        }
    }

    fn validate_mappings(&self, path: &str, errors: &mut Vec<FieldError>) {
        let mappings = &self.claim_mappings;
        for (name, mapping, required) in [("username", &mappings.username, true), ("groups", &mappings.groups, false)] {
            let path = format!("{path}.{name}");
            match (mapping.claim.is_empty(), mapping.expression.is_empty()) {
                (false, false) => {
                    errors.push(FieldError::invalid(path, &json!(""), "claim and expression can't both be set"));
                }
                (true, true) if required => errors.push(FieldError::required(path, "claim or expression is required")),
                (true, false) => {
                    if let Some(prefix) = &mapping.prefix {
                        let detail = "may not be specified when expression is set";
                        errors.push(FieldError::invalid(format!("{path}.prefix"), &json!(prefix), detail));
                    }
                    check(Purpose::ClaimMapping, &mapping.expression, &format!("{path}.expression"), errors);
                }
                (false, true) if mapping.prefix.is_none() => {
                    let detail =
                        "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
                    errors.push(FieldError::required(format!("{path}.prefix"), detail));
                }
                (_, true) => {}
            }
        }
        match (mappings.uid.claim.is_empty(), mappings.uid.expression.is_empty()) {
            (false, false) => {
                let detail = "claim and expression can't both be set";
                errors.push(FieldError::invalid(format!("{path}.uid"), &json!(""), detail));
            }
            (_, false) => {
                check(Purpose::ClaimMapping, &mappings.uid.expression, &format!("{path}.uid.expression"), errors);
            }
            (_, true) => {}
        }
        let mut keys = BTreeSet::new();
        for (index, mapping) in mappings.extra.iter().enumerate() {
            let path = format!("{path}.extra[{index}]");
            validate_extra_key(&mapping.key, &format!("{path}.key"), errors);
            if !keys.insert(&mapping.key) {
                errors.push(FieldError::duplicate(format!("{path}.key"), &json!(mapping.key)));
            } else if mapping.value_expression.is_empty() {
                errors.push(FieldError::required(format!("{path}.valueExpression"), ""));
            } else {
                check(Purpose::ClaimMapping, &mapping.value_expression, &format!("{path}.valueExpression"), errors);
            }
        }
        self.validate_email(path, errors);
    }

    /// An address that nobody has verified names nobody.
    fn validate_email(&self, path: &str, errors: &mut Vec<FieldError>) {
        let username = &self.claim_mappings.username.expression;
        let verified = |expression: &String| reads_claim(expression, "email_verified");
        let checks = self.claim_validation_rules.iter().map(|rule| &rule.expression);
        let extra = self.claim_mappings.extra.iter().map(|mapping| &mapping.value_expression);
        if reads_claim(username, "email") && !std::iter::once(username).chain(checks).chain(extra).any(verified) {
            let detail = "claims.email_verified must be used in claimMappings.username.expression or \
                          claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email \
                          is used in claimMappings.username.expression";
            errors.push(FieldError::invalid(format!("{path}.username.expression"), &json!(username), detail));
        }
    }
}

/// What may stand in a path of a URL beside letters and digits.
const PATH_MARKS: &str = "/-._~%!$&'()*+,;=:";

fn validate_extra_key(key: &str, path: &str, errors: &mut Vec<FieldError>) {
    let mut wrong = |part: &str, detail: &str| errors.push(FieldError::invalid(path, &json!(part), detail));
    let (domain, rest) = key.split_once('/').unwrap_or(("", key));
    if key.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    if domain.is_empty() || rest.is_empty() {
        wrong(key, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    } else {
        for message in subdomain_messages(domain, 253) {
            wrong(domain, &message);
        }
        if !rest.chars().all(|character| character.is_ascii_alphanumeric() || PATH_MARKS.contains(character)) {
            wrong(rest, "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
        }
    }
    if key != key.to_lowercase() {
        wrong(key, "must be lowercase");
    }
    if ["kubernetes.io", "k8s.io"].iter().any(|own| domain == *own || domain.ends_with(&format!(".{own}"))) {
        wrong(key, "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use");
    }
}

fn check(purpose: Purpose, expression: &str, path: &str, errors: &mut Vec<FieldError>) {
    if let Err(reason) = cel::authentication::check(purpose, expression) {
        errors.push(FieldError::invalid(path, &json!(expression), &reason));
    }
}

/// Whether an expression selects a field of `claims`, plainly or as an optional one.
fn reads_claim(expression: &str, claim: &str) -> bool {
    [format!("claims.{claim}"), format!("claims.?{claim}")].iter().any(|selected| {
        expression.match_indices(selected.as_str()).any(|(at, _)| {
            let next = expression[at + selected.len()..].chars().next();
            next.is_none_or(|next| !next.is_alphanumeric() && next != '_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        AuthenticationConfiguration::from_yaml(text).unwrap_err().to_string()
    }

    #[test]
    fn a_configuration_with_all_fields_is_read() {
        let text = "
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: https://issuer.example.com
    discoveryURL: https://inside.example.com/.well-known/openid-configuration
    audiences: [kogge, other]
    audienceMatchPolicy: MatchAny
  claimValidationRules:
  - claim: hd
    requiredValue: example.com
  - expression: 'claims.exp - claims.nbf <= 86400'
    message: total token lifetime must not exceed 24 hours
  claimMappings:
    username: {expression: 'claims.email_verified ? claims.email : claims.sub'}
    groups: {claim: groups, prefix: 'oidc:'}
    uid: {claim: sub}
    extra:
    - {key: example.com/tenant, valueExpression: claims.tenant}
  userValidationRules:
  - expression: \"!user.username.startsWith('system:')\"
    message: username cannot use reserved prefix
";
        let read = AuthenticationConfiguration::from_yaml(text).unwrap();
        assert_eq!(read.jwt[0].claim_mappings.groups.prefix.as_deref(), Some("oidc:"));
    }

    #[test]
    fn a_wrong_configuration_names_every_wrong_field() {
        let wrong = "
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous: {enabled: true, conditions: [{path: /livez}, {path: /api}]}
jwt:
- issuer: {url: 'http://u:p@a.example/?q#f', audiences: [a, a], certificateAuthority: none}
  claimValidationRules: [{}, {claim: a, expression: b}, {claim: c, message: m}, {expression: 'claims.', requiredValue: v}]
  claimMappings:
    username: {expression: 'claims.email', prefix: p}
    groups: {claim: g}
    uid: {claim: a, expression: b}
    extra: [{key: Foo, valueExpression: '1'}, {key: a.k8s.io/b, valueExpression: ''}, {key: 'a b/ü', valueExpression: '1'}]
  userValidationRules: [{expression: 'claims.sub == \"\"'}, {}]
- issuer: {url: 'https://kubernetes.default.svc.cluster.local', audiences: [a]}
  claimMappings: {username: {expression: 'foo(claims.sub)'}}
  claimValidationRules: [{expression: '1'}]
- issuer: {url: 'http://u:p@a.example/?q#f', discoveryURL: 'http://u:p@a.example/?q#f', audiences: [], egressSelectorType: cluster}
";
        insta::assert_snapshot!(problems(wrong));
        let with = |anonymous: &str| {
            let text = format!(
                "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous: {anonymous}\n"
            );
            AuthenticationConfiguration::from_yaml(&text).is_ok()
        };
        let cases = [
            "{enabled: false}",
            "{enabled: true, conditions: [{path: /livez}]}",
            "{enabled: true}",
            "{conditions: [{path: /livez}]}",
        ];
        assert_eq!(cases.map(with), [true, true, false, false]);
        insta::assert_snapshot!(problems("apiVersion: v1\nkind: ConfigMap\n"));
        assert!(
            problems("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njvt: []\n")
                .contains("jvt")
        );
    }
}
