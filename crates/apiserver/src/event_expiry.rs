//! Events are notes, not state: one that was not written for an hour is removed.

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use kogge_machinery::{resource::GroupResource, status_error::ApiError};

use crate::{
    plane::{Plane, parse_stored, read_error},
    store::{Change, Expected, Scope},
};

/// How long an event lives after its last change (the real server's `--event-ttl`).
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// So many removals share transactions.
const CONCURRENT_REMOVALS: usize = 64;

/// Removes the events of a plane that are too old at `now`. One that is changed meanwhile stays.
///
/// # Errors
/// If the store cannot be read.
pub(crate) async fn expire(plane: &Plane, now: Timestamp) -> Result<(), ApiError> {
    let scope = Scope::Resource(GroupResource { group: String::new(), resource: "events".to_owned() });
    let Ok(limit) = now.checked_sub(LIFETIME) else { return Ok(()) };
    let old = plane.store().written_before(&scope, limit).map_err(|error| read_error(&error))?;
    let removals: Vec<_> = old
        .into_iter()
        .map(|event| async move {
            let last = parse_stored(&event.json)?;
            // The only refusals are that it was changed or removed meanwhile, or that the store has failed, which every
            // other write reports.
            let _ = plane.write(event.key, Change::Delete(last), Expected::Revision(event.revision)).await;
            Ok(())
        })
        .collect();
    let results: Vec<Result<(), ApiError>> =
        futures::stream::iter(removals).buffer_unordered(CONCURRENT_REMOVALS).collect().await;
    results.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::{Server, ServerOptions};

    #[tokio::test]
    async fn an_event_lives_for_an_hour_after_its_last_change() {
        let plane = Server::open(ServerOptions::default()).await.unwrap().management();
        let event = |name: &str| {
            json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "default"},
                "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}})
        };
        plane.apply_all(vec![event("a"), event("b")]).await.unwrap();
        let before = plane.store().count(&Scope::Plane).unwrap() - 2;
        let events = Scope::Resource(GroupResource { group: String::new(), resource: "events".to_owned() });
        expire(&plane, Timestamp::now() + SignedDuration::from_mins(59)).await.unwrap();
        assert_eq!(plane.store().count(&events), Ok(2));
        expire(&plane, Timestamp::now() + SignedDuration::from_mins(61)).await.unwrap();
        assert_eq!((plane.store().count(&events), plane.store().count(&Scope::Plane)), (Ok(0), Ok(before)));
    }
}
