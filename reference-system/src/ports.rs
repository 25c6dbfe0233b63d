//! What the services need from the world around them, each as a small trait with its production adapter beside it.
//!
//! Nothing here decides anything about orders or money: a port only carries.

pub mod broker;
pub mod card_processor;
pub mod clock;
pub mod database;
pub mod identifiers;
pub mod mailer;

pub use broker::{Broker, Delivery, Message, Subscription};
pub use card_processor::CardProcessor;
pub use database::{Database, Transaction};
pub use identifiers::Identifiers;
pub use mailer::Mailer;
