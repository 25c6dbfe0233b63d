//! The story of a breach: the events of a history by which a person sees how it came about.
//!
//! What befalls a host belongs to the story while the host has one of its events in hand: from the
//! delivery to the settlement, and from the work that led to its commit until it is published and
//! marked as such. How much of a long story is shown is for the report to decide.

use std::collections::{BTreeMap, BTreeSet};

use super::breach::Breach;
use crate::history::{Event, Fact, History, What};
use crate::message::Position;

/// How much is told of what befell a host that never let go of the event.
const TOLD_WITHOUT_END: usize = 6;

/// How many answers to clients are told.
const ANSWERS_MAX: usize = 2;

/// The indexes of the events that tell the story, in order.
pub(super) fn tell(breach: &Breach<'_>, history: &History) -> Vec<u64> {
    let mut story = Story {
        breach,
        positions: BTreeSet::new(),
        entities: BTreeSet::new(),
        announced_in: None,
        told: BTreeSet::new(),
        tenures: Vec::new(),
        hands: BTreeMap::new(),
    };
    for event in &history.events {
        story.read(event);
    }
    story.asked();
    story.befell(history);
    story.answered(history);
    story.told.extend([breach.index]);
    story.told.extend(breach.inevitable_from);
    story.told.into_iter().collect()
}

