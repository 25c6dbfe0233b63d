//! What a client of the shop was told: the answers of an operation, as the history keeps them.
//!
//! An answer is a promise; whether it was kept is judged in `answered_stays`.

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
    /// There is no such order.
    Missing {
        /// The order.
        order_id: String,
    },
}
