//! `spec` of a definition.

use serde_json::Value;

use super::{internal_form, is_shared, names, open_api_schema, schema_defaults, selectable_fields, versions};
use crate::{
    schema::{messages, path::FieldPath, structural},
    status_error::FieldError,
};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// Errors of a definition, the rules about its old state included. Messages show parts of `shown`.
pub(super) fn errors(definition: &Value, shown: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    let path = FieldPath::with_prefix("spec");
    let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, plural) = (text("/group"), text("/names/plural"));
    for field in ["name", "generateName"] {
        let name = definition.pointer(&format!("/metadata/{field}")).unwrap_or(&Value::Null);
        let is_named = name.as_str().is_some_and(|name| !name.is_empty());
        if old.is_none() && is_named && *name != format!("{plural}.{group}") {
            let detail = "must be spec.names.plural+\".\"+spec.group";
            errors.push(messages::invalid(format!("metadata.{field}"), name, detail));
        }
    }
    group_errors(group, &path, &mut errors);
    let accepted = [Value::from("Cluster"), Value::from("Namespaced")];
    match text("/scope") {
        "" => errors.push(messages::required(path.field("scope").to_field(), "")),
        scope if accepted.iter().any(|accepted| accepted == scope) => {}
        scope => errors.push(messages::not_supported(path.field("scope").to_field(), &Value::from(scope), &accepted)),
    }
    version_errors((spec, &shown["spec"]), old, &path, &mut errors);
    errors.extend(names::errors(spec.get("names"), &path.field("names")));
    conversion_errors(spec, &path.field("conversion"), &mut errors);
    if let Some(old) = old {
        immutable_errors(spec, old, &mut errors);
    }
    errors
}

/// Pruning cannot be turned off any more; what was defined without it may stay so.
pub(super) fn preserve_unknown_fields_error(definition: &Value, old: Option<&Value>) -> Option<FieldError> {
    let preserves =
        |definition: &Value| definition.pointer("/spec/preserveUnknownFields").and_then(Value::as_bool) == Some(true);
    if !preserves(definition) || old.is_some_and(preserves) {
        return None;
    }
    let detail =
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    Some(messages::invalid("spec.preserveUnknownFields".to_owned(), &Value::Bool(true), detail))
}

fn group_errors(group: &str, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let path = path.field("group");
    if group.is_empty() {
        errors.push(messages::required(path.to_field(), ""));
    } else if let Some(reason) = names::dns_1123_violation(group) {
        errors.push(messages::invalid(path.to_field(), &Value::from(group), &reason));
    } else if !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        errors.push(messages::invalid(path.to_field(), &Value::from(group), detail));
    }
}

fn version_errors(
    (spec, shown): (&Value, &Value),
    old: Option<&Value>,
    path: &FieldPath<'_>,
    errors: &mut Vec<FieldError>,
) {
    let versions_path = path.field("versions");
    let versions = versions(spec);
    let old_versions = old.and_then(|old| old.get("spec")).map(super::versions).unwrap_or_default();
    let mut seen: Vec<&str> = Vec::new();
    let mut unique = true;
    for (index, version) in versions.iter().enumerate() {
        let path = versions_path.index(index);
        let name = version.get("name").and_then(Value::as_str).unwrap_or_default();
        unique &= !seen.contains(&name);
        seen.push(name);
        if let Some(reason) = names::dns_1035_violation(name) {
            errors.push(messages::invalid(path.field("name").to_field(), &Value::from(name), &reason));
        }
        let old_version = old_versions.iter().find(|old| old.get("name") == version.get("name"));
        one_version_errors(version, old_version, &path, errors);
    }
    if !unique {
        let detail = "must contain unique version names";
        errors.push(messages::invalid_text(
            versions_path.to_field(),
            &internal_form::versions_text(spec, shown),
            detail,
        ));
    }
    let storage = versions.iter().filter(|version| version.get("storage").and_then(Value::as_bool) == Some(true));
    if storage.count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(messages::invalid_text(
            versions_path.to_field(),
            &internal_form::versions_text(spec, shown),
            detail,
        ));
    }
    // Where the versions share their fields but no schema, the schema the fields should be in is missed.
    let has_fields =
        |version: &Value| version.get("selectableFields").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
    if versions.first().is_some_and(has_fields)
        && is_shared(versions, "selectableFields")
        && !is_shared(versions, "schema")
    {
        let detail = "may only be set when validations.schema is included";
        errors.push(messages::invalid(path.field("selectableFields").to_field(), &Value::from(""), detail));
    }
    // The first version is also the `version` of the internal form.
    let first = versions.first().and_then(|version| version.get("name")).and_then(Value::as_str).unwrap_or_default();
    if let Some(reason) = Some(first).filter(|first| !first.is_empty()).and_then(names::dns_1035_violation) {
        errors.push(messages::invalid(path.field("version").to_field(), &Value::from(first), &reason));
    }
}

