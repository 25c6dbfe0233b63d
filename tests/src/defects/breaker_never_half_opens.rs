//! `breaker-never-half-opens`: a circuit that has opened stays open.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reference_system::publishing::Guarded;
use reference_system::publishing::breaker::BreakerSettings;
use reference_system::relay::Relay;
use scenarios::deploy::{CIRCUIT, Processes};

/// Milliseconds that were taken for seconds: five of these make the circuit open for more than an hour.
const OPEN_FOR: Duration = Duration::from_secs(5_000);

/// A relay whose circuit is not tried again as long as anybody watches.
#[derive(Clone, Copy, Debug)]
pub(super) struct BreakerNeverHalfOpens;

#[async_trait(?Send)]
impl Processes for BreakerNeverHalfOpens {
    async fn relay(&self, relay: Relay) {
        let settings = BreakerSettings {
            open_for: OPEN_FOR,
            ..CIRCUIT
        };
        let broker = Arc::new(Guarded::new(relay.broker.clone(), settings));
        Relay { broker, ..relay }.run().await
    }
}
