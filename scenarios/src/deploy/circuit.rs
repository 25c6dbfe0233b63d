//! The circuit breaker on the relay's way to the broker, and what the harness has to know of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reference_system::publishing::Guarded;
use reference_system::publishing::breaker::BreakerSettings;
use reference_system::relay::Relay;
use stormglass::checker::{Breaker, BreakerNumbers};

use super::Processes;

/// How the breaker is set: it opens soon, because a relay publishes little while the broker fails.
pub const CIRCUIT: BreakerSettings = BreakerSettings {
    window: Duration::from_secs(2),
    minimum_volume: 3,
    trip_percent: 50,
    open_for: Duration::from_secs(5),
    probes: 2,
    // Longer than a publish takes at most.
    answer_within: Duration::from_secs(3),
};

/// How long one publish takes at most where no network is disturbed: the client opens a connection and asks once, each
/// within a second.
const PUBLISH_MAX: Duration = Duration::from_secs(2);

/// The property of the relay's breakers.
pub fn breaker() -> Breaker {
    let numbers = BreakerNumbers {
        window: CIRCUIT.window,
        minimum_volume: CIRCUIT.minimum_volume,
        trip_percent: CIRCUIT.trip_percent,
        open_for: CIRCUIT.open_for,
        probes: CIRCUIT.probes,
        publish_max: PUBLISH_MAX,
    };
    Breaker::of("relay", numbers)
}

/// Relays that publish through a breaker, each through its own.
#[derive(Clone, Copy, Debug)]
pub struct GuardedRelay;

#[async_trait(?Send)]
impl Processes for GuardedRelay {
    async fn relay(&self, relay: Relay) {
        let broker = Arc::new(Guarded::new(relay.broker.clone(), CIRCUIT));
        Relay { broker, ..relay }.run().await
    }
}
