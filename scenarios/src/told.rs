//! What a client of the shop was told: the answers of an operation, as the history keeps them.
//!
//! An answer is a promise; whether it was kept is for the properties to judge.

use serde::{Deserialize, Serialize};

/// One answer of the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Told {
    /// The order is placed.
    Placed {
        /// The idempotency key that it was asked for under.
        idempotency_key: String,
        /// The order.
        order_id: String,
    },
    /// The order is cancelled.
    Cancelled {
        /// The order.
        order_id: String,
    },
    /// What is not on its way yet goes to another address.
    Readdressed {
        /// The order.
        order_id: String,
        /// Where it goes.
        address: String,
    },
    /// The order is too far on its way for what was asked, or somebody else changed it.
    TooLate {
        /// The order.
        order_id: String,
    },
    /// How the order stands.
    Found {
        /// The order.
        order_id: String,
        /// Its state.
        state: String,
        /// Where it goes.
        address: String,
    },
    /// There is no such order.
    Missing {
        /// The order.
        order_id: String,
    },
    /// What a consumer had parked is published again.
    Replayed {
        /// The consumer.
        consumer: String,
        /// How many events.
        events: u64,
    },
    /// What could not be published to a topic is tried again.
    Released {
        /// The topic.
        topic: String,
        /// How many events.
        events: u64,
    },
}
