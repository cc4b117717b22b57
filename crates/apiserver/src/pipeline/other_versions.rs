//! The versions of a served kind, for the ownership of fields: entries of managedFields are compared in the version they
//! were written in.
//!
//! Ownership is computed by pure functions, a conversion may be a webhook's. So the computation runs, and where it misses
//! a conversion it is made and the computation runs again ([`ServedVersions::run`]). Nearly every object has entries of
//! one version only, and then nothing here is even looked up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use kogge_machinery::{
    apply::OtherVersions,
    schema::{Schema, SchemaNode},
    status_error::ApiError,
};
use serde_json::Value;

use crate::{
    builtin::{autoscaler_conversion, event_conversion},
    plane::Plane,
    registry::ServedResource,
};

/// The versions of the kind of one write.
#[derive(Debug)]
pub(crate) struct ServedVersions<'w> {
    plane: &'w Plane,
    served: &'w ServedResource,
    versions: OnceLock<Vec<Version>>,
    conversions: Mutex<Conversions>,
}

#[derive(Debug)]
struct Version {
    api_version: String,
    schema: Option<Arc<Schema>>,
}

/// Conversions a webhook made, and the one that is missing.
#[derive(Debug, Default)]
struct Conversions {
    made: HashMap<(String, String), Result<Value, ApiError>>,
    missing: Option<(String, Value)>,
}

impl<'w> ServedVersions<'w> {
    pub(crate) fn of(plane: &'w Plane, served: &'w ServedResource) -> Self {
        Self { plane, served, versions: OnceLock::new(), conversions: Mutex::default() }
    }

    fn versions(&self) -> &[Version] {
        self.versions.get_or_init(|| {
            let mut resources = vec![self.served.resource.group_resource()];
            if self.served.stored_as != resources[0] {
                resources.push(self.served.stored_as.clone());
            } else if self.served.is_core("events") {
                resources.push(kogge_machinery::resource::GroupResource {
                    group: "events.k8s.io".to_owned(),
                    resource: "events".to_owned(),
                });
            }
            let served = resources.iter().flat_map(|resource| self.plane.registry().versions(resource));
            served
                .map(|version| Version {
                    api_version: version.resource.api_version(),
                    schema: version.resource.schema.get(),
                })
                .collect()
        })
    }

    /// Runs a computation until it has every conversion it asks for.
    ///
    /// # Errors
    /// What the computation fails with.
    pub(crate) async fn run<T>(&self, mut compute: impl FnMut() -> Result<T, ApiError>) -> Result<T, ApiError> {
        loop {
            let outcome = compute();
            if outcome.is_ok() {
                return outcome;
            }
            let missing = self.conversions.lock().unwrap_or_else(PoisonError::into_inner).missing.take();
            let (Some((api_version, object)), Some(converter)) = (missing, &self.served.converter) else {
                return outcome;
            };
            let key = (api_version, object.to_string());
            let made = converter.convert(object, &key.0).await;
            self.conversions.lock().unwrap_or_else(PoisonError::into_inner).made.insert(key, made);
        }
    }
}

impl OtherVersions for ServedVersions<'_> {
    fn schema(&self, api_version: &str) -> Option<Option<&SchemaNode>> {
        let version = self.versions().iter().find(|version| version.api_version == api_version)?;
        Some(version.schema.as_deref().map(|schema| &*schema.root))
    }

    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, ApiError> {
        if self.served.converter.is_some() {
            let mut conversions = self.conversions.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (api_version.to_owned(), object.to_string());
            if let Some(made) = conversions.made.get(&key) {
                return made.clone();
            }
            conversions.missing = Some((key.0, object.clone()));
            return Err(ApiError::internal("a conversion is still to be made"));
        }
        let mut object = object.clone();
        if self.served.stored_as.resource == "events" && !self.served.resource.custom {
            return Ok(match api_version {
                "v1" => event_conversion::to_core_group(object),
                _ => event_conversion::to_events_group(object),
            });
        }
        if self.served.is("autoscaling", "horizontalpodautoscalers") && object["apiVersion"] != api_version {
            return Ok(match api_version {
                "autoscaling/v1" => autoscaler_conversion::to_older(object),
                _ => autoscaler_conversion::to_newer(object),
            });
        }
        object["apiVersion"] = api_version.into();
        Ok(object)
    }
}
