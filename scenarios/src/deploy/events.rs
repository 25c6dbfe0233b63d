//! How much events say: enough for their consumers, so little that these have to ask the owner, or all that the owner has.

use std::sync::Arc;

use reference_system::consumer::{Fetching, Handler, ReadingWhole};
use reference_system::ports::order_source::HttpOrderSource;
use reference_system::publishing::{Entity, Fat, PublishPattern, Thin};

/// How much events say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// What their consumers need.
    Hybrid,
    /// Of a confirmed order no more than which one it is; consumers ask the gateway for the rest.
    Thin,
    /// Of a confirmed order all that its owner has. The owner's second release has something more, which consumers do not know.
    Fat,
}

impl Events {
    /// Publishing, with events as the release has them that comes up at this start of a host.
    pub(super) fn published(
        self,
        publishing: Arc<dyn PublishPattern>,
        start: u32,
    ) -> Arc<dyn PublishPattern> {
        match self {
            Events::Hybrid => publishing,
            Events::Thin => Arc::new(Thin(publishing)),
            Events::Fat => Arc::new(Fat {
                publishing,
                entity: match start {
                    0 | 1 => Entity::First,
                    _ => Entity::Priced,
                },
            }),
        }
    }

    /// A handler that understands such events.
    pub(super) fn handled(self, handler: Box<dyn Handler>) -> Box<dyn Handler> {
        match self {
            Events::Hybrid => handler,
            Events::Fat => Box::new(ReadingWhole(handler)),
            Events::Thin => {
                let orders = HttpOrderSource::new("http://gateway");
                Box::new(Fetching::new(handler, Arc::new(orders)))
            }
        }
    }
}
