//! Accept and Content-Type negotiation.
//!
//! What `kubectl get` sends (`application/json;as=Table;v=v1;g=meta.k8s.io`), what discovery clients send
//! (`...;as=APIGroupDiscoveryList`), and what Go clients prefer (protobuf, then JSON) are all clauses of one Accept header.
//! Answers are JSON or YAML; protobuf is read but never written, which every client that offers it allows.

use crate::status_error::ApiError;

/// What the client wants the answer transformed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representation {
    /// The object or list itself.
    Object,
    /// `meta.k8s.io` Table.
    Table,
    /// `meta.k8s.io` PartialObjectMetadata.
    PartialObjectMetadata,
    /// `meta.k8s.io` PartialObjectMetadataList.
    PartialObjectMetadataList,
    /// `apidiscovery.k8s.io` APIGroupDiscoveryList.
    AggregatedDiscovery,
}

/// What kind of path is asked: it decides which transformations a clause may ask for, and who refuses in which words. A
/// clause that asks for another transformation is skipped, not refused.
///
/// The real server looks twice. A router that knows only its registered paths (all but those of custom resources) holds
/// the header against whole media types, so that `application/*` is nothing to it; then the encoder picks a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Objects of built-in kinds: Table and PartialObjectMetadata.
    Object,
    /// Collections of built-in kinds, also when watched.
    Collection,
    /// Objects and collections of custom resources.
    Custom,
    /// `/api`: APIGroupDiscoveryList.
    Discovery,
    /// The versions of built-in groups: nothing but the document.
    Version,
    /// The log of a pod, a text; what is wrong is said as objects are.
    Log,
    /// `/apis`: APIGroupDiscoveryList, and no router looks.
    Groups,
    /// A group and the versions of custom resources: nothing but the document, and no router looks.
    Group,
    /// Any transformation is read; for callers that do not know yet.
    Any,
}

impl Endpoint {
    /// The media types the router knows for paths of this kind; none where no router looks.
    fn routed(self) -> &'static [&'static str] {
        match self {
            Self::Object | Self::Discovery | Self::Version => &[JSON, YAML, PROTOBUF],
            Self::Collection => &[
                JSON,
                YAML,
                PROTOBUF,
                "application/json;stream=watch",
                "application/vnd.kubernetes.protobuf;stream=watch",
            ],
            Self::Log => &["text/plain", JSON, YAML, PROTOBUF],
            Self::Groups | Self::Group | Self::Custom | Self::Any => &[],
        }
    }
}

/// Whether the router sends a request with this `Accept` header on to a path that answers in `available`.
///
/// # Errors
/// 406 listing `available`.
pub fn check_routed(accept: &str, available: &[&str]) -> Result<(), ApiError> {
    let known = accept.split(',').any(|clause| {
        let media_type = clause.split(';').next().unwrap_or_default().trim();
        media_type == "*/*" || available.contains(&media_type)
    });
    if known || accept.is_empty() { Ok(()) } else { Err(ApiError::unroutable_answer(available)) }
}

/// The negotiated answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The transformation.
    pub representation: Representation,
    /// `v1`, `v1beta1`, `v2`, ... of the transformation; empty for [`Representation::Object`].
    pub version: String,
    /// Answer in YAML instead of JSON.
    pub yaml: bool,
    /// Indent the JSON for a person.
    pub pretty: bool,
    /// Full Content-Type to answer with. Discovery parameters are echoed: without them clients read the document as a
    /// legacy one.
    pub content_type: String,
}

/// How the request body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEncoding {
    /// `application/json`, also when no type is sent.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
    /// `application/json-patch+json`.
    JsonPatch,
    /// `application/merge-patch+json`.
    MergePatch,
    /// `application/strategic-merge-patch+json`.
    StrategicMergePatch,
    /// `application/apply-patch+yaml`.
    ApplyYaml,
}

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// One clause of an Accept header.
struct Clause<'a> {
    main_type: &'a str,
    sub_type: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

