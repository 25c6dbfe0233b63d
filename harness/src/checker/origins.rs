//! Origins: to which flow each event belongs, and what caused it.
//!
//! What was committed counts before what was published. An origin judges nothing.

use super::trail::{Trail, Trails};
use crate::history::Announcement;
use crate::message::{CAUSATION_ID, CORRELATION_ID};

/// What an event says about its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause<'h> {
    /// An event of the history, by its trail.
    Event(usize),
    /// Something that is no event of the history, by its id.
    Request(&'h str),
    /// Nothing, or only what it is known by anyway: its own id or the flow's.
    Unsaid,
}

/// Where one event comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'h> {
    /// Where it first appears.
    pub(super) index: u64,
    /// The flow that it belongs to; empty if it does not say.
    pub(super) correlation: &'h str,
    pub(super) cause: Cause<'h>,
    /// Whether a flow begins with it, as far as a probe declares that.
    pub(super) is_root: Option<bool>,
    /// The host that committed it, or published it if nobody saw the commit.
    pub(super) host: &'h str,
    /// The commit that announced it.
    pub(super) commit: Option<u64>,
}

impl<'h> Origin<'h> {
    fn of(trails: &Trails<'h>, trail: &Trail<'h>) -> Option<Self> {
        let announced = trail.announced.first();
        let published = trail.published.first();
        let first = [
            announced.map(|seen| (seen.index, seen.host)),
            published.map(|copy| (copy.index, copy.host)),
        ];
        let first = first.into_iter().flatten();
        let correlation = said(trail, |row| &row.correlation_id, CORRELATION_ID);
        let named = said(trail, |row| &row.cause_id, CAUSATION_ID);
        let mut rows = trail.announced.iter().map(|seen| seen.announcement);
        Some(Origin {
            index: first.clone().map(|(index, _)| index).min()?,
            correlation,
            cause: match trails.number_of(named) {
                _ if named.is_empty() || named == trail.event_id => Cause::Unsaid,
                // The id of a client's command may serve as the flow's.
                Some(number) if trails.trails[number].is_known() => Cause::Event(number),
                _ if named == correlation => Cause::Unsaid,
                _ => Cause::Request(named),
            },
            is_root: rows.find_map(|row| row.is_root),
            host: first.map(|(_, host)| host).next()?,
            commit: announced.map(|seen| seen.commit),
        })
    }
}

/// What the rows of an event say first, or its messages if no row says anything.
fn said<'h>(trail: &Trail<'h>, row: fn(&'h Announcement) -> &'h str, header: &str) -> &'h str {
    let rows = trail.announced.iter().map(|seen| row(seen.announcement));
    let messages = trail.published.iter().map(|copy| copy.message);
    let headers = messages.filter_map(|message| message.headers.get(header));
    let mut texts = rows.chain(headers.map(String::as_str));
    texts.find(|text| !text.is_empty()).unwrap_or("")
}

/// The origins of all events, by the number of their trail.
pub(super) struct Origins<'h> {
    origins: Vec<Option<Origin<'h>>>,
}

impl<'h> Origins<'h> {
    pub(super) fn of(trails: &Trails<'h>) -> Self {
        let origins = trails.trails.iter();
        Origins {
            origins: origins.map(|trail| Origin::of(trails, trail)).collect(),
        }
    }

    /// The origin of an event; `None` if only consumers speak of it.
    pub(super) fn get(&self, number: usize) -> Option<&Origin<'h>> {
        self.origins.get(number)?.as_ref()
    }

    /// All origins, each with the number of its trail.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &Origin<'h>)> {
        let origins = self.origins.iter().enumerate();
        origins.filter_map(|(number, origin)| Some((number, origin.as_ref()?)))
    }
}
