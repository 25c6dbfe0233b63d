//! The core against a reference model: random calls, each answer predicted by a simpler machine.
//!
//! The model keeps every message with its whole story in flat lists and recomputes what the core
//! maintains; what the profiles share is here, what they differ in is below. Connections, frames
//! and recording are not tested here.

mod jetstream;
mod kafka;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::core::Core;
use super::interface::{
    Capacity, Claim, Fetch, Handout, Join, MemberId, Refusal, Settled, Stamp, Wish, Written,
};
use super::profile::{Deduplication, Profile};
use crate::event::What;
use crate::message::{EVENT_ID, Message, Position};

const GROUP: &str = "billing";
const ABSENT: &str = "absent";
const CONSUMERS: usize = 3;

/// One call of the random sequence. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Publish { topic: usize, key: u8, id: u8 },
    Resend { back: usize },
    Join { consumer: usize, clean: bool },
    Leave { consumer: usize },
    Heartbeat { consumer: usize },
    Fetch { consumer: usize, max: usize },
    Ack { held: usize },
    Retry { held: usize, after_ms: u64 },
    Pass { ms: u64 },
    Rebalance,
    Crash,
    Capacity(Capacity),
}

fn step() -> impl Strategy<Value = Step> {
    let consumer = 0..CONSUMERS;
    prop_oneof![
        6 => (0..2_usize, 0..4_u8, 0..12_u8)
            .prop_map(|(topic, key, id)| Step::Publish { topic, key, id }),
        1 => (0..8_usize).prop_map(|back| Step::Resend { back }),
        3 => (consumer.clone(), any::<bool>())
            .prop_map(|(consumer, clean)| Step::Join { consumer, clean }),
        1 => consumer.clone().prop_map(|consumer| Step::Leave { consumer }),
        3 => consumer.clone().prop_map(|consumer| Step::Heartbeat { consumer }),
        8 => (consumer, 0..6_usize).prop_map(|(consumer, max)| Step::Fetch { consumer, max }),
        8 => (0..6_usize).prop_map(|held| Step::Ack { held }),
        4 => (0..6_usize, 0..7_u64)
            .prop_map(|(held, quarters)| Step::Retry { held, after_ms: quarters * 250 }),
        // In coarse steps, so that moments that are the edge of something are met often.
        4 => (0..7_u64).prop_map(|quarters| Step::Pass { ms: quarters * 250 }),
        1 => Just(Step::Rebalance),
        1 => Just(Step::Crash),
        1 => prop_oneof![Just(Capacity::Unlimited), Just(Capacity::UsedUp)].prop_map(Step::Capacity),
    ]
}

/// What a profile's model predicts of its groups.
trait Rules {
    /// How many messages the fetch has to hand out.
    fn fetch(&mut self, request: &Fetch, now: Duration, log: &Logs) -> Result<usize, Refusal>;
    /// Takes note of one handout, and fails if it may not be.
    fn handed(&mut self, handout: &Handout, now: Duration);
    fn settle(&mut self, claim: &Claim, wish: Wish, now: Duration) -> Settled;
    fn joined(&mut self, member: MemberId, leaving: &[MemberId], now: Duration);
    fn left(&mut self, member: MemberId);
    fn heartbeat(&mut self, member: MemberId, now: Duration) -> Result<u64, Refusal>;
    fn rebalance(&mut self) -> bool;
    fn crash(&mut self);
    fn expire(&mut self, now: Duration);
    /// Takes note of an event, and fails if it may not be.
    fn saw(&mut self, what: &What, log: &Logs);
    /// Fails if an event is still missing.
    fn at_rest(&self);
    fn unsettled(&self, log: &Logs) -> Vec<Position>;
}

/// A partition, by topic and number.
type Place = (Arc<str>, u32);

/// What has been appended, by topic and partition.
type Logs = BTreeMap<Place, Vec<Arc<Message>>>;

/// The core and its model, side by side.
struct Pair<R> {
    core: Core,
    rules: R,
    now: Duration,
    log: Logs,
    /// When and where an id was last appended; where a stamp was.
    ids: BTreeMap<(usize, u8), (Duration, Position)>,
    stamps: Vec<(Stamp, Arc<Message>, Option<Position>)>,
    capacity: Capacity,
    consumers: [Option<(MemberId, u64)>; CONSUMERS],
    held: Vec<Handout>,
    owners: Vec<MemberId>,
}

