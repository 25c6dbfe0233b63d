//! What the model predicts of a JetStream group, and the properties of that profile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::{Logs, Place, Rules, check, place, position, step};
use crate::broker::interface::{Claim, Fetch, Handout, MemberId, Refusal, Settled, Wish};
use crate::broker::profile::{JetStreamSettings, Profile};
use crate::event::{SettleOutcome, What};
use crate::message::{EVENT_ID, Position};

const ACK_WAIT: Duration = Duration::from_secs(1);

struct JetStreamRules {
    ack_pending_max: usize,
    members: BTreeSet<MemberId>,
    stories: BTreeMap<Position, Story>,
    /// Leases whose end the broker still has to announce.
    awaited: BTreeSet<Position>,
}

/// A message that was delivered at least once.
struct Story {
    state: State,
    times: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Out(Duration),
    Waiting(Duration),
    Acknowledged,
}

impl JetStreamRules {
    fn new(ack_pending_max: usize) -> Self {
        JetStreamRules {
            ack_pending_max,
            members: BTreeSet::new(),
            stories: BTreeMap::new(),
            awaited: BTreeSet::new(),
        }
    }

    fn of(&self, place: &Place) -> impl Iterator<Item = &Story> {
        let first = position(place, 0)..=position(place, usize::MAX);
        self.stories.range(first).map(|(_, story)| story)
    }

    /// How many redeliveries are due, and how many new messages may be delivered at most.
    fn room(&self, place: &Place, now: Duration) -> (usize, usize) {
        let pending = self
            .of(place)
            .filter(|story| story.state != State::Acknowledged);
        let due = self
            .of(place)
            .filter(|s| matches!(s.state, State::Waiting(due) if due <= now));
        (
            due.count(),
            self.ack_pending_max.saturating_sub(pending.count()),
        )
    }
}

impl Rules for JetStreamRules {
    fn fetch(&mut self, request: &Fetch, now: Duration, log: &Logs) -> Result<usize, Refusal> {
        if !self.members.contains(&request.member) {
            return Err(Refusal::NotAMember);
        }
        let available = log.iter().map(|(place, messages)| {
            let (due, room) = self.room(place, now);
            due + room.min(messages.len() - self.of(place).count())
        });
        Ok(available.sum::<usize>().min(request.max))
    }

    fn handed(&mut self, handout: &Handout, now: Duration) {
        let place = place(&handout.position);
        let (due, room) = self.room(&place, now);
        let delivered = self.of(&place).count() as u64;
        let story = self
            .stories
            .entry(handout.position.clone())
            .or_insert(Story {
                state: State::Waiting(Duration::MAX),
                times: 0,
            });
        if story.times == 0 {
            assert_eq!(
                handout.position.offset, delivered,
                "new messages come in order"
            );
            assert_eq!(due, 0, "redeliveries come before new messages");
            assert!(room > 0, "more than max_ack_pending");
        } else {
            let is_due = matches!(story.state, State::Waiting(due) if due <= now);
            assert!(
                is_due,
                "delivered again though it is leased, acknowledged or delayed"
            );
        }
        story.state = State::Out(now + ACK_WAIT);
        story.times += 1;
        assert_eq!(handout.attempt, story.times);
    }

    fn settle(&mut self, claim: &Claim, wish: Wish, now: Duration) -> Settled {
        let story = self
            .stories
            .get_mut(&claim.position)
            .expect("it was handed out");
        let outcome = match (wish, story.state) {
            (_, State::Acknowledged) | (Wish::Retry { .. }, State::Waiting(_)) => {
                SettleOutcome::Stale
            }
            (Wish::Ack, _) => {
                story.state = State::Acknowledged;
                SettleOutcome::Accepted
            }
            (Wish::Retry { after }, State::Out(_)) => {
                story.state = State::Waiting(now + after);
                SettleOutcome::Accepted
            }
        };
        Settled {
            outcome,
            seek: 0,
            generation: Some(0),
        }
    }

    fn joined(&mut self, member: MemberId, leaving: &[MemberId], _now: Duration) {
        self.members.retain(|id| !leaving.contains(id));
        self.members.insert(member);
    }

    fn left(&mut self, member: MemberId) {
        self.members.remove(&member);
    }

    fn heartbeat(&mut self, member: MemberId, _now: Duration) -> Result<u64, Refusal> {
        self.members
            .contains(&member)
            .then_some(0)
            .ok_or(Refusal::NotAMember)
    }

    fn rebalance(&mut self) -> bool {
        false
    }

    fn crash(&mut self) {
        self.members.clear();
    }

    fn expire(&mut self, now: Duration) {
        for (position, story) in &mut self.stories {
            if matches!(story.state, State::Out(until) if until <= now) {
                story.state = State::Waiting(now);
                self.awaited.insert(position.clone());
            }
        }
    }

    fn saw(&mut self, what: &What, _log: &Logs) {
        let What::LeaseExpired { position, .. } = what else {
            panic!("unexpected: {what}")
        };
        assert!(
            self.awaited.remove(position),
            "a lease ended without cause: {position}"
        );
    }

    fn at_rest(&self) {
        assert!(
            self.awaited.is_empty(),
            "leases have to end: {:?}",
            self.awaited
        );
    }

    fn unsettled(&self, log: &Logs) -> Vec<Position> {
        let all = log.iter().flat_map(|(place, messages)| {
            (0..messages.len()).map(|offset| position(place, offset))
        });
        let settled = |position: &Position| {
            self.stories
                .get(position)
                .is_some_and(|s| s.state == State::Acknowledged)
        };
        all.filter(|position| !settled(position)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn jetstream_core_agrees_with_its_model(
        ack_pending_max in 1..4_u32,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let settings = JetStreamSettings {
            ack_wait: ACK_WAIT,
            max_ack_pending: ack_pending_max,
            duplicate_window: Duration::from_secs(2),
            message_id_header: EVENT_ID.to_owned(),
        };
        let rules = JetStreamRules::new(ack_pending_max as usize);
        check(Profile::JetStream(settings), rules, &steps);
    }
}