fn one_version_errors(version: &Value, old: Option<&Value>, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let schema_path = path.field("schema");
    let schema_path = schema_path.field("openAPIV3Schema");
    deprecation_errors(version, path, errors);
    match version.pointer("/schema/openAPIV3Schema").filter(|schema| schema.is_object()) {
        None => errors.push(messages::required(schema_path.to_field(), "")),
        // What was accepted once stays accepted.
        Some(schema) if old.and_then(|old| old.pointer("/schema/openAPIV3Schema")) == Some(schema) => {}
        Some(schema) => {
            let has_status = version.pointer("/subresources/status").is_some_and(|status| !status.is_null());
            schema_errors(schema, has_status, &schema_path, errors);
        }
    }
    scale_errors(version, &path.field("subresources"), errors);
    let columns_path = path.field("additionalPrinterColumns");
    let columns = version.get("additionalPrinterColumns").and_then(Value::as_array).into_iter().flatten();
    for (index, column) in columns.enumerate() {
        column_errors(column, &columns_path.index(index), errors);
    }
    errors.extend(selectable_fields::errors(version, old, path));
}

fn schema_errors(schema: &Value, has_status: bool, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if has_status {
        open_api_schema::root_with_status_errors(schema, path, errors);
    }
    if schema.get("nullable").and_then(Value::as_bool) == Some(true) {
        errors.push(messages::forbidden(path.field("nullable").to_field(), "nullable cannot be true at the root"));
    }
    // With keywords it cannot read at all, the real server does not look at the structure.
    let is_readable = !open_api_schema::has_unsupported_keywords(schema);
    let violations = if is_readable { structural::violations(path, schema) } else { Vec::new() };
    let is_structural = is_readable && violations.is_empty();
    errors.extend(violations);
    let mut defaults_are_valid = false;
    if is_structural {
        let of_defaults = schema_defaults::errors(schema, path);
        defaults_are_valid = of_defaults.is_empty();
        errors.extend(of_defaults);
    }
    errors.extend(open_api_schema::errors(schema, path, defaults_are_valid));
}

fn deprecation_errors(version: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let Some(warning) = version.get("deprecationWarning").filter(|warning| !warning.is_null()) else { return };
    let field = path.field("deprecationWarning").to_field();
    let text = warning.as_str().unwrap_or_default();
    let mut refuse = |detail: &str| errors.push(messages::invalid(field.clone(), warning, detail));
    if version.get("deprecated").and_then(Value::as_bool) != Some(true) {
        refuse("can only be set for deprecated versions");
        return;
    }
    if text.len() > 256 {
        refuse("must be <= 256 characters long");
    }
    if text.is_empty() {
        refuse("must not be an empty string");
    }
    if let Some((index, _)) = text.char_indices().find(|(_, character)| character.is_control()) {
        refuse(&format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        ));
    }
}

fn scale_errors(version: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let Some(scale) = version.pointer("/subresources/scale").filter(|scale| !scale.is_null()) else { return };
    let scale_path = path.field("scale");
    let paths: [(&str, bool, &[&str], &str); 3] = [
        ("specReplicasPath", true, &[".spec."], ".spec"),
        ("statusReplicasPath", true, &[".status."], ".status"),
        ("labelSelectorPath", false, &[".spec.", ".status."], "either .spec or .status"),
    ];
    for (name, is_required, prefixes, place) in paths {
        let value = scale.get(name).and_then(Value::as_str).unwrap_or_default();
        let field = scale_path.field(name).to_field();
        if value.is_empty() {
            if is_required {
                errors.push(messages::required(field, ""));
            }
        } else if let Some(detail) = simple_path_violation(value) {
            errors.push(messages::invalid(field, &Value::from(value), detail));
        } else if !prefixes.iter().any(|prefix| value.starts_with(prefix)) {
            let detail = format!("should be a json path under {place}");
            errors.push(messages::invalid(field, &Value::from(value), &detail));
        }
    }
}

fn simple_path_violation(path: &str) -> Option<&'static str> {
    (!path.starts_with('.')).then_some("must be a simple json path starting with .")
}

fn column_errors(column: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let text = |name: &str| column.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("name").is_empty() {
        errors.push(messages::required(path.field("name").to_field(), ""));
    }
    let one_of_types = format!("must be one of {}", COLUMN_TYPES.join(","));
    match text("type") {
        "" => errors.push(messages::required(path.field("type").to_field(), &one_of_types)),
        known if COLUMN_TYPES.contains(&known) => {}
        other => errors.push(messages::invalid(path.field("type").to_field(), &Value::from(other), &one_of_types)),
    }
    let format = text("format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
        errors.push(messages::invalid(path.field("format").to_field(), &Value::from(format), &detail));
    }
    let json_path = text("jsonPath");
    if json_path.is_empty() {
        errors.push(messages::required(path.field("JSONPath").to_field(), ""));
    } else if let Some(detail) = simple_path_violation(json_path) {
        errors.push(messages::invalid(path.field("JSONPath").to_field(), &Value::from(json_path), detail));
    }
}

