//! The circuit breaker on the relay's way to the broker, and what the harness has to know of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reference_system::publishing::Guarded;
use reference_system::publishing::breaker::BreakerSettings;
use reference_system::relay::Relay;
use stormglass::checker::{Breaker, BreakerNumbers};

use super::{Processes, ShopBroker};

/// How the breaker is set: it opens soon, because a relay publishes little while the broker fails.
pub const CIRCUIT: BreakerSettings = BreakerSettings {
    window: Duration::from_secs(2),
    minimum_volume: 3,
    trip_percent: 50,
    open_for: Duration::from_secs(5),
    probes: 2,
    // Longer than the simulated broker's client takes at most. That of a NATS server waits for a connection as long as it takes.
    answer_within: Duration::from_secs(3),
};

/// How long a publish takes the simulated broker's client at most where no network is disturbed: it opens a connection and asks
/// once, each within a second.
const SIMULATED_WAY: Duration = Duration::from_secs(2);
/// How long a publish is on its way to a NATS server at most where no network is disturbed.
const NATS_WAY: Duration = Duration::from_millis(500);

/// The property of the relay's breakers, which publish to such a broker.
pub fn breaker(broker: ShopBroker) -> Breaker {
    let numbers = BreakerNumbers {
        window: CIRCUIT.window,
        minimum_volume: CIRCUIT.minimum_volume,
        trip_percent: CIRCUIT.trip_percent,
        open_for: CIRCUIT.open_for,
        probes: CIRCUIT.probes,
        publish_max: CIRCUIT.answer_within,
        recorded_within: match broker {
            ShopBroker::Simulated => SIMULATED_WAY,
            ShopBroker::Nats => NATS_WAY,
        },
        keeps_unsent: broker == ShopBroker::Nats,
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
