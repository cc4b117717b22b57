//! The Swagger 2.0 document: that of the built-in kinds, with the custom kinds added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    components::{self, Version},
    gnostic,
    template::{Template, Texts},
};
use crate::{protobuf::write::bytes, resource::ResourceType};

/// A document of `/openapi/v2`. Paths and definitions are kept as texts: there are thousands, and most are passed on.
#[derive(Debug, Serialize, Deserialize)]
pub struct VersionTwo {
    swagger: String,
    info: BTreeMap<String, String>,
    paths: Texts,
    definitions: Texts,
    parameters: Box<RawValue>,
    #[serde(rename = "securityDefinitions")]
    security_definitions: Box<RawValue>,
    security: Box<RawValue>,
}

impl VersionTwo {
    /// Reads a document that kube-apiserver published, for a server of another `version`, such as `1.36`.
    ///
    /// # Errors
    /// If it is no such document.
    pub fn read(document: &str, version: &str) -> Result<Self, serde_json::Error> {
        let mut document: VersionTwo = serde_json::from_str(document)?;
        document.info.insert("version".to_owned(), version.to_owned());
        Ok(document)
    }

    /// Adds kinds that are not built in.
    pub fn add(&mut self, resources: &[&ResourceType]) {
        if resources.is_empty() {
            return;
        }
        let template = Template::unpack();
        for resource in resources {
            template.add_paths(resource, Version::Two, &mut self.paths);
            let mut definitions = Map::new();
            components::add(resource, Version::Two, &mut definitions);
            for (name, definition) in definitions {
                if let Ok(definition) = serde_json::value::to_raw_value(&definition) {
                    self.definitions.entry(name).or_insert(definition);
                }
            }
        }
    }

    /// The document as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Nothing in it can fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The document as gnostic's `openapi.v2.Document`.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let parsed = |text: &RawValue| serde_json::from_str::<Value>(text.get()).unwrap_or_default();
        let message = |texts: &Texts, number: u32, message: &gnostic::Message| {
            let mut out = Vec::new();
            for (name, text) in texts {
                bytes(&mut out, number, &gnostic::named(name, &gnostic::encode(message, &parsed(text))));
            }
            out
        };
        let before = json!({"swagger": self.swagger, "info": self.info});
        let after = json!({
            "parameters": parsed(&self.parameters),
            "securityDefinitions": parsed(&self.security_definitions),
            "security": parsed(&self.security),
        });
        let mut out = gnostic::encode(&gnostic::DOCUMENT, &before);
        bytes(&mut out, 8, &message(&self.paths, 2, &gnostic::PATH_ITEM));
        bytes(&mut out, 9, &message(&self.definitions, 1, &gnostic::SCHEMA));
        out.extend(gnostic::encode(&gnostic::DOCUMENT, &after));
        out
    }
}