fn parse_media_type(text: &str) -> Clause<'_> {
    let mut parts = text.split(';');
    let media_type = parts.next().unwrap_or_default().trim();
    let (main_type, sub_type) = media_type.split_once('/').unwrap_or((media_type, "*"));
    let mut clause =
        Clause { main_type: main_type.trim(), sub_type: sub_type.trim(), quality: 1.0, parameters: Vec::new() };
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (key.trim(), value.trim().trim_matches('"'));
        if key == "q" && !value.is_empty() {
            clause.quality = value.parse().unwrap_or(0.0);
        } else if !key.is_empty() {
            clause.parameters.push((key, value));
        }
    }
    clause
}

/// The clauses, best first: by q-value, then by how exact they are, then as sent. A weight of 0 refuses nothing, in the real
/// server neither: it only makes a clause the last.
fn parse_accept(header: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> =
        header.split(',').filter(|text| !text.trim().is_empty()).map(parse_media_type).collect();
    clauses.sort_by(|left, right| {
        right
            .quality
            .total_cmp(&left.quality)
            .then((left.main_type == "*").cmp(&(right.main_type == "*")))
            .then((left.sub_type == "*").cmp(&(right.sub_type == "*")))
    });
    clauses
}

/// The transformation a clause asks for, or None when this endpoint cannot serve the clause.
fn transformation(clause: &Clause<'_>, endpoint: Endpoint) -> Option<(Representation, String)> {
    let (mut kind, mut group, mut version, mut asked) = ("", "", "", false);
    for (key, value) in &clause.parameters {
        match *key {
            "as" => (kind, asked) = (value, true),
            "g" => (group, asked) = (value, true),
            "v" => (version, asked) = (value, true),
            "stream" if !value.is_empty() && *value != "watch" => return None,
            "sv" if !value.is_empty() => return None,
            _ => {}
        }
    }
    if !asked {
        return Some((Representation::Object, String::new()));
    }
    let representation = match (group, kind, version) {
        ("meta.k8s.io", "Table", "v1" | "v1beta1") => Representation::Table,
        ("meta.k8s.io", "PartialObjectMetadata", "v1" | "v1beta1") => Representation::PartialObjectMetadata,
        ("meta.k8s.io", "PartialObjectMetadataList", "v1" | "v1beta1") => Representation::PartialObjectMetadataList,
        ("apidiscovery.k8s.io", "APIGroupDiscoveryList", "v2") => Representation::AggregatedDiscovery,
        _ => return None,
    };
    let discovery = representation == Representation::AggregatedDiscovery;
    match endpoint {
        Endpoint::Object | Endpoint::Collection | Endpoint::Custom | Endpoint::Log if discovery => None,
        Endpoint::Discovery | Endpoint::Groups if !discovery => None,
        Endpoint::Version | Endpoint::Group => None,
        Endpoint::Log if representation == Representation::Table => None,
        _ => Some((representation, version.to_owned())),
    }
}

/// Negotiates for any endpoint, see [`negotiate_answer_at`].
///
/// # Errors
/// 406 when nothing acceptable can be served.
pub fn negotiate_answer(
    accept: Option<&str>,
    pretty: Option<&str>,
    user_agent: Option<&str>,
) -> Result<Answer, ApiError> {
    negotiate_answer_at(Endpoint::Any, accept, pretty, user_agent)
}

