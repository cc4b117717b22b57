//! The other versions of a kind, in which entries of `metadata.managedFields` may be written.

use std::fmt::Debug;

use serde_json::Value;

use super::typed::{Type, validate};
use super::updater::Refused;
use super::{error_list, failure};
use crate::schema::SchemaNode;
use crate::status_error::ApiError;

/// Conversion between the versions of one kind.
///
/// Asked only for versions that differ from the one written, and only when an entry of such a version exists.
pub trait OtherVersions: Debug + Sync {
    /// Schema of objects of `api_version`; `None` when that version is not served, `Some(None)` when it has no schema.
    fn schema(&self, api_version: &str) -> Option<Option<&SchemaNode>>;

    /// `object`, of any served version, in the served version `api_version`.
    ///
    /// # Errors
    /// Whatever the kind's conversion fails with; the write that asked then fails with it.
    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, ApiError>;
}

/// A kind that is served in one version only.
#[derive(Clone, Copy, Debug)]
pub struct OnlyVersion;

impl OtherVersions for OnlyVersion {
    fn schema(&self, _: &str) -> Option<Option<&SchemaNode>> {
        None
    }

    fn convert(&self, object: &Value, _: &str) -> Result<Value, ApiError> {
        Ok(object.clone())
    }
}

/// An object in one version, with its type there.
#[derive(Clone)]
pub(super) struct Versioned<'v> {
    pub(super) own: Type<'v>,
    pub(super) api_version: String,
    pub(super) object: Value,
}

impl<'v> Versioned<'v> {
    /// Another object of the same version.
    pub(super) fn with(&self, object: Value) -> Self {
        Self { own: self.own, api_version: self.api_version.clone(), object }
    }

    /// The object in `api_version`; `None` when that is not served. `current` is the version written, and its type.
    /// A converted object must be of its type and without duplicates in its lists, as an applied one must.
    pub(super) fn to(
        &self,
        api_version: &str,
        current: (&str, Type<'v>),
        versions: &'v dyn OtherVersions,
    ) -> Result<Option<Self>, Refused> {
        if api_version == self.api_version {
            return Ok(Some(self.clone()));
        }
        let own = if api_version == current.0 {
            current.1
        } else {
            match versions.schema(api_version) {
                Some(schema) => Type::root(schema),
                None => return Ok(None),
            }
        };
        let object = versions.convert(&self.object, api_version).map_err(Refused::Conversion)?;
        let errors = validate(own, &object);
        if !errors.is_empty() {
            return Err(Refused::Conversion(failure(error_list(&errors))));
        }
        Ok(Some(Self { own, api_version: api_version.to_owned(), object }))
    }
}
