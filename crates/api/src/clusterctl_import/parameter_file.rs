//! Reading a `clusterctl.yaml`: flat keys, whose lists and maps are strings that hold YAML in flow form.

use saphyr::{MarkedYaml, YamlData, YamlLoader};

/// One `KEY: value` of the file, or one `KEY=value` of its harbor settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    pub key: String,
    /// As written, without quotes; empty for null.
    pub value: String,
    /// Line in the file, from 1.
    pub line: usize,
}

/// Why a parameter file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterFileError {
    /// It is no YAML.
    #[error("line {line}, column {column}: {message}")]
    Parse {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// It is YAML, but no flat list of parameters.
    #[error("line {line}: a parameter file has one `KEY: value` a line; {found}")]
    Shape {
        /// Line, from 1.
        line: usize,
        /// What is there instead.
        found: String,
    },
    /// It has no parameter of a `clusterctl.yaml`.
    #[error("this is no clusterctl.yaml: it has none of its parameters, such as KUBERNETES_VERSION")]
    NotClusterctl,
}

/// Reads the file. Values keep their spelling: `1.30` stays `1.30`.
pub(super) fn read(text: &str) -> Result<Vec<Parameter>, ParameterFileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents = load(text)?;
    let mut parameters = Vec::new();
    for document in &documents {
        let line = document.span.start.line();
        match &document.data {
            YamlData::Mapping(entries) => {
                for (key, value) in entries {
                    parameters.push(Parameter {
                        line: key.span.start.line(),
                        key: scalar(key)?,
                        value: scalar_or_flow(value)?,
                    });
                }
            }
            YamlData::Representation(text, ..) if text.is_empty() || *text == "~" => {}
            _ => return Err(ParameterFileError::Shape { line, found: "this is a list or a single value".into() }),
        }
    }
    Ok(parameters)
}

fn load(text: &str) -> Result<Vec<MarkedYaml<'_>>, ParameterFileError> {
    let failed = |error: &saphyr::ScanError| ParameterFileError::Parse {
        line: error.marker().line(),
        column: error.marker().col() + 1,
        message: error.info().to_owned(),
    };
    let mut parser = saphyr_parser::Parser::new_from_str(text);
    let mut loader = YamlLoader::<MarkedYaml<'_>>::default();
    loader.early_parse(false);
    // The old scripts appended settings to the file; the last one counted.
    loader.allow_duplicate_keys(true);
    loader.alias_limit(1000);
    parser.load(&mut loader, true).map_err(|error| failed(&error))?;
    if let Some(error) = loader.error() {
        return Err(failed(error));
    }
    Ok(loader.into_documents())
}

fn scalar(node: &MarkedYaml<'_>) -> Result<String, ParameterFileError> {
    match &node.data {
        YamlData::Representation(text, ..) => Ok(if *text == "~" { String::new() } else { text.to_string() }),
        _ => Err(ParameterFileError::Shape { line: node.span.start.line(), found: "here is a nested value".into() }),
    }
}

/// R1 files hold lists as YAML lists, later ones as strings of the same look: both become the string.
fn scalar_or_flow(node: &MarkedYaml<'_>) -> Result<String, ParameterFileError> {
    match &node.data {
        YamlData::Sequence(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(scalar).collect();
            Ok(format!("[{}]", items?.join(", ")))
        }
        YamlData::Mapping(entries) => {
            let mut parts = Vec::new();
            for (key, value) in entries {
                parts.push(format!("{}: {}", scalar(key)?, scalar(value)?));
            }
            Ok(format!("{{{}}}", parts.join(", ")))
        }
        _ => scalar(node),
    }
}

/// `"[ 5.1.66.255, 185.150.99.255, ]"`, `9.9.9.9`, `""` as a list.
pub(super) fn list(value: &str) -> Vec<String> {
    let inner = value.trim().trim_start_matches('[').trim_end_matches(']');
    inner
        .split(',')
        .map(|item| item.trim().trim_matches(['"', '\'']).to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// `"{ k: 'v', }"` as pairs; `None` if it is no map of texts.
pub(super) fn map(value: &str) -> Option<Vec<(String, String)>> {
    let value = value.trim();
    if value.is_empty() {
        return Some(Vec::new());
    }
    let documents = load(value).ok()?;
    match &documents.first()?.data {
        YamlData::Mapping(entries) => {
            entries.iter().map(|(key, value)| Some((scalar(key).ok()?, scalar(value).ok()?))).collect()
        }
        YamlData::Representation(text, ..) if text.is_empty() => Some(Vec::new()),
        _ => None,
    }
}

/// What a `DEPLOY_X` or `USE_X` says: YAML 1.1 booleans, or a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Switch {
    Off,
    On,
    Version(String),
}

/// Reads a `DEPLOY_X`; empty is off, as for the old scripts.
pub(super) fn switch(value: &str) -> Switch {
    match value.trim().to_ascii_lowercase().as_str() {
        "" | "false" | "no" | "off" | "0" => Switch::Off,
        "true" | "yes" | "on" | "1" => Switch::On,
        _ => Switch::Version(value.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_spelling_and_know_their_line() {
        let parameters =
            read("# comment\nKUBERNETES_VERSION: 1.30\nNODES: \"[ a, 'b', ]\"\nEMPTY:\nLIST:\n  - x\n").unwrap();
        let seen: Vec<_> = parameters.iter().map(|p| (p.key.as_str(), p.value.as_str(), p.line)).collect();
        assert_eq!(
            seen,
            [("KUBERNETES_VERSION", "1.30", 2), ("NODES", "[ a, 'b', ]", 3), ("EMPTY", "", 4), ("LIST", "[x]", 5)]
        );
        assert_eq!(list("[ a, 'b', ]"), ["a", "b"]);
        assert_eq!(list("9.9.9.9"), ["9.9.9.9"]);
        assert_eq!(map("{ k: 'v', }"), Some(vec![("k".into(), "v".into())]));
    }

    #[test]
    fn what_is_no_parameter_file_is_refused_with_its_line() {
        assert!(matches!(read("A: 1\nB: [\n"), Err(ParameterFileError::Parse { .. })));
        assert!(matches!(read("- a\n"), Err(ParameterFileError::Shape { line: 1, .. })));
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC*") {
            let _ = read(&text);
            let _ = map(&text);
            let _ = list(&text);
        }
    }
}