/// What a host does with an event while it has it in hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role<'h> {
    /// Handles it for a group.
    Consumes(&'h str),
    /// Committed it and has still to publish it.
    Announces(&'h str),
    /// Publishes it.
    Publishes,
    /// Has published it and has still to mark it as published in this database.
    Marks(&'h str),
}

/// A time during which a host had an event in hand, by the first and the last index.
struct Tenure<'h> {
    /// `None` where nothing tells which host it was.
    host: Option<&'h str>,
    group: Option<&'h str>,
    from: u64,
    /// `None` where it never let go.
    to: Option<u64>,
}

/// What one host is at.
#[derive(Default)]
struct Hands<'h> {
    /// Where its last work ended, and the work before its last commit.
    idle_since: u64,
    worked_since: u64,
    holds: Option<(Role<'h>, u64)>,
}

struct Story<'b, 'h> {
    breach: &'b Breach<'h>,
    /// Where the events of the story stand in logs.
    positions: BTreeSet<&'b Position>,
    /// What the events of the story are about.
    entities: BTreeSet<&'b str>,
    /// The database that the first of them was announced in.
    announced_in: Option<&'b str>,
    told: BTreeSet<u64>,
    tenures: Vec<Tenure<'b>>,
    hands: BTreeMap<&'b str, Hands<'b>>,
}

impl<'b> Story<'b, '_> {
    /// Tells the event if it is one of the story's own, and keeps account of who has what in hand.
    fn read(&mut self, event: &'b Event) {
        let (index, host) = (event.index, &*event.host);
        match &event.what {
            What::Published { position, message } if self.is_about(message.event_id()) => {
                self.told.insert(index);
                self.positions.insert(position);
                self.entities.insert(&message.key);
                self.publishes(host, index);
            }
            What::PublishRejected { event_id, .. } | What::PublishUnknown { event_id, .. }
                if self.is_about(event_id.as_deref()) =>
            {
                self.told.insert(index);
                self.publishes(host, index);
            }
            What::PublishDeduplicated { position, event_id }
                if self.is_about(event_id.as_deref()) || self.positions.contains(position) =>
            {
                self.told.insert(index);
                self.publishes(host, index);
            }
            What::PublishAcknowledged { event_id, .. } if self.is_about(event_id.as_deref()) => {
                self.told.insert(index);
                self.published(host, index);
            }
            What::Observed { database, fact, .. } if self.is_fact(fact) => {
                self.told.insert(index);
                if let Fact::Announced(announcement) = fact {
                    self.entities.insert(&announcement.entity);
                    self.announced_in.get_or_insert(database);
                    let since = self.hand(host).worked_since;
                    self.takes(host, Role::Announces(database), since);
                }
            }
            What::Delivered {
                group, position, ..
            } => {
                if self.is_group(group) && self.positions.contains(position) {
                    self.told.insert(index);
                    self.takes(host, Role::Consumes(group), index);
                }
                self.hand(host).idle_since = index;
            }
            What::Settled {
                group, position, ..
            } => {
                if self.is_group(group) && self.positions.contains(position) {
                    self.told.insert(index);
                    self.lets_go(host, index);
                }
                self.hand(host).idle_since = index;
            }
            What::LeaseExpired { group, position } | What::MadePoison { group, position }
                if self.is_group(group) && self.positions.contains(position) =>
            {
                self.told.insert(index);
            }
            What::MadeTooLarge { event_id, .. } if self.is_about(Some(event_id)) => {
                self.told.insert(index);
            }
            What::Committed { database } => self.commits(host, database, index),
            What::HostCrashed | What::HostStopped { .. } | What::HostExited { .. } => {
                self.lets_go(host, index);
            }
            What::HostStarted { .. } => self.hand(host).idle_since = index,
            What::Logged { level, message, .. }
                if ["WARN", "ERROR"].contains(&&**level) && self.is_named_in(message) =>
            {
                self.told.insert(index);
            }
            _ => {}
        }
    }

    fn hand(&mut self, host: &'b str) -> &mut Hands<'b> {
        self.hands.entry(host).or_default()
    }

    fn takes(&mut self, host: &'b str, role: Role<'b>, since: u64) {
        self.hand(host).holds.get_or_insert((role, since));
    }

    fn lets_go(&mut self, host: &'b str, index: u64) {
        if let Some((role, from)) = self.hand(host).holds.take() {
            self.tenures.push(Tenure {
                host: Some(host),
                group: group_of(role),
                from,
                to: Some(index),
            });
        }
    }

    /// Whoever else had it in hand to publish it has let go of it by now.
    fn publishes(&mut self, host: &'b str, index: u64) {
        let since = self.hand(host).idle_since;
        self.takes(host, Role::Publishes, since);
        let others: Vec<&str> = self
            .hands
            .iter()
            .filter(|(other, hands)| {
                **other != host && matches!(hands.holds, Some((Role::Announces(_), _)))
            })
            .map(|(other, _)| *other)
            .collect();
        for other in others {
            self.lets_go(other, index);
        }
    }

    /// A host that published what somebody else committed has still to mark it.
    fn published(&mut self, host: &'b str, index: u64) {
        let database = self.announced_in;
        let hand = self.hand(host);
        match (&mut hand.holds, database) {
            (Some((role @ Role::Publishes, _)), Some(database)) => *role = Role::Marks(database),
            (Some((Role::Consumes(_), _)), _) => {}
            _ => self.lets_go(host, index),
        }
    }

    fn commits(&mut self, host: &'b str, database: &'b str, index: u64) {
        let hand = self.hand(host);
        (hand.worked_since, hand.idle_since) = (hand.idle_since, index);
        if hand
            .holds
            .is_some_and(|(role, _)| role == Role::Marks(database))
        {
            self.told.insert(index);
            self.lets_go(host, index);
        }
    }

    /// Tells what a client asked for and was told; anybody may have had it in hand from then on.
    fn asked(&mut self) {
        let Some(asked) = self.breach.asked else {
            return;
        };
        self.told.insert(asked.index);
        self.told.extend(asked.told.map(|told| told.index));
        self.tenures.push(Tenure {
            host: None,
            group: None,
            from: asked.index,
            to: Some(self.breach.index),
        });
    }

    /// Tells what befell each host while it had an event in hand.
    fn befell(&mut self, history: &'b History) {
        for (host, hands) in std::mem::take(&mut self.hands) {
            if let Some((role, from)) = hands.holds {
                self.tenures.push(Tenure {
                    host: Some(host),
                    group: group_of(role),
                    from,
                    to: None,
                });
            }
        }
        for tenure in std::mem::take(&mut self.tenures) {
            let from = usize::try_from(tenure.from).unwrap_or(usize::MAX);
            let during = history.events.iter().skip(from);
            let during = during.take_while(|event| tenure.to.is_none_or(|to| event.index <= to));
            let befell = during.filter(|event| tenure.befalls(event));
            let most = match tenure.to {
                Some(_) => usize::MAX,
                None => TOLD_WITHOUT_END,
            };
            for event in befell.take(most) {
                self.told.insert(event.index);
                self.tell_around(event, history);
            }
        }
    }

    /// The fault behind what befell a host, and the restart after it.
    fn tell_around(&mut self, event: &Event, history: &History) {
        let at = event.index as usize;
        let before = at.checked_sub(1).and_then(|at| history.events.get(at));
        if let Some(Event {
            index,
            what: What::FaultBit { .. },
            ..
        }) = before
        {
            self.told.insert(*index);
        }
        if matches!(
            event.what,
            What::HostCrashed | What::HostStopped { .. } | What::HostExited { .. }
        ) {
            let mut later = history.events.iter().skip(at);
            let started = later.find(|later| {
                later.host == event.host && matches!(later.what, What::HostStarted { .. })
            });
            self.told.extend(started.map(|event| event.index));
        }
    }

    /// Tells what clients asked and were told of the entities of the story.
    fn answered(&mut self, history: &History) {
        let about = self.breach.about.iter().chain(&self.entities);
        let names: Vec<&str> = about.copied().filter(|name| name.len() > 3).collect();
        let asked = history.operations().into_iter().filter(|asked| {
            let text = asked.told.map(|told| told.text).unwrap_or_default();
            names.iter().any(|name| text.contains(*name))
        });
        for asked in asked.take(ANSWERS_MAX) {
            self.told.insert(asked.index);
            self.told.extend(asked.told.map(|told| told.index));
        }
    }

    fn is_about(&self, event_id: Option<&str>) -> bool {
        event_id.is_some_and(|id| self.breach.about.contains(&id))
    }

    fn is_named_in(&self, text: &str) -> bool {
        self.breach.about.iter().any(|id| text.contains(*id))
    }

    fn is_group(&self, group: &str) -> bool {
        self.breach.group.is_none_or(|own| own == group)
    }

    /// Announcements of the story's events, and how they ended at every group: what the others did
    /// with an event shows what was to be expected of the one.
    fn is_fact(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Announced(announcement) => self.is_about(Some(&announcement.event_id)),
            Fact::Applied(application) | Fact::Discarded(application) => {
                self.is_about(Some(&application.event_id))
            }
            Fact::Withheld(withheld) => self.is_about(Some(&withheld.event_id)),
        }
    }
}