const TOPICS: [&str; 2] = ["orders", "payments"];

fn place(position: &Position) -> Place {
    (position.topic.clone(), position.partition)
}

fn position(place: &Place, offset: usize) -> Position {
    Position {
        topic: place.0.clone(),
        partition: place.1,
        offset: offset as u64,
    }
}

/// A core with two topics, and two groups that consume both of them.
fn core(profile: &Profile) -> Core {
    let topics = BTreeMap::from([("orders".to_owned(), 3), ("payments".to_owned(), 1)]);
    let consumed = TOPICS.map(str::to_owned);
    let groups = [GROUP, ABSENT].map(|group| (group, &consumed[..]));
    Core::new(profile, &topics, groups, "broker".into())
}

impl<R: Rules> Pair<R> {
    fn new(profile: Profile, rules: R) -> Self {
        let mut core = core(&profile);
        core.open_producer();
        let partitions = [("orders", 0), ("orders", 1), ("orders", 2), ("payments", 0)];
        let empty = partitions.map(|(topic, number)| ((topic.into(), number), Vec::new()));
        Pair {
            core,
            rules,
            now: Duration::ZERO,
            log: BTreeMap::from(empty),
            ids: BTreeMap::new(),
            stamps: Vec::new(),
            capacity: Capacity::Unlimited,
            consumers: [None; CONSUMERS],
            held: Vec::new(),
            owners: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Publish { topic, key, id } => self.publish(*topic, *key, *id),
            Step::Resend { back } => self.resend(*back),
            Step::Join { consumer, clean } => self.join(*consumer, *clean),
            Step::Leave { consumer } => self.leave(*consumer),
            Step::Heartbeat { consumer } => self.heartbeat(*consumer),
            Step::Fetch { consumer, max } => {
                self.fetch(*consumer, *max);
            }
            Step::Ack { held } => self.settle(*held, Wish::Ack),
            Step::Retry { held, after_ms } => {
                let after = Duration::from_millis(*after_ms);
                self.settle(*held, Wish::Retry { after });
            }
            Step::Pass { ms } => self.pass(Duration::from_millis(*ms)),
            Step::Rebalance => self.rebalance(),
            Step::Crash => {
                self.core.crash();
                self.rules.crash();
            }
            Step::Capacity(capacity) => {
                self.capacity = *capacity;
                self.core.set_capacity(*capacity);
            }
        }
        self.compare();
    }

    fn observe(&mut self, seen: Vec<(Arc<str>, What)>) {
        for (_, what) in seen {
            self.rules.saw(&what, &self.log);
        }
    }

    fn join(&mut self, consumer: usize, clean: bool) {
        let host: Arc<str> = format!("host-{consumer}").into();
        let former = self.consumers[consumer].map(|(member, _)| member);
        let leaving: Vec<MemberId> = former.into_iter().filter(|_| clean).collect();
        let request = Join {
            host: &host,
            group: &GROUP.into(),
            topics: &TOPICS.map(Arc::from),
            leaving: &leaving,
        };
        let mut seen = Vec::new();
        let joined = self.core.join(request, self.now, &mut seen);
        let (member, generation) = joined.expect("both topics exist");
        self.rules.joined(member, &leaving, self.now);
        self.consumers[consumer] = Some((member, generation));
        self.observe(seen);
    }

    fn leave(&mut self, consumer: usize) {
        if let Some((member, _)) = self.consumers[consumer].take() {
            let mut seen = Vec::new();
            self.core.leave(GROUP, member, &mut seen);
            self.rules.left(member);
            self.observe(seen);
        }
    }

    fn heartbeat(&mut self, consumer: usize) {
        if let Some((member, _)) = self.consumers[consumer] {
            let answer = self.core.heartbeat(GROUP, member, self.now);
            assert_eq!(answer, self.rules.heartbeat(member, self.now));
        }
    }

