//! Quiescence: whether anything that still happens in a run is owed, followed while the history grows.
//!
//! Owed is what somebody waits for: an operation, an announced event, a message that a declared group
//! consumes and what becomes of it, a service that fails. Everything else is background: rows that
//! change, messages to topics that nobody consumes, calls of third parties. Background work keeps a
//! healed run alive for a bounded time only, and work that the system's author names not at all.
//! Only a run's end depends on this; the verdict is the checkers' alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::obligations::Obligations;
use crate::history::{Description, Fact, What, covers};
use crate::message::Position;
use crate::run::Settings;

/// How lately something has to have happened to count as still going on, at the liveness bound.
const RECENT: Duration = Duration::from_secs(3);
/// How work reads that makes more work.
const PUBLISHED: &str = "published to";
const ANNOUNCED: &str = "announced events in";
/// How often a service may fail to start in a run without faults before that is all that is said.
pub(super) const STARTS_IN_VAIN_MAX: u64 = 3;
/// How many pieces of unending work are told.
const TOLD_MAX: usize = 3;

/// What a run still does, and since when it does nothing that is owed.
#[derive(Default)]
pub(crate) struct Quiescence {
    obligations: Obligations,
    /// The topics that a declared group consumes.
    consumed: Vec<String>,
    /// Hosts whose work the system's author has named as background.
    background_hosts: BTreeSet<Arc<str>>,
    /// What those hosts have published: who consumes it does background work as well.
    background_messages: BTreeSet<Position>,
    groups: BTreeSet<String>,
    healed: bool,
    owed_at: Duration,
    changed_at: Duration,
    /// Work since healing that was owed, and background work since then.
    owed: Tally,
    background: Tally,
    /// Services that came to an end by themselves.
    ends: BTreeMap<Arc<str>, Ends>,
    /// Whether the workload has asked for anything yet.
    is_asked: bool,
}

/// Work by who did it, what was done, and to what; how often and when last.
type Tally = BTreeMap<Piece, (u64, Duration)>;
type Piece = (Arc<str>, &'static str, Arc<str>);

/// How often a service came to an end by itself, and how the last time.
#[derive(Default)]
struct Ends {
    times: u64,
    since_healing: u64,
    /// How often in a row it was started in vain: it ended with an error, the first time before
    /// anything was asked of the system.
    in_vain: u64,
    at: Duration,
    error: Option<String>,
}

/// How much something that happened matters for the end of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Somebody waits for it, or it ends by itself.
    Owed,
    /// It changes something, and may follow from what was owed.
    Change,
    /// It changes nothing, or nothing that anybody waits for.
    Background,
}

impl Quiescence {
    pub(crate) fn new(description: &Description) -> Self {
        let topics = description.groups.values().flat_map(|group| &group.topics);
        Quiescence {
            consumed: topics.cloned().collect(),
            groups: description.groups.keys().cloned().collect(),
            obligations: Obligations::new(description),
            ..Quiescence::default()
        }
    }

    fn is_consumed(&self, topic: &str) -> bool {
        self.consumed.iter().any(|own| covers(own, topic))
    }

    /// Names hosts whose work keeps no run alive.
    pub(crate) fn set_background(&mut self, hosts: BTreeSet<Arc<str>>) {
        self.background_hosts = hosts;
    }

    /// Takes one more event into account.
    pub(crate) fn observe(&mut self, now: Duration, host: &Arc<str>, what: &What) {
        let discharged = self.obligations.observe(what);
        match what {
            What::HealBegan => self.healed = true,
            What::OperationInvoked { .. } => self.is_asked = true,
            What::HostExited { error } => self.ended(now, host, error.as_ref()),
            What::Published { position, .. } if self.background_hosts.contains(host) => {
                self.background_messages.insert(position.clone());
            }
            _ => {}
        }
        let Some((weight, verb, object)) = self.weigh(host, what) else {
            return;
        };
        let weight = if discharged { Weight::Owed } else { weight };
        self.note(now, weight, host, verb, object);
    }

