//! How the server's own controllers delete and change objects: by the rules of the request pipeline, without a request.

use kogge_machinery::status_error::ApiError;
use serde_json::Value;

use crate::{
    admission::Requester,
    pipeline::{DeleteOptions, Preconditions, WriteScope, change_object, delete_object},
    plane::Plane,
    store::ObjectKey,
};

/// What becomes of the dependents of a deleted object (`propagationPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
    /// They are left.
    Orphan,
}

impl Propagation {
    fn name(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

/// Writes to one plane in the name of a controller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObjectWriter<'a> {
    pub(crate) plane: &'a Plane,
    /// Field manager of the changes.
    pub(crate) manager: &'static str,
}

impl ObjectWriter<'_> {
    /// Deletes an object if it still has this uid and, where one is given, this revision. An object that is gone, or
    /// whose kind is not served any more, is left alone.
    ///
    /// # Errors
    /// 409 where the object is another one or was changed, and what the delete refuses.
    pub(crate) async fn delete(
        &self,
        key: &ObjectKey,
        uid: &str,
        revision: Option<u64>,
        propagation: Propagation,
    ) -> Result<(), ApiError> {
        let Some(served) = self.plane.registry().find_stored(&key.resource) else { return Ok(()) };
        let mut options = DeleteOptions::default();
        options.propagation_policy = Some(propagation.name().to_owned());
        options.preconditions = Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: revision.map(|revision| revision.to_string()),
        });
        let requester = self.plane.admission().current().map(|_| Requester::controller(self.manager));
        gone_is_done(delete_object(self.plane, &served, key, &options, requester.as_ref()).await.map(drop))
    }

    /// Changes an object through an endpoint, on its latest state, as often as it takes. `change` gets the current state
    /// and says whether there is anything to change. An object that is gone is left alone.
    ///
    /// # Errors
    /// What the update refuses.
    pub(crate) async fn change(
        &self,
        key: &ObjectKey,
        scope: WriteScope,
        change: impl FnMut(&mut Value) -> bool + Send,
    ) -> Result<(), ApiError> {
        let Some(served) = self.plane.registry().find_stored(&key.resource) else { return Ok(()) };
        gone_is_done(change_object(self.plane, &served, key, scope, self.manager, change).await)
    }
}

fn gone_is_done(result: Result<(), ApiError>) -> Result<(), ApiError> {
    match result {
        Err(error) if error.code() == 404 => Ok(()),
        other => other,
    }
}
