//! The saga of an order: reservation, charge and shipment, each a local transaction of its service, each with a deadline.
//!
//! What can be undone comes first. Stock is reserved and the card charged while the order is `placed`, which is the saga's
//! semantic lock: whoever takes the order out of that state has decided, and whatever answers later finds out. A step that is refused or
//! does not answer in time cancels the order; then the stock is released, and a charge that comes too late is refunded. Once the
//! order is confirmed nothing is undone any more, and a shipment that is late is told to people.
//!
//! There are two ways to drive it with the same services. In a [`choreography`] each service knows whose event is its cue, and
//! the order service watches the clock. In an [`orchestration`] one process knows all steps, keeps how far each order has come, and sends
//! [commands]; services know nothing of each other. Either way [deadlines] are rows that are written with the change that
//! begins a step, so that a crash loses none, and a [`Timer`] takes each of them once.

pub mod choreography;
pub mod commands;
pub mod deadlines;
pub mod orchestration;
mod timer;

use std::time::Duration;

pub use choreography::{Choreography, TimedLifecycle, TimedPublishing};
pub use commands::commanded;
pub use orchestration::Orchestrator;
pub use timer::{Expiry, Timer};

/// A step that somebody has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Stock is set aside.
    Reservation,
    /// The card is charged.
    Charge,
    /// The order is confirmed and leaves the house.
    Shipment,
}

impl Step {
    /// Its name in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reservation => "reservation",
            Self::Charge => "charge",
            Self::Shipment => "shipment",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let mut all = [Self::Reservation, Self::Charge, Self::Shipment].into_iter();
        all.find(|step| step.name() == name)
    }
}

/// How long each step may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until stock is reserved or refused.
    pub reservation: Duration,
    /// Until the card is charged or declined.
    pub charge: Duration,
    /// Until all of a paid order is on its way.
    pub shipment: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reservation: Duration::from_secs(60),
            charge: Duration::from_secs(5 * 60),
            shipment: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Limits {
    /// How long `step` may take.
    #[must_use]
    pub const fn of(&self, step: Step) -> Duration {
        match step {
            Step::Reservation => self.reservation,
            Step::Charge => self.charge,
            Step::Shipment => self.shipment,
        }
    }
}
