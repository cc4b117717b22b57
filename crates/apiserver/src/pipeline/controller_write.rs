//! A change by one of the server's own controllers: an update without a request.

use jiff::Timestamp;
use kogge_machinery::{admission::Operation, apply, status_error::ApiError};
use serde_json::Value;

use super::{
    admission::Review,
    object_completion::complete_update,
    object_write::{
        ATTEMPTS, Merged, WriteScope, Writer, is_last_finalizer_gone, modified, prune_admitted, timestamp, write_error,
    },
    presentation::{convert_to_stored, present_value},
};
use crate::{
    admission::Requester,
    plane::Plane,
    registry::ServedResource,
    store::{Change, Expected, ObjectKey, WriteError},
};

/// Changes a stored object on its latest state. `change` is called once an attempt and says whether it changed anything.
///
/// # Errors
/// 404 without the object, and what completing the update refuses.
pub(crate) async fn change_object(
    plane: &Plane,
    served: &ServedResource,
    key: &ObjectKey,
    scope: WriteScope,
    manager: &str,
    mut change: impl FnMut(&mut Value) -> bool + Send,
) -> Result<(), ApiError> {
    let group_resource = served.resource.group_resource();
    let not_found = || ApiError::not_found(&group_resource, &key.name);
    let requester = plane.admission().current().map(|_| Requester::controller(manager));
    let review = Review::of(plane, served, key, Operation::Update, scope, requester.as_ref());
    for _ in 0..ATTEMPTS {
        let stored = plane.get(key)?.ok_or_else(not_found)?;
        let old = present_value(served, &stored.json, stored.revision).await?;
        let mut new = old.clone();
        if !change(&mut new) {
            return Ok(());
        }
        let writer = Writer::own(manager, timestamp(Timestamp::now()));
        let mut new =
            complete_update(plane, served, &old, Merged::Untracked(new), scope, &writer, review.as_ref()).await?;
        if let Some(review) = &review {
            review.validate(Some(&old), &new).await?;
            prune_admitted(served, &mut new);
        }
        let removed = is_last_finalizer_gone(served, &old, &new);
        if !removed && apply::equal_except_managed_time(&old, &new) {
            return Ok(());
        }
        // What goes is what was stored, as watches show it.
        let write = if removed {
            Change::Delete(convert_to_stored(served, old).await?)
        } else {
            Change::Put(convert_to_stored(served, new).await?)
        };
        match plane.write(key.clone(), write, Expected::Revision(stored.revision)).await {
            Ok(_) => return Ok(()),
            Err(WriteError::Conflict { .. }) => {}
            Err(WriteError::Missing) => return Err(not_found()),
            Err(error) => return Err(write_error(&error)),
        }
    }
    Err(modified(&group_resource, &key.name))
}
