//! What the model predicts of a Kafka group, and the properties of that profile.
//!
//! The assignment is taken from the event and judged, not predicted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Logs, Place, Rules, check, place, position, step};
use crate::broker::interface::{Claim, Fetch, Handout, MemberId, Refusal, Settled, Wish};
use crate::broker::profile::{KafkaSettings, Profile};
use crate::event::{SettleOutcome, What};
use crate::message::Position;

const SESSION: Duration = Duration::from_secs(2);

#[derive(Default)]
struct KafkaRules {
    generation: u64,
    members: BTreeMap<MemberId, Duration>,
    owners: BTreeMap<Place, MemberId>,
    cursors: BTreeMap<Place, Cursor>,
    handed: BTreeMap<Position, u32>,
    /// How many rebalances the broker still has to announce.
    awaited: u32,
}

#[derive(Default)]
struct Cursor {
    committed: usize,
    next: usize,
    resume_at: Duration,
    seeks: u64,
}

impl KafkaRules {
    fn cursor(&mut self, place: &Place) -> &mut Cursor {
        self.cursors.entry(place.clone()).or_default()
    }

    fn judge(&self, assignment: &BTreeMap<String, Vec<Place>>, log: &Logs) {
        assert_eq!(
            assignment.len(),
            self.members.len(),
            "every member is in it"
        );
        let mut assigned: Vec<&Place> = assignment.values().flatten().collect();
        assigned.sort();
        let all: Vec<&Place> = log.keys().filter(|_| !assignment.is_empty()).collect();
        assert_eq!(assigned, all, "each partition has exactly one owner");
        let orders = assignment
            .values()
            .map(|own| own.iter().filter(|p| *p.0 == *"orders").count());
        let (least, most) = (orders.clone().min(), orders.max());
        assert!(
            most <= least.map(|least| least + 1),
            "shares differ by one at most"
        );
    }
}

impl Rules for KafkaRules {
    fn fetch(&mut self, request: &Fetch, now: Duration, log: &Logs) -> Result<usize, Refusal> {
        if !self.members.contains_key(&request.member) {
            return Err(Refusal::NotAMember);
        }
        if request.generation != self.generation {
            return Err(Refusal::Rebalanced {
                generation: self.generation,
            });
        }
        let mut available = 0;
        for (place, messages) in log {
            let owned = self.owners.get(place) == Some(&request.member);
            let cursor = self.cursor(place);
            if owned && cursor.resume_at <= now {
                available += messages.len() - cursor.next;
            }
        }
        Ok(available.min(request.max))
    }

    fn handed(&mut self, handout: &Handout, now: Duration) {
        assert_eq!(handout.generation, self.generation);
        let cursor = self.cursor(&place(&handout.position));
        assert_eq!(
            handout.position.offset, cursor.next as u64,
            "in order, without a gap"
        );
        assert_eq!(handout.seek, cursor.seeks);
        assert!(cursor.resume_at <= now, "the partition is paused");
        cursor.next += 1;
        let times = self.handed.entry(handout.position.clone()).or_default();
        *times += 1;
        assert_eq!(handout.attempt, *times);
    }

    fn settle(&mut self, claim: &Claim, wish: Wish, now: Duration) -> Settled {
        let place = place(&claim.position);
        let generation = self.generation;
        let owns = self.owners.get(&place) == Some(&claim.member) && claim.generation == generation;
        let is_member = self.members.contains_key(&claim.member);
        let cursor = self.cursors.entry(place).or_default();
        let offset = claim.position.offset as usize;
        let outcome = match wish {
            _ if !owns => SettleOutcome::Fenced,
            Wish::Ack if offset < cursor.committed => SettleOutcome::Stale,
            Wish::Ack => {
                cursor.committed = offset + 1;
                SettleOutcome::Accepted
            }
            Wish::Retry { after } => {
                cursor.next = cursor.next.min(offset);
                cursor.resume_at = cursor.resume_at.max(now + after);
                cursor.seeks += 1;
                SettleOutcome::Accepted
            }
        };
        if owns {
            self.members.insert(claim.member, now + SESSION);
        }
        Settled {
            outcome,
            seek: cursor.seeks,
            generation: is_member.then_some(generation),
        }
    }

    fn joined(&mut self, member: MemberId, leaving: &[MemberId], now: Duration) {
        self.members.retain(|id, _| !leaving.contains(id));
        self.members.insert(member, now + SESSION);
        self.awaited += 1;
    }

