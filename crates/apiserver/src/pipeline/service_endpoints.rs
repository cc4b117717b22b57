//! What goes with a Service: the Endpoints of its name, so that no later Service of that name has the old ones.

use super::delete::{DeleteOptions, delete_object};
use crate::{plane::Plane, registry::ServedResource, store::ObjectKey};

/// Deletes the Endpoints of an object that is gone, if it is a Service. The Service is gone whatever comes of it.
pub(super) async fn follow(plane: &Plane, served: &ServedResource, key: &ObjectKey) {
    if !served.is_core("services") {
        return;
    }
    let Some(endpoints) = plane.registry().find("", "v1", "endpoints") else { return };
    let key = ObjectKey { resource: endpoints.stored_as.clone(), ..key.clone() };
    let options = DeleteOptions::default();
    // A delete of a Service waits for this one, which waits for none.
    if let Err(error) = Box::pin(delete_object(plane, &endpoints, &key, &options, None)).await
        && error.code() != 404
    {
        tracing::warn!(plane = %plane.name(), %error, "the Endpoints of a deleted Service stay");
    }
}
