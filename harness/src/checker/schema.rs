//! `schema`: what a consumer cannot read it parks, and says why; and no version of a contract is let in that breaks an
//! earlier one.
//!
//! Which versions a consumer can read, and which versions exclude each other, is for the test to declare: neither is in the
//! history. The version of a message is in its header [`SCHEMA_VERSION`]; payloads are not looked into. That a version which
//! can be read is read rightly is for the system's own properties.
//!
//! Reading order: `unread` is what consumers do with versions, `registered` what a registry lets in.

mod registered;
#[cfg(test)]
mod tests;
mod unread;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::breach::judge;
use super::trail::Trails;
use super::{Property, Verdict};
use crate::history::History;
#[cfg(doc)]
use crate::message::SCHEMA_VERSION;

/// The versions that an instance can read, by how often its host was started before and this time included.
type Readable = Arc<dyn Fn(u32) -> RangeInclusive<u32> + Send + Sync>;

/// What a group can read of one type of event.
#[derive(Clone)]
struct Reader {
    group: String,
    event_type: String,
    versions: Readable,
}

/// Two versions of a subject that a registry must not let in both.
#[derive(Clone, Debug)]
struct Pair {
    subject: String,
    earlier: String,
    later: String,
}

/// A consumer that is handed a version of an event which it cannot read parks it with an error before it acknowledges it,
/// and takes no effect from it; a registry that has let in one of two versions which exclude each other refuses the other.
///
/// What is dropped is judged for every version of a type that the group has met in more than one, readable or not: it has to
/// be applied, discarded or parked.
///
/// Vacuous where no group met a version that it cannot read, or more than one of a type, and the registry has refused nothing.
#[derive(Clone, Default)]
pub struct Schema {
    readers: Vec<Reader>,
    registry: Option<String>,
    pairs: Vec<Pair>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<&str> = self.readers.iter().map(|own| &*own.group).collect();
        f.debug_struct("Schema")
            .field("readers", &groups)
            .field("registry", &self.registry)
            .field("pairs", &self.pairs)
            .finish()
    }
}

impl Schema {
    /// Every instance of a group can read these versions of a type of event, and no others.
    #[must_use]
    pub fn reads(self, group: &str, event_type: &str, versions: RangeInclusive<u32>) -> Self {
        self.reads_by_start(group, event_type, move |_| versions.clone())
    }

    /// The same where another version of the service comes up when a host is started again: `versions` is given the number of
    /// the start, from 1.
    #[must_use]
    pub fn reads_by_start(
        mut self,
        group: &str,
        event_type: &str,
        versions: impl Fn(u32) -> RangeInclusive<u32> + Send + Sync + 'static,
    ) -> Self {
        self.readers.push(Reader {
            group: group.to_owned(),
            event_type: event_type.to_owned(),
            versions: Arc::new(versions),
        });
        self
    }

    /// What a registry was asked to let in, as a view of the final state shows it: the columns `subject`, `version`, and
    /// `outcome`, which is `registered` or `refused`.
    #[must_use]
    pub fn registry(mut self, view: &str) -> Self {
        self.registry = Some(view.to_owned());
        self
    }

    /// `later` breaks `earlier`, so that the registry must not let in both as versions of `subject`.
    #[must_use]
    pub fn incompatible(mut self, subject: &str, earlier: &str, later: &str) -> Self {
        self.pairs.push(Pair {
            subject: subject.to_owned(),
            earlier: earlier.to_owned(),
            later: later.to_owned(),
        });
        self
    }
}

impl Property for Schema {
    fn id(&self) -> &str {
        "schema"
    }

    fn promise(&self) -> &str {
        "what cannot be read is parked and never guessed at or dropped, and a contract that breaks another is refused"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let read = unread::judge(self, &trails);
        let registered = registered::judge(self, history);
        let is_tested = read.is_tested || registered.is_tested;
        let breaches = read.breaches.into_iter().chain(registered.breaches);
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        if is_tested {
            return Verdict::Holds;
        }
        let reason = "no group met a version that it cannot read, or two of one type, and no registration was refused";
        Verdict::Vacuous(reason.to_owned())
    }
}
