//! How much events say: enough for their consumers, or so little that these have to ask the owner.

use std::sync::Arc;

use reference_system::consumer::{Fetching, Handler};
use reference_system::ports::order_source::HttpOrderSource;
use reference_system::publishing::{PublishPattern, Thin};

/// How much events say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// What their consumers need.
    Hybrid,
    /// Of a confirmed order no more than which one it is; consumers ask the gateway for the rest.
    Thin,
}

impl Events {
    /// Publishing, with events as they are to be.
    pub(super) fn published(self, publishing: Arc<dyn PublishPattern>) -> Arc<dyn PublishPattern> {
        match self {
            Events::Hybrid => publishing,
            Events::Thin => Arc::new(Thin(publishing)),
        }
    }

    /// A handler that understands such events.
    pub(super) fn handled(self, handler: Box<dyn Handler>) -> Box<dyn Handler> {
        match self {
            Events::Hybrid => handler,
            Events::Thin => {
                let orders = HttpOrderSource::new("http://gateway");
                Box::new(Fetching::new(handler, Arc::new(orders)))
            }
        }
    }
}
