//! The server's own loops: one of each for all planes, so an idle plane has none.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    certificate_signing::{self, CertificateController},
    controller_loop, event_expiry,
    garbage_collector::GarbageCollector,
    namespace_content::NamespaceContent,
    namespace_controller::NamespaceController,
    policy_status_controller::PolicyStatusController,
    rbac::aggregation_controller::AggregationController,
    resource_quota_controller::{self, ResourceQuotaController},
    server::{Server, WeakServer},
    storage_protection_controller::StorageProtectionController,
    token::secret::TokenController,
};

/// How often history is compacted and old events are looked for.
const MAINTENANCE_INTERVAL: Duration = Duration::from_mins(1);

/// Every so many of these intervals quotas are counted in full.
const QUOTA_INTERVALS: u32 = 5;

/// Starts the loops; they end with `end`.
pub(crate) fn start(server: &Server, end: &CancellationToken) {
    controller_loop::start(GarbageCollector::default(), server, end);
    controller_loop::start(NamespaceController::default(), server, end);
    controller_loop::start(AggregationController, server, end);
    controller_loop::start(CertificateController, server, end);
    if server.options().namespace_content {
        controller_loop::start(NamespaceContent, server, end);
    }
    controller_loop::start(PolicyStatusController, server, end);
    controller_loop::start(ResourceQuotaController::default(), server, end);
    controller_loop::start(StorageProtectionController, server, end);
    controller_loop::start(TokenController, server, end);
    tokio::spawn(end.clone().run_until_cancelled_owned(maintain(server.downgrade())));
}

async fn maintain(server: WeakServer) {
    let mut intervals = 0_u32;
    loop {
        tokio::time::sleep(MAINTENANCE_INTERVAL).await;
        intervals = intervals.wrapping_add(1);
        let Some(server) = server.upgrade() else { return };
        let now = Timestamp::now();
        for plane in server.planes() {
            if let Err(error) = event_expiry::expire(&plane, now).await {
                tracing::warn!(plane = %plane.name(), %error, "failed to remove old events");
            }
            if let Err(error) = certificate_signing::clean(&plane, now).await {
                tracing::warn!(plane = %plane.name(), %error, "failed to remove old certificate requests");
            }
            if intervals.is_multiple_of(QUOTA_INTERVALS)
                && let Err(error) = resource_quota_controller::recount_all(&plane).await
            {
                tracing::warn!(plane = %plane.name(), %error, "failed to count quotas");
            }
        }
        if let Err(error) = server.store().compact(now).await {
            tracing::warn!(%error, "failed to compact the store");
        }
    }
}