    fn left(&mut self, member: MemberId) {
        self.awaited += u32::from(self.members.remove(&member).is_some());
    }

    fn heartbeat(&mut self, member: MemberId, now: Duration) -> Result<u64, Refusal> {
        let deadline = self.members.get_mut(&member).ok_or(Refusal::NotAMember)?;
        *deadline = now + SESSION;
        Ok(self.generation)
    }

    fn rebalance(&mut self) -> bool {
        self.awaited += u32::from(!self.members.is_empty());
        !self.members.is_empty()
    }

    fn crash(&mut self) {
        self.members.clear();
        self.owners.clear();
    }

    fn expire(&mut self, now: Duration) {
        let before = self.members.len();
        self.members.retain(|_, deadline| *deadline > now);
        self.awaited += u32::from(self.members.len() < before);
    }

    fn saw(&mut self, what: &What, log: &Logs) {
        let What::Rebalanced {
            generation,
            assignment,
            ..
        } = what
        else {
            panic!("unexpected: {what}");
        };
        assert!(self.awaited > 0, "a rebalance without cause");
        self.awaited -= 1;
        assert_eq!(*generation, self.generation + 1);
        self.generation = *generation;
        self.judge(assignment, log);
        self.owners.clear();
        for (name, places) in assignment {
            let id = name.rsplit('#').next().and_then(|id| id.parse().ok());
            let member = MemberId(id.expect("a member's name ends with its number"));
            assert!(self.members.contains_key(&member));
            self.owners
                .extend(places.iter().map(|place| (place.clone(), member)));
        }
        for cursor in self.cursors.values_mut() {
            cursor.next = cursor.committed;
            cursor.resume_at = Duration::ZERO;
        }
    }

    fn at_rest(&self) {
        assert_eq!(self.awaited, 0, "a rebalance is missing");
    }

    fn unsettled(&self, log: &Logs) -> Vec<Position> {
        let owed = log.iter().flat_map(|(place, messages)| {
            let committed = self.cursors.get(place).map_or(0, |cursor| cursor.committed);
            (committed..messages.len()).map(|offset| position(place, offset))
        });
        owed.collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn kafka_core_agrees_with_its_model(steps in prop::collection::vec(step(), 1..120)) {
        let settings = KafkaSettings { session_timeout: SESSION, idempotent_producer: true };
        check(Profile::Kafka(settings), KafkaRules::default(), &steps);
    }
}

#[test]
fn late_request_of_an_abandoned_connection_is_refused() {
    use crate::broker::interface::{Rejection, Stamp, Written};
    use crate::message::Message;

    let mut core = super::core(&Profile::kafka());
    let producer = core.open_producer();
    let mut seen = Vec::new();
    let host: Arc<str> = "producer".into();
    let mut publish = |sequence| {
        let stamp = Some(Stamp { producer, sequence });
        let message = Arc::new(Message::new("orders", "key", "body"));
        core.publish(&host, stamp, message, Duration::ZERO, &mut seen)
    };
    assert!(matches!(publish(2), Ok(Written::Appended(_))));
    assert_eq!(publish(1), Err(Rejection::OutOfOrder));
    assert!(matches!(publish(2), Ok(Written::Recognised(position)) if position.offset == 0));
    assert!(matches!(publish(3), Ok(Written::Appended(position)) if position.offset == 1));
}

#[test]
fn second_seek_never_goes_forward() {
    use super::{Pair, Step};

    let settings = KafkaSettings {
        session_timeout: SESSION,
        idempotent_producer: true,
    };
    let mut pair = Pair::new(Profile::Kafka(settings), KafkaRules::default());
    pair.take(&Step::Join {
        consumer: 0,
        clean: true,
    });
    for id in 1..4 {
        pair.take(&Step::Publish {
            topic: 1,
            key: 0,
            id,
        });
    }
    pair.take(&Step::Fetch {
        consumer: 0,
        max: 3,
    });
    // The oldest of the three first, then the newest.
    pair.take(&Step::Retry {
        held: 2,
        after_ms: 0,
    });
    pair.take(&Step::Retry {
        held: 0,
        after_ms: 0,
    });
    pair.take(&Step::Fetch {
        consumer: 0,
        max: 3,
    });
    assert_eq!(pair.held.len(), 6, "all three come again");
}