    /// A transaction of a host changed rows of a database; `is_background` if the system's author
    /// says so of all tables that it wrote.
    pub(crate) fn changed(
        &mut self,
        now: Duration,
        host: &Arc<str>,
        database: &Arc<str>,
        is_background: bool,
    ) {
        let is_background = is_background || self.background_hosts.contains(host);
        let weight = match is_background {
            true => Weight::Background,
            false => Weight::Change,
        };
        self.note(now, weight, host, "committed to", Some(database));
    }

    fn note(
        &mut self,
        now: Duration,
        weight: Weight,
        host: &Arc<str>,
        verb: &'static str,
        object: Option<&Arc<str>>,
    ) {
        let tally = match weight {
            Weight::Owed => {
                self.owed_at = self.owed_at.max(now);
                self.background.clear();
                &mut self.owed
            }
            Weight::Change => {
                self.changed_at = self.changed_at.max(now);
                &mut self.background
            }
            Weight::Background => &mut self.background,
        };
        if let Some(object) = object.filter(|_| self.healed) {
            let (times, last) = tally
                .entry((host.clone(), verb, object.clone()))
                .or_default();
            *times += 1;
            *last = now;
        }
    }

    fn ended(&mut self, now: Duration, host: &Arc<str>, error: Option<&String>) {
        let ends = self.ends.entry(host.clone()).or_default();
        let is_in_vain = error.is_some() && ends.in_vain == ends.times;
        if is_in_vain && (ends.in_vain > 0 || !self.is_asked) {
            ends.in_vain += 1;
        }
        ends.times += 1;
        ends.since_healing += u64::from(self.healed);
        ends.at = now;
        ends.error = error.cloned();
    }

    /// How often a host was started, if always in vain, and its last error.
    pub(crate) fn in_vain(&self, host: &str) -> Option<(u64, &str)> {
        let ends = self.ends.get(host)?;
        let error = ends.error.as_deref()?;
        (ends.in_vain == ends.times).then_some((ends.times, error))
    }