/// Picks the first clause of `accept` (in order of q-value and exactness) that `endpoint` can serve. `pretty` is the query
/// parameter; without it people's clients, known by `user_agent` (curl, Wget, browsers), get indented JSON.
///
/// # Errors
/// 406 when nothing acceptable can be served.
pub fn negotiate_answer_at(
    endpoint: Endpoint,
    accept: Option<&str>,
    pretty: Option<&str>,
    user_agent: Option<&str>,
) -> Result<Answer, ApiError> {
    let pretty_asked = match pretty.filter(|value| !value.is_empty()) {
        Some(value) => matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        None => {
            user_agent.is_some_and(|agent| ["curl", "Wget", "Mozilla/5.0"].iter().any(|human| agent.starts_with(human)))
        }
    };
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return Ok(Answer {
            representation: Representation::Object,
            version: String::new(),
            yaml: false,
            pretty: pretty_asked,
            content_type: JSON.to_owned(),
        });
    };
    let routed = endpoint.routed();
    if !routed.is_empty() {
        check_routed(accept, routed)?;
    }
    for clause in &parse_accept(accept) {
        let yaml = match (clause.main_type, clause.sub_type) {
            ("application", "json" | "*") | ("*", "*") => false,
            ("application", "yaml") => true,
            _ => continue,
        };
        let Some((representation, version)) = transformation(clause, endpoint) else { continue };
        let media_type = if yaml { YAML } else { JSON };
        let content_type = if representation == Representation::AggregatedDiscovery {
            format!("{media_type};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
        } else {
            media_type.to_owned()
        };
        let pretty = pretty_asked || clause.parameters.contains(&("pretty", "1"));
        return Ok(Answer { representation, version, yaml, pretty: pretty && !yaml, content_type });
    }
    // Protobuf would be an answer of the real server. Who asks for nothing else has to know that it is none here.
    let asked_for_protobuf = accept.contains(PROTOBUF);
    Err(ApiError::not_acceptable(if asked_for_protobuf { &[JSON, YAML] } else { &[JSON, YAML, PROTOBUF] }))
}

/// The encoding an error is answered in: that of the first clause that names one, else JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorEncoding {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`, for clients that read nothing else.
    Protobuf,
}

impl ErrorEncoding {
    /// The encoding for a client that sent this `Accept` header.
    pub fn of(accept: Option<&str>) -> Self {
        let mut protobuf = false;
        for clause in &parse_accept(accept.unwrap_or_default()) {
            match (clause.main_type, clause.sub_type) {
                ("application", "json" | "*") | ("*", "*") => return Self::Json,
                ("application", "yaml") => return Self::Yaml,
                ("application", "vnd.kubernetes.protobuf") => protobuf = true,
                _ => {}
            }
        }
        if protobuf { Self::Protobuf } else { Self::Json }
    }

    /// The Content-Type of such an answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
            Self::Protobuf => PROTOBUF,
        }
    }
}

/// How to read a body. `patch` is a PATCH request; custom kinds know no strategic merge patch.
///
/// # Errors
/// 415 listing what is accepted.
pub fn body_encoding(content_type: Option<&str>, patch: bool, custom: bool) -> Result<BodyEncoding, ApiError> {
    let sent = content_type.unwrap_or_default();
    let media_type = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known: &[(&str, BodyEncoding)] = match (patch, custom) {
        (false, _) => {
            if media_type.is_empty() {
                return Ok(BodyEncoding::Json);
            }
            &[(JSON, BodyEncoding::Json), (YAML, BodyEncoding::Yaml), (PROTOBUF, BodyEncoding::Protobuf)]
        }
        (true, true) => &[
            ("application/json-patch+json", BodyEncoding::JsonPatch),
            ("application/merge-patch+json", BodyEncoding::MergePatch),
            ("application/apply-patch+yaml", BodyEncoding::ApplyYaml),
        ],
        (true, false) => &[
            ("application/json-patch+json", BodyEncoding::JsonPatch),
            ("application/merge-patch+json", BodyEncoding::MergePatch),
            ("application/strategic-merge-patch+json", BodyEncoding::StrategicMergePatch),
            ("application/apply-patch+yaml", BodyEncoding::ApplyYaml),
        ],
    };
    known
        .iter()
        .find(|(name, _)| *name == media_type && has_parameters(sent))
        .map(|(_, encoding)| *encoding)
        .ok_or_else(|| {
            if patch && !custom {
                return ApiError::unroutable_media_type();
            }
            let supported: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            ApiError::unsupported_media_type(sent, &supported)
        })
}