fn conversion_errors(spec: &Value, path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let Some(conversion) = spec.get("conversion").filter(|conversion| !conversion.is_null()) else { return };
    let accepted = [Value::from("None"), Value::from("Webhook")];
    let webhook = conversion.get("webhook").filter(|webhook| !webhook.is_null());
    let client = webhook.and_then(|webhook| webhook.get("clientConfig")).filter(|client| !client.is_null());
    let review_versions = webhook
        .and_then(|webhook| webhook.get("conversionReviewVersions"))
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    // The real server reports these in the names of its internal version.
    let client_path = path.field("webhookClientConfig");
    let versions_path = path.field("conversionReviewVersions");
    let strategy = conversion.get("strategy").and_then(Value::as_str).unwrap_or_default();
    if strategy != "None" && spec.get("preserveUnknownFields").and_then(Value::as_bool) == Some(true) {
        let detail = "must be None if spec.preserveUnknownFields is true";
        errors.push(messages::invalid(path.field("strategy").to_field(), &Value::from(strategy), detail));
    }
    match strategy {
        "" => errors.push(messages::required(path.field("strategy").to_field(), "")),
        "Webhook" => {
            match client {
                None => {
                    let detail = "required when strategy is set to Webhook";
                    errors.push(messages::required(client_path.to_field(), detail));
                }
                Some(client) => {
                    let is_set = |name: &str| client.get(name).is_some_and(|value| !value.is_null());
                    if is_set("url") == is_set("service") {
                        let detail = "exactly one of url or service is required";
                        errors.push(messages::required(client_path.to_field(), detail));
                    } else if let Some(url) = client.get("url")
                        && !url.as_str().is_some_and(|url| url.starts_with("https://") && url.len() > 8)
                    {
                        let detail = "'https' is the only allowed URL scheme; desired format: https://host[/path]";
                        errors.push(messages::invalid(client_path.field("url").to_field(), url, detail));
                    }
                }
            }
            review_version_errors(review_versions, &versions_path, errors);
        }
        strategy => {
            if strategy != "None" {
                let field = path.field("strategy").to_field();
                errors.push(messages::not_supported(field, &Value::from(strategy), &accepted));
            }
            let detail = "should not be set when strategy is not set to Webhook";
            if client.is_some() {
                errors.push(messages::forbidden(client_path.to_field(), detail));
            }
            if !review_versions.is_empty() {
                errors.push(messages::forbidden(versions_path.to_field(), detail));
            }
        }
    }
}

fn review_version_errors(versions: &[Value], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    if versions.is_empty() {
        errors.push(messages::required(path.to_field(), ""));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        if versions[..index].contains(version) {
            errors.push(messages::invalid(path.index(index).to_field(), version, "duplicate version"));
        } else if let Some(reason) = names::dns_1035_violation(version.as_str().unwrap_or_default()) {
            errors.push(messages::invalid(path.index(index).to_field(), version, &reason));
        }
    }
    if !versions.iter().any(|version| version == "v1" || version == "v1beta1") {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(messages::invalid(path.to_field(), &Value::Array(versions.to_vec()), detail));
    }
}

fn immutable_errors(spec: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let established = super::is_established(old);
    let fields = [("/scope", established), ("/names/kind", established), ("/group", true), ("/names/plural", true)];
    for (pointer, is_immutable) in fields {
        let value = spec.pointer(pointer).unwrap_or(&Value::Null);
        let old_value = old.get("spec").and_then(|spec| spec.pointer(pointer)).unwrap_or(&Value::Null);
        if is_immutable && value != old_value {
            let field = format!("spec{}", pointer.replace('/', "."));
            errors.push(messages::invalid(field, value, "field is immutable"));
        }
    }
}

/// Groups of the community need an approval, so that nobody makes its kinds up.
pub(super) fn approval_errors(definition: &Value, old: Option<&Value>) -> Option<FieldError> {
    const ANNOTATION: &str = "api-approved.kubernetes.io";
    let group = definition.pointer("/spec/group").and_then(Value::as_str).unwrap_or_default();
    let is_protected =
        ["k8s.io", "kubernetes.io"].iter().any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    if !is_protected {
        return None;
    }
    let approval = |definition: &Value| {
        definition
            .pointer("/metadata/annotations")
            .and_then(|annotations| annotations.get(ANNOTATION))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let new = approval(definition);
    if old.is_some_and(|old| approval(old) == new) {
        return None;
    }
    let field = format!("metadata.annotations[{ANNOTATION}]");
    if new.is_empty() {
        let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
                      https://github.com/kubernetes/enhancements/pull/1111";
        Some(messages::required(field, detail))
    } else if !new.starts_with("unapproved") && !new.contains("://") {
        let detail = format!(
            "protected groups must have approval annotation \"{ANNOTATION}\" with either a URL or a reason starting \
             with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
        );
        Some(messages::invalid(field, &Value::from(new), &detail))
    } else {
        None
    }
}