    /// What an event weighs, and how the work is told; `None` if it is no work at all.
    fn weigh<'w>(
        &self,
        host: &Arc<str>,
        what: &'w What,
    ) -> Option<(Weight, &'static str, Option<&'w Arc<str>>)> {
        let of_host = |weight| match self.background_hosts.contains(host) {
            true => Weight::Background,
            false => weight,
        };
        let of_group = |group: &str, position: &Position| {
            let is_owed = self.groups.contains(group)
                && self.is_consumed(&position.topic)
                && !self.background_messages.contains(position);
            if is_owed {
                Weight::Owed
            } else {
                Weight::Change
            }
        };
        Some(match what {
            What::Logged { .. }
            | What::Panicked { .. }
            | What::MadePoison { .. }
            | What::MadeTooLarge { .. }
            | What::Committed { .. }
            | What::FinalLog { .. }
            | What::FinalGroup { .. }
            | What::FinalState { .. } => return None,
            What::OperationInvoked { .. }
            | What::OperationAnswered { .. }
            | What::HostPaused { .. }
            | What::FaultBit { .. }
            | What::FaultLifted { .. }
            | What::HealBegan
            | What::Quiet { .. }
            | What::LivenessBoundReached { .. }
            | What::HostExited { error: Some(_) } => (Weight::Owed, "", None),
            What::HostStarted { .. }
            | What::HostCrashed
            | What::HostStopping { .. }
            | What::HostStopped { .. }
            | What::HostExited { error: None } => (of_host(Weight::Change), "", None),
            What::Published { position, .. } => {
                let weight = match self.is_consumed(&position.topic) {
                    true => Weight::Owed,
                    false => Weight::Change,
                };
                (of_host(weight), PUBLISHED, Some(&position.topic))
            }
            What::PublishDeduplicated { position, .. }
            | What::PublishAcknowledged { position, .. } => {
                let topic = Some(&position.topic);
                (of_host(Weight::Change), "published again to", topic)
            }
            What::PublishRejected { .. } | What::PublishUnknown { .. } => {
                (of_host(Weight::Change), "", None)
            }
            What::Delivered {
                group, position, ..
            } => {
                let topic = Some(&position.topic);
                (of_group(group, position), "was handed messages of", topic)
            }
            What::Settled {
                group, position, ..
            }
            | What::LeaseExpired { group, position } => {
                let topic = Some(&position.topic);
                (of_group(group, position), "settled messages of", topic)
            }
            What::Rebalanced { group, .. } => (Weight::Change, "rebalanced", Some(group)),
            What::Observed { database, fact, .. } => {
                let is_owed = match fact {
                    Fact::Announced(own) => own.topic.is_empty() || self.is_consumed(&own.topic),
                    Fact::Applied(_) | Fact::Discarded(_) | Fact::Withheld(_) => true,
                };
                let weight = if is_owed {
                    Weight::Owed
                } else {
                    Weight::Change
                };
                let verb = match fact {
                    Fact::Announced(_) => ANNOUNCED,
                    Fact::Applied(_) | Fact::Discarded(_) => "applied events in",
                    Fact::Withheld(_) => "withheld events in",
                };
                (of_host(weight), verb, Some(database))
            }
            What::RolledBack { database, .. } => {
                (of_host(Weight::Change), "rolled back in", Some(database))
            }
            What::StatementFailed { database, .. } => {
                let weight = of_host(Weight::Change);
                (weight, "met failing statements in", Some(database))
            }
            What::ExternalCalled { provider, .. } => {
                (of_host(Weight::Change), "called", Some(provider))
            }
        })
    }

    /// Whether nothing owed has happened for a while, and nothing else that may follow from it.
    pub(crate) fn is_still(&self, now: Duration, settings: &Settings) -> bool {
        let since = |then: Duration| now.saturating_sub(then);
        let calm = since(self.changed_at) >= settings.quiet
            || since(self.owed_at) >= settings.background_max;
        since(self.owed_at) >= settings.quiet && calm
    }

    /// What was committed and not yet published.
    pub(crate) fn obligations(&self) -> &Obligations {
        &self.obligations
    }

    /// The owed work that goes on without an end, described for a person; `None` if none does.
    pub(crate) fn unending(&self, now: Duration) -> Option<String> {
        let lately = |piece: &(_, &(u64, Duration))| now.saturating_sub(piece.1.1) <= RECENT;
        let mut lately: Vec<(&Piece, &(u64, Duration))> = self.owed.iter().filter(lately).collect();
        // New messages keep the rest going, so they are told first.
        let follows = |verb: &str| ![PUBLISHED, ANNOUNCED].contains(&verb);
        lately.sort_by_key(|((_, verb, _), (times, _))| (follows(verb), Reverse(*times)));
        lately.truncate(TOLD_MAX);
        let told = lately.into_iter().map(told).collect::<Vec<_>>();
        (!told.is_empty()).then(|| format!("owed work goes on without an end: {}", told.join(", ")))
    }

    /// Services that keep coming to an end by themselves, with their errors; `None` if none does.
    pub(crate) fn failing(&self, now: Duration) -> Option<String> {
        let lately = self
            .ends
            .iter()
            .filter(|(_, ends)| ends.since_healing > 0 && now.saturating_sub(ends.at) <= RECENT);
        let told: Vec<String> = lately.map(|(host, ends)| ends.told(host)).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// The background work since the last thing that was owed, for a person.
    pub(crate) fn background(&self) -> Vec<String> {
        let ends = self.ends.iter().filter(|(_, ends)| ends.since_healing > 0);
        let ends = ends.map(|(host, ends)| ends.told(host));
        self.background.iter().map(told).chain(ends).collect()
    }
}

impl Ends {
    fn told(&self, host: &str) -> String {
        let how = match &self.error {
            Some(error) => format!(", at last with: {error}"),
            None => ", without an error".to_owned(),
        };
        let times = times(self.since_healing);
        format!("host {host} came to an end by itself {times} since healing{how}")
    }
}

fn told(((host, verb, object), (count, _)): (&Piece, &(u64, Duration))) -> String {
    format!("{host} {verb} {object} {}", times(*count))
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}
