//! Lists as text, in the representation the client asked for, from objects as they are serialised.

use kogge_machinery::{
    negotiation::Representation,
    resource::ResourceType,
    status_error::ApiError,
    table::{SerializedRows, write_partial_object_metadata},
};
use serde_json::Value;

use super::{RequestContext, list::not_that_metadata, presentation::include_object};

/// What the items of a list become.
pub(crate) enum ListWriter<'a> {
    /// The objects as they are.
    Objects(&'a ResourceType),
    Rows(SerializedRows<'a>),
    /// `PartialObjectMetadata` in this version of its group.
    Metadata(&'a str),
}

impl<'a> ListWriter<'a> {
    /// # Errors
    /// 406 for a list asked for as the metadata of one object, 400 for an `includeObject` that is none.
    pub(crate) fn of(context: &'a RequestContext<'_>) -> Result<Self, ApiError> {
        let (resource, answer) = (&context.served.resource, &context.answer);
        Ok(match answer.representation {
            Representation::Object | Representation::AggregatedDiscovery => Self::Objects(resource),
            Representation::Table => {
                let include = include_object(&context.query, &context.answer)?;
                Self::Rows(SerializedRows::new(resource, include, &answer.version, context.now.as_second()))
            }
            Representation::PartialObjectMetadata => return Err(not_that_metadata(context, true)),
            Representation::PartialObjectMetadataList => Self::Metadata(&answer.version),
        })
    }

    /// What the list begins and ends with. Between are the items with commas between them.
    pub(crate) fn frame(&self, mut metadata: Value) -> (String, String) {
        match self {
            Self::Objects(resource) => {
                if resource.custom && metadata["continue"].is_null() {
                    // Lists of custom resources are untyped in the real server, which writes the empty token too.
                    metadata["continue"] = "".into();
                }
                frame(resource.api_version(), &resource.list_kind, &metadata)
            }
            Self::Rows(rows) => (rows.head(metadata), SerializedRows::TAIL.to_owned()),
            Self::Metadata(version) => frame(format!("meta.k8s.io/{version}"), "PartialObjectMetadataList", &metadata),
        }
    }

    /// Appends an item.
    ///
    /// # Errors
    /// If the JSON of the object is damaged; a part of the item may have been appended then.
    pub(crate) fn write(&self, object: &[u8], bytes: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Self::Objects(_) => bytes.extend_from_slice(object),
            Self::Rows(rows) => rows.write(object, bytes)?,
            Self::Metadata(version) => write_partial_object_metadata(object, version, bytes)?,
        }
        Ok(())
    }
}

/// Keys are sorted, so that the items are in the middle.
fn frame(api_version: String, kind: &str, metadata: &Value) -> (String, String) {
    let head = format!("{{\"apiVersion\":{},\"items\":[", Value::from(api_version));
    (head, format!("],\"kind\":{},\"metadata\":{metadata}}}", Value::from(kind)))
}
