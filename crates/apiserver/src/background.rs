//! The server's own loops: one of each for all planes, so an idle plane has none.

use std::time::Duration;

use jiff::Timestamp;
use kogge_machinery::resource::GroupResource;
use tokio_util::sync::CancellationToken;

use crate::{
    controller_loop,
    garbage_collector::GarbageCollector,
    namespace_controller::NamespaceController,
    plane::Plane,
    server::{Server, WeakServer},
    store::{Change, Expected, Scope},
};

/// How often history is compacted and old events are looked for.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);
/// How long an Event lives after its last change, in seconds (the real server's `--event-ttl`).
const EVENT_LIFETIME_SECONDS: i64 = 3600;

/// Starts the loops; they end with `end`.
pub(crate) fn start(server: &Server, end: &CancellationToken) {
    controller_loop::start(GarbageCollector::default(), server, end);
    controller_loop::start(NamespaceController::default(), server, end);
    tokio::spawn(end.clone().run_until_cancelled_owned(maintain(server.downgrade())));
}

async fn maintain(server: WeakServer) {
    loop {
        tokio::time::sleep(MAINTENANCE_INTERVAL).await;
        let Some(server) = server.upgrade() else { return };
        let now = Timestamp::now();
        for plane in server.planes() {
            if let Err(error) = expire_events(&plane, now).await {
                tracing::warn!(plane = %plane.name(), %error, "failed to remove old events");
            }
        }
        if let Err(error) = server.store().compact(now).await {
            tracing::warn!(%error, "failed to compact the store");
        }
    }
}

/// Removes events that were not changed for an hour.
async fn expire_events(plane: &Plane, now: Timestamp) -> Result<(), String> {
    let scope = Scope::Resource(GroupResource { group: String::new(), resource: "events".to_owned() });
    if plane.store().count(&scope).map_err(|error| error.to_string())? == 0 {
        return Ok(());
    }
    let page = plane.store().list(&scope, None, 0, None).map_err(|error| error.to_string())?;
    for item in page.items {
        if now.as_second() - item.written_at.as_second() < EVENT_LIFETIME_SECONDS {
            continue;
        }
        let last = serde_json::from_slice(&item.json).map_err(|error| error.to_string())?;
        // An event changed meanwhile is not old any more.
        let _ = plane.write(item.key, Change::Delete(last), Expected::Revision(item.revision)).await;
    }
    Ok(())
}
