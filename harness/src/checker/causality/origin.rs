//! Origins: to which flow each event belongs, and what caused it.
//!
//! What was committed counts before what was published.

use std::collections::{BTreeMap, BTreeSet};

use crate::checker::trail::{Trail, Trails, correlation_of};
use crate::history::{Fact, What};
use crate::message::CAUSATION_ID;

/// What an event says about its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause<'h> {
    /// An event of the history, by its trail.
    Event(usize),
    /// Something that is no event of the history: an ingress request.
    Request(&'h str),
    /// Nothing, or only what it is known by anyway: its own id or the flow's.
    Unsaid {
        /// Whether it named the flow's id, which a request may have been given as well.
        names_flow: bool,
    },
}

/// Where one event comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'h> {
    /// Where it first appears.
    pub(super) index: u64,
    pub(super) correlation: &'h str,
    pub(super) cause: Cause<'h>,
    entity: &'h str,
    /// The host that committed it, or published it if nobody saw the commit.
    host: &'h str,
    /// Database and number of the transaction that committed it.
    transaction: Option<(&'h str, u64)>,
}

impl<'h> Origin<'h> {
    fn of(
        trails: &Trails<'h>,
        trail: &Trail<'h>,
        transactions: &BTreeMap<u64, u64>,
    ) -> Option<Self> {
        let announced = trail.announced.first();
        let published = trail.published.first();
        let committed = trail
            .announced
            .iter()
            .map(|seen| &*seen.announcement.correlation_id);
        let sent = trail
            .published
            .iter()
            .filter_map(|copy| correlation_of(copy.message));
        let correlation = committed.chain(sent).find(|id| !id.is_empty())?;
        let committed = trail
            .announced
            .iter()
            .map(|seen| &*seen.announcement.cause_id);
        let sent = trail
            .published
            .iter()
            .filter_map(|copy| copy.message.headers.get(CAUSATION_ID));
        let cause = committed
            .chain(sent.map(|id| &**id))
            .find(|id| !id.is_empty())
            .unwrap_or("");
        let indexes = [
            announced.map(|seen| seen.index),
            published.map(|copy| copy.index),
        ];
        Some(Origin {
            index: indexes.into_iter().flatten().min()?,
            correlation,
            cause: match trails.number_of(cause) {
                _ if cause == trail.event_id || cause.is_empty() => Cause::Unsaid {
                    names_flow: cause == correlation,
                },
                // The id of a client's command may serve as the flow's.
                Some(number) if trails.trails[number].is_known() => Cause::Event(number),
                _ if cause == correlation => Cause::Unsaid { names_flow: true },
                _ => Cause::Request(cause),
            },
            entity: trail.entity(),
            host: announced
                .map(|seen| seen.host)
                .or(published.map(|copy| copy.host))?,
            transaction: announced
                .and_then(|seen| Some((seen.database, *transactions.get(&seen.index)?))),
        })
    }

    /// Whether both roots came of one ingress request, or of two about one entity: a client may keep
    /// its correlation id when it cancels what it ordered.
    pub(super) fn shares_ingress(&self, founder: &Origin<'h>) -> bool {
        match (self.cause, founder.cause) {
            (Cause::Request(own), Cause::Request(first)) => {
                own == first || (!self.entity.is_empty() && self.entity == founder.entity)
            }
            (Cause::Unsaid { names_flow: true }, Cause::Unsaid { names_flow: true }) => {
                // One request may change several services; each has a database of its own.
                let (own, first) = (self.transaction, founder.transaction);
                let same_database =
                    own.map(|(database, _)| database) == first.map(|(database, _)| database);
                !same_database || own == first || self.entity == founder.entity
            }
            (Cause::Unsaid { .. }, Cause::Unsaid { .. }) => {
                match (self.transaction, founder.transaction) {
                    (Some(own), Some(first)) => own == first,
                    _ => self.host == founder.host,
                }
            }
            _ => false,
        }
    }
}

/// The origins of all events, by the number of their trail.
pub(super) struct Origins<'h> {
    origins: Vec<Option<Origin<'h>>>,
    founders: BTreeMap<&'h str, usize>,
    known: BTreeSet<&'h str>,
    ingress: BTreeSet<&'h str>,
}

impl<'h> Origins<'h> {
    pub(super) fn of(trails: &Trails<'h>) -> Self {
        let transactions = transactions(trails);
        let origin = |trail| Origin::of(trails, trail, &transactions);
        let origins: Vec<Option<Origin<'h>>> = trails.trails.iter().map(origin).collect();
        let mut founders: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ingress = BTreeSet::new();
        for (number, origin) in origins.iter().enumerate() {
            let Some(origin) = origin else { continue };
            let founder = founders.entry(origin.correlation).or_insert(number);
            let earliest = origins[*founder].map_or(u64::MAX, |founder| founder.index);
            if origin.index < earliest {
                *founder = number;
            }
            if !matches!(origin.cause, Cause::Event(_)) {
                ingress.insert(origin.host);
            }
        }
        Origins {
            known: known(trails),
            origins,
            founders,
            ingress,
        }
    }

    /// The origin of an event; `None` if it belongs to no flow.
    pub(super) fn get(&self, number: usize) -> Option<&Origin<'h>> {
        self.origins.get(number)?.as_ref()
    }

    /// All origins.
    pub(super) fn all(&self) -> impl Iterator<Item = &Origin<'h>> {
        self.origins.iter().flatten()
    }

    /// The first event that carries a correlation id.
    pub(super) fn founder(&self, correlation: &str) -> Option<usize> {
        self.founders.get(correlation).copied()
    }

    /// Whether the system uses correlation ids at all.
    pub(super) fn use_correlation(&self) -> bool {
        !self.known.is_empty()
    }

    /// Whether any event carries a correlation id.
    pub(super) fn knows(&self, correlation: &str) -> bool {
        self.known.contains(correlation)
    }

    /// Whether a root event came from this host.
    pub(super) fn is_ingress(&self, host: &str) -> bool {
        self.ingress.contains(host)
    }
}

/// By the index of each announcement, the commit that it was seen after.
fn transactions(trails: &Trails<'_>) -> BTreeMap<u64, u64> {
    let mut last_commit: BTreeMap<&str, u64> = BTreeMap::new();
    let mut transactions = BTreeMap::new();
    for event in &trails.history.events {
        match &event.what {
            What::Committed { database } => {
                last_commit.insert(database, event.index);
            }
            What::Observed {
                database,
                fact: Fact::Announced(_),
                ..
            } => {
                let commit = last_commit.get(&**database).copied().unwrap_or_default();
                transactions.insert(event.index, commit);
            }
            _ => {}
        }
    }
    transactions
}

/// Every correlation id that some event carries.
fn known<'h>(trails: &Trails<'h>) -> BTreeSet<&'h str> {
    let ids = trails
        .history
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Published { message, .. } => correlation_of(message),
            What::Observed {
                fact: Fact::Announced(announcement),
                ..
            } => Some(&announcement.correlation_id),
            _ => None,
        });
    ids.filter(|id| !id.is_empty()).collect()
}