    /// Fetches, checks count and content, and says how many came.
    fn fetch(&mut self, consumer: usize, max: usize) -> usize {
        let Some((member, generation)) = self.consumers[consumer] else {
            return 0;
        };
        let request = Fetch {
            group: GROUP.into(),
            member,
            generation,
            max,
        };
        let mut seen = Vec::new();
        let would_be_told = self.core.may_answer(&request, self.now);
        let answer = self.core.fetch(&request, self.now, &mut seen);
        let is_answered = answer
            .as_ref()
            .map_or(true, |handouts| !handouts.is_empty());
        assert!(
            max == 0 || would_be_told == is_answered,
            "who waits is told"
        );
        let expected = self.rules.fetch(&request, self.now, &self.log);
        let handouts = match (answer, expected) {
            (Ok(handouts), Ok(expected)) => {
                assert_eq!(handouts.len(), expected, "as much as there is");
                handouts
            }
            (Err(refusal), Err(expected)) => {
                assert_eq!(refusal, expected);
                if let Refusal::Rebalanced { generation } = refusal {
                    self.consumers[consumer] = Some((member, generation));
                }
                return 0;
            }
            (answer, expected) => {
                panic!("{answer:?}, but the model expects {expected:?}")
            }
        };
        assert_eq!(seen.len(), handouts.len(), "every handout is recorded");
        for (handout, (host, what)) in handouts.iter().zip(&seen) {
            assert_eq!(**host, *format!("host-{consumer}"));
            assert!(matches!(what, What::Delivered { position, attempt, .. }
                if *position == handout.position && *attempt == handout.attempt));
            let key = (handout.position.topic.clone(), handout.position.partition);
            assert_eq!(
                handout.message,
                self.log[&key][handout.position.offset as usize]
            );
            self.rules.handed(handout, self.now);
        }
        let count = handouts.len();
        self.owners.extend(std::iter::repeat_n(member, count));
        self.held.extend(handouts);
        count
    }

    /// Settles one of the latest handouts, which may be long over.
    fn settle(&mut self, back: usize, wish: Wish) {
        let Some(place) = self.held.len().checked_sub(1 + back) else {
            return;
        };
        let handout = &self.held[place];
        let claim = Claim {
            group: GROUP.into(),
            member: self.owners[place],
            generation: handout.generation,
            position: handout.position.clone(),
        };
        let mut seen = Vec::new();
        let host: Arc<str> = "host".into();
        let settled = self.core.settle(&host, &claim, wish, self.now, &mut seen);
        let expected = self.rules.settle(&claim, wish, self.now);
        assert_eq!(settled, expected, "{claim:?} {wish:?}");
        assert_eq!(seen.len(), 1);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let mut seen = Vec::new();
        self.core.expire(self.now, &mut seen);
        self.rules.expire(self.now);
        self.observe(seen);
    }

    fn rebalance(&mut self) {
        let mut seen = Vec::new();
        let affected = self.core.rebalance(GROUP, &mut seen);
        assert_eq!(affected, self.rules.rebalance());
        self.observe(seen);
    }

    /// What the core would read out at the end has to be what the model knows, at any time.
    fn compare(&self) {
        self.rules.at_rest();
        let owed = self.rules.unsettled(&self.log);
        let mut unsettled = Vec::new();
        for what in self.core.final_events() {
            match what {
                What::FinalLog {
                    topic,
                    partition,
                    messages,
                } => {
                    assert_eq!(
                        messages,
                        self.log[&(topic, partition)],
                        "the log is for ever"
                    );
                }
                What::FinalGroup {
                    group,
                    topic,
                    partition,
                    unsettled: offsets,
                } => {
                    let end = self.log[&(topic.clone(), partition)].len() as u64;
                    if *group == *ABSENT {
                        assert_eq!(offsets, (0..end).collect::<Vec<_>>());
                        continue;
                    }
                    let position = |offset| Position {
                        topic: topic.clone(),
                        partition,
                        offset,
                    };
                    unsettled.extend(offsets.into_iter().map(position));
                }
                other => panic!("not a final event: {other}"),
            }
        }
        assert_eq!(unsettled, owed);
        assert!(
            owed.iter()
                .all(|position| !self.core.is_settled(GROUP, position))
        );
        let empty = self.log.values().all(Vec::is_empty);
        assert_eq!(
            self.core.is_idle(),
            empty,
            "the absent group has settled nothing"
        );
        assert_eq!(self.core.backlog().is_none(), empty);
    }