/// Whether what follows a media type are parameters; one semicolon may end them.
fn has_parameters(media_type: &str) -> bool {
    let parts: Vec<&str> = media_type.split(';').skip(1).map(str::trim).collect();
    let last = parts.len().saturating_sub(1);
    parts.iter().enumerate().all(|(index, part)| {
        let is_parameter = |(name, value): (&str, &str)| !name.trim().is_empty() && !value.trim().is_empty();
        part.is_empty() && index == last || part.split_once('=').is_some_and(is_parameter)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KUBECTL_GET: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
    const KUBECTL_DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

    #[test]
    fn accept_headers_of_real_clients_are_understood() {
        let cases = [
            (Endpoint::Object, ""),
            (Endpoint::Object, "*/*"),
            (Endpoint::Object, "application/*"),
            (Endpoint::Object, KUBECTL_GET),
            (Endpoint::Discovery, KUBECTL_GET),
            (Endpoint::Discovery, KUBECTL_DISCOVERY),
            (Endpoint::Object, KUBECTL_DISCOVERY),
            (Endpoint::Object, "application/vnd.kubernetes.protobuf, application/json"),
            (Endpoint::Object, "application/vnd.kubernetes.protobuf, */*"),
            (Endpoint::Object, "application/vnd.kubernetes.protobuf"),
            (Endpoint::Object, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            (
                Endpoint::Object,
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
            ),
            (Endpoint::Object, "application/json;as=Table;v=v1;g=other.io"),
            (Endpoint::Object, "application/json;q=0.5, application/yaml;q=0.9"),
            (Endpoint::Object, "application/json;stream=watch"),
            (Endpoint::Object, "application/yaml;pretty=1"),
            (Endpoint::Object, "application/cbor"),
            (Endpoint::Custom, "application/*"),
            (Endpoint::Custom, "application/cbor"),
            (Endpoint::Collection, "application/xml"),
            (Endpoint::Discovery, "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"),
            (Endpoint::Object, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ];
        let lines: Vec<String> = cases
            .iter()
            .map(|(endpoint, accept)| {
                let answer = match negotiate_answer_at(*endpoint, Some(accept), None, None) {
                    Ok(answer) => format!(
                        "{:?} {:?} {}{}",
                        answer.representation,
                        answer.version,
                        answer.content_type,
                        if answer.pretty { " pretty" } else { "" }
                    ),
                    Err(error) => format!("{} {error}", error.code()),
                };
                format!("{endpoint:?} {accept}\n  => {answer}")
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn people_get_indented_json_unless_they_say_otherwise() {
        let pretty = |query, agent| negotiate_answer(None, query, Some(agent)).map(|answer| answer.pretty);
        assert_eq!(pretty(None, "curl/8"), Ok(true));
        assert_eq!(pretty(Some("false"), "curl/8"), Ok(false));
        assert_eq!(pretty(None, "kubectl/v1.36.0"), Ok(false));
        assert_eq!(pretty(Some("true"), "kubectl/v1.36.0"), Ok(true));
    }

    #[test]
    fn bodies_are_read_by_their_content_type() {
        let cases = [
            (None, false, true),
            (Some("application/json; charset=utf-8"), false, true),
            (Some("Application/YAML"), false, false),
            (Some("application/vnd.kubernetes.protobuf"), false, false),
            (Some("application/cbor"), false, false),
            (Some("application/strategic-merge-patch+json"), true, false),
            (Some("application/strategic-merge-patch+json"), true, true),
            (Some("application/apply-patch+yaml"), true, true),
            (Some("application/merge-patch+json;charset=utf-8"), true, true),
            (Some("application/json-patch+json"), true, false),
            (Some("application/json"), true, false),
            (None, true, false),
        ];
        let lines: Vec<String> = cases
            .iter()
            .map(|(content_type, patch, custom)| {
                let encoding = match body_encoding(*content_type, *patch, *custom) {
                    Ok(encoding) => format!("{encoding:?}"),
                    Err(error) => format!("{} {error}", error.code()),
                };
                format!("{} patch={patch} custom={custom} => {encoding}", content_type.unwrap_or("-"))
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    proptest! {
        #[test]
        fn no_header_makes_negotiation_panic(accept in "\\PC{0,80}", content_type in "\\PC{0,40}") {
            let _ = negotiate_answer(Some(&accept), Some(&content_type), None);
            let _ = body_encoding(Some(&content_type), true, true);
        }
    }
}
