//! The synchronous trap: whoever asks for something waits until every service has done its part, called in turn over HTTP.
//!
//! The services do what they do for events, with the same handlers, each on its own database; what a service would announce
//! is its answer, and the caller hands it to the next. So there is no broker, and nothing is in doubt
//! when the answer is there. The price: the latencies add up, and so do the failures. When one service is down the request fails,
//! although the order is placed and whoever came before has done what it was asked to. Nothing is compensated then, and nothing
//! tries again; only a refusal, such as a declined card, is an answer like any other and undoes what is to be undone.
//!
//! Reading order: `face` a service as it is called, `calls` the calls in turn, `desk` the requests that wait for them.

mod calls;
mod desk;
mod face;

use serde::{Deserialize, Serialize};

use crate::event::Event;

pub use calls::{ByAnswer, Service, ServiceError};
pub use desk::SynchronousDesk;
pub use face::serve;

/// Where a service takes what has happened elsewhere.
const PATH: &str = "/events";

/// What a service answers.
#[derive(Serialize, Deserialize)]
struct Answer {
    /// What it would have announced.
    announced: Option<Event>,
}