    /// After healing, one consumer gets and settles everything, whatever happened before.
    fn heal(&mut self) {
        self.core.set_capacity(Capacity::Unlimited);
        self.join(0, true);
        for _ in 0..10_000 {
            if self.rules.unsettled(&self.log).is_empty() {
                return;
            }
            loop {
                let count = self.fetch(0, 16);
                if count == 0 {
                    break;
                }
                for back in (0..count).rev() {
                    self.settle(back, Wish::Ack);
                }
            }
            let wakeup = self.core.next_wakeup(self.now);
            let wait = wakeup.map_or(Duration::ZERO, |at| at.saturating_sub(self.now));
            self.pass(wait.clamp(Duration::from_millis(1), Duration::from_millis(500)));
            self.heartbeat(0);
        }
        panic!("never settled: {:?}", self.rules.unsettled(&self.log));
    }
}

/// Publishing.
impl<R: Rules> Pair<R> {
    fn message(&self, topic: usize, key: u8, id: u8) -> Arc<Message> {
        let payload = format!("message {}", self.stamps.len());
        let message = Message::new(TOPICS[topic], &format!("key-{key}"), payload);
        // Some messages have no id, and are never recognised by one.
        Arc::new(match id {
            0 => message,
            id => message.header(EVENT_ID, &format!("event-{id}")),
        })
    }

    fn publish(&mut self, topic: usize, key: u8, id: u8) {
        let message = self.message(topic, key, id);
        let stamp = Stamp {
            producer: 1,
            sequence: self.stamps.len() as u64,
        };
        let known = self.known_id(topic, id);
        let written = self.write(stamp, &message, known.clone());
        if let Some(position) = &written
            && known.is_none()
        {
            self.ids.insert((topic, id), (self.now, position.clone()));
        }
        self.stamps.push((stamp, message, written));
    }

    /// Where the id stands that has to be recognised.
    fn known_id(&self, topic: usize, id: u8) -> Option<Position> {
        let Deduplication::MessageId { window, .. } = self.core.capabilities().deduplication else {
            return None;
        };
        let (at, position) = self.ids.get(&(topic, id)).filter(|_| id > 0)?;
        (self.now - *at < window).then(|| position.clone())
    }

    /// Sends a stamped message once more, as a Kafka producer's retry does.
    fn resend(&mut self, back: usize) {
        if self.core.capabilities().deduplication != Deduplication::ProducerSequence {
            return;
        }
        let Some(place) = self.stamps.len().checked_sub(1 + back) else {
            return;
        };
        let (stamp, message, written) = self.stamps[place].clone();
        if let Some(position) = written {
            self.write(stamp, &message, Some(position));
        }
    }

    /// Publishes, compares, and says where the message stands now, if anywhere.
    fn write(
        &mut self,
        stamp: Stamp,
        message: &Arc<Message>,
        known: Option<Position>,
    ) -> Option<Position> {
        let host: Arc<str> = "producer".into();
        let mut seen = Vec::new();
        let answer = self
            .core
            .publish(&host, Some(stamp), message.clone(), self.now, &mut seen);
        assert_eq!(seen.len(), 1, "one event for each publish");
        match (answer, known) {
            (Ok(Written::Recognised(position)), Some(known)) => {
                assert_eq!(position, known, "recognised as what it is");
                Some(position)
            }
            (Ok(Written::Appended(position)), None) => {
                assert_eq!(self.capacity, Capacity::Unlimited, "appended at the limit");
                self.append(&position, message);
                Some(position)
            }
            (Err(reason), None) => {
                assert_eq!(self.capacity, Capacity::UsedUp, "refused: {reason}");
                None
            }
            (answer, known) => panic!("{answer:?}, but it is known as {known:?}"),
        }
    }

    fn append(&mut self, position: &Position, message: &Arc<Message>) {
        let key = (position.topic.clone(), position.partition);
        assert_eq!(*position.topic, *message.topic);
        for (other, messages) in &self.log {
            let elsewhere = *other != key && other.0 == key.0;
            let same_key = messages.iter().any(|m| m.key == message.key);
            assert!(!(elsewhere && same_key), "one key, one partition");
        }
        let partition = self.log.get_mut(&key).expect("the partition exists");
        assert_eq!(
            position.offset,
            partition.len() as u64,
            "offsets have no gaps"
        );
        partition.push(message.clone());
    }
}

fn check<R: Rules>(profile: Profile, rules: R, steps: &[Step]) {
    let mut pair = Pair::new(profile, rules);
    for step in steps {
        pair.take(step);
    }
    pair.heal();
}