fn group_of(role: Role<'_>) -> Option<&str> {
    match role {
        Role::Consumes(group) => Some(group),
        Role::Announces(_) | Role::Publishes | Role::Marks(_) => None,
    }
}

impl Tenure<'_> {
    /// Whether an event befell the host, or the group on whose behalf it had the event in hand.
    fn befalls(&self, event: &Event) -> bool {
        match &event.what {
            What::Rebalanced { group, .. } => self.group == Some(&**group),
            What::FaultBit { .. }
            | What::HostCrashed
            | What::HostStopping { .. }
            | What::HostStopped { .. }
            | What::HostExited { .. }
            | What::HostPaused { .. }
            | What::RolledBack { .. }
            | What::StatementFailed { .. }
            | What::ExternalCalled { .. } => self.host.is_none_or(|own| *event.host == *own),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::test_history::{Tale, at};
    use crate::history::{Application, SettleOutcome, Settlement};

    /// The story of `e1`, at every group or at one, as lines.
    fn told(tale: &Tale, group: Option<&str>) -> Vec<String> {
        let last = tale.history.events.len() as u64 - 1;
        let breach = Breach::of("e1", group, last, String::new());
        let told = tell(&breach, &tale.history).into_iter();
        let what = told.map(|index| tale.history.events[index as usize].what.to_string());
        what.collect()
    }

    fn is_told(tale: &Tale, group: Option<&str>, line: &str) {
        let told = told(tale, group);
        assert!(
            told.iter().any(|own| own == line),
            "no `{line}` in {told:#?}"
        );
    }

    fn is_not_told(tale: &Tale, line: &str) {
        let told = told(tale, Some("billing"));
        assert!(told.iter().all(|own| own != line), "`{line}` in {told:#?}");
    }

    fn fault(text: &str) -> What {
        What::FaultBit {
            fault: 0,
            text: text.to_owned(),
        }
    }

    fn end(tale: &mut Tale) {
        tale.happens("harness", What::HealBegan);
    }

    #[test]
    fn the_broker_recognises_what_is_published_again() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        tale.publishes("e1", "order-1");
        let deduplicated = What::PublishDeduplicated {
            position: at("orders", 0),
            event_id: Some("e1".to_owned()),
        };
        tale.happens("orders", deduplicated);
        end(&mut tale);
        is_told(&tale, None, "publish of e1 recognised as orders/0@0");
    }

    #[test]
    fn what_fails_while_a_host_has_the_event_in_hand_is_told_and_nothing_else() {
        let mut tale = Tale::on_kafka();
        tale.happens("billing", fault("too early"));
        tale.brings("e1", "order-1");
        tale.happens("billing", fault("statement error"));
        tale.fails_a_statement("billing");
        let rolled_back = What::RolledBack {
            database: "billing".into(),
            why: "by its owner".to_owned(),
        };
        tale.happens("billing", rolled_back);
        tale.happens("stranger", fault("elsewhere"));
        tale.applies("e1");
        tale.acks("e1");
        tale.happens("billing", fault("too late"));
        end(&mut tale);
        let group = Some("billing");
        is_told(&tale, group, "fault 0: statement error");
        is_told(&tale, group, "rolled back in billing: by its owner");
        let failed = told(&tale, group);
        assert!(failed.iter().any(|own| own.starts_with("statement failed")));
        for line in ["too early", "elsewhere", "too late"] {
            is_not_told(&tale, &format!("fault 0: {line}"));
        }
    }

    #[test]
    fn what_struck_the_work_that_led_to_a_commit_is_told() {
        let mut tale = Tale::on_kafka();
        tale.happens("orders", fault("statement error"));
        tale.commits("e1", "order-1");
        end(&mut tale);
        is_told(&tale, None, "fault 0: statement error");
    }

    #[test]
    fn a_group_that_changes_while_it_has_the_event_in_hand_is_told() {
        let mut tale = Tale::on_kafka();
        tale.rebalances();
        tale.brings("e1", "order-1");
        tale.happens("nemesis", fault("rebalance billing"));
        tale.rebalances();
        tale.settles(at("orders", 0), Settlement::Ack, SettleOutcome::Fenced);
        tale.rebalances();
        end(&mut tale);
        let group = Some("billing");
        let line =
            |generation| format!("group billing rebalanced, generation {generation}, 0 members");
        is_told(&tale, group, &line(3));
        is_told(&tale, group, "fault 0: rebalance billing");
        is_not_told(&tale, &line(2));
        is_not_told(&tale, &line(4));
    }

    #[test]
    fn a_crash_and_the_restart_after_it_are_told() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        tale.happens("nemesis", fault("crash billing"));
        tale.crashes("billing");
        tale.happens("billing", What::HostStarted { incarnation: 2 });
        end(&mut tale);
        let group = Some("billing");
        for line in [
            "fault 0: crash billing",
            "crashed",
            "restarted, incarnation 2",
        ] {
            is_told(&tale, group, line);
        }
    }

    #[test]
    fn the_relays_marking_commit_is_told() {
        let commit = |tale: &mut Tale| {
            let database = "orders".into();
            tale.happens("relay", What::Committed { database })
        };
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        commit(&mut tale);
        tale.sends(
            "relay",
            crate::checker::test_history::order_event("e1", "order-1"),
        );
        let acknowledged = What::PublishAcknowledged {
            position: at("orders", 0),
            event_id: Some("e1".to_owned()),
        };
        tale.happens("relay", acknowledged);
        tale.happens("relay", fault("slow"));
        let marking = commit(&mut tale);
        commit(&mut tale);
        end(&mut tale);
        let breach = Breach::of("e1", None, marking + 2, String::new());
        let story = tell(&breach, &tale.history);
        assert!(
            story.ends_with(&[marking - 2, marking - 1, marking, marking + 2]),
            "{story:?}"
        );
    }

    #[test]
    fn warnings_that_name_the_event_are_told() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        for (level, message) in [
            ("WARN", "e1 fails"),
            ("INFO", "e1 comes"),
            ("ERROR", "e2 fails"),
        ] {
            let logged = What::Logged {
                level: level.to_owned(),
                message: message.to_owned(),
                correlation_id: None,
            };
            tale.happens("stranger", logged);
        }
        end(&mut tale);
        is_told(&tale, Some("billing"), "WARN e1 fails");
        is_not_told(&tale, "INFO e1 comes");
        is_not_told(&tale, "ERROR e2 fails");
    }

    #[test]
    fn how_the_event_ended_at_other_groups_is_told() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        let applied = Application {
            consumer: "shipping".to_owned(),
            event_id: "e1".to_owned(),
            entity: "order-1".to_owned(),
            effect: String::new(),
            correlation_id: String::new(),
        };
        let shipped = What::Observed {
            database: "shipping".into(),
            commit: 0,
            fact: Fact::Applied(applied),
        };
        tale.happens("shipping", shipped);
        end(&mut tale);
        is_told(&tale, Some("billing"), "shipping applied e1 to order-1");
    }
}
