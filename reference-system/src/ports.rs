//! What the services need from others, each as a small trait with its adapters beside it.
//!
//! Nothing here decides anything about orders or money: a port only carries.

pub mod broker;
pub mod card_processor;
pub mod mailer;
pub mod order_source;
pub mod pager;
pub mod sms_gateway;

pub use broker::{Broker, Delivery, Message, Subscription};
pub use card_processor::CardProcessor;
pub use mailer::Mailer;
pub use order_source::OrderSource;
pub use pager::Pager;
pub use sms_gateway::SmsGateway;
