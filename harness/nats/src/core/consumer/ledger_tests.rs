//! The ledger against a model that looks at every message each time.

use proptest::prelude::*;

use super::*;

const LEASE: Duration = Duration::from_secs(30);

/// One thing that happens to a ledger. Sequences are chosen among those that were delivered.
#[derive(Clone, Debug)]
enum Step {
    Deliver,
    Redeliver,
    Settle(u64),
    SettleThrough(u64),
    Again(u64),
    Later(u64, u64),
    Progress(u64),
    GiveUp(u64),
    Pass(u64),
}

/// What happens where each message is settled by itself.
fn single() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any_policy(),
        2 => (1..20_u64).prop_map(Step::Settle),
        1 => (1..20_u64).prop_map(Step::GiveUp),
    ]
}

/// What happens where a settlement covers all before it.
fn cumulative() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any_policy(),
        1 => (1..20_u64).prop_map(Step::SettleThrough),
    ]
}

fn any_policy() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Deliver),
        3 => Just(Step::Redeliver),
        2 => (1..20_u64).prop_map(Step::Again),
        1 => (1..20_u64, 1..60_u64).prop_map(|(sequence, seconds)| Step::Later(sequence, seconds)),
        1 => (1..20_u64).prop_map(Step::Progress),
        2 => (1..40_u64).prop_map(Step::Pass),
    ]
}

/// What is known of one message: the number of its first delivery, how often it was delivered, and where it
/// stands.
#[derive(Clone, Copy, Debug)]
struct Known {
    delivery: u64,
    attempts: u64,
    state: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Running(Duration),
    Again,
    Settled,
    GivenUp,
}

#[derive(Default)]
struct Model {
    known: BTreeMap<u64, Known>,
    order: Vec<u64>,
    deliveries: u64,
    now: Duration,
    /// All up to here is settled.
    floor: u64,
    /// The message whose settlement moves the floor, counted from the one after the floor at first.
    front: Option<u64>,
}

impl Model {
    fn set(&mut self, sequence: u64, state: Standing) {
        self.order.retain(|other| *other != sequence);
        if state == Standing::Again {
            self.order.push(sequence);
        }
        if let Some(known) = self.known.get_mut(&sequence) {
            known.state = state;
        }
    }

    fn is_open(&self, sequence: u64) -> bool {
        self.known
            .get(&sequence)
            .is_some_and(|known| matches!(known.state, Standing::Running(_) | Standing::Again))
    }

    fn open(&self) -> Vec<u64> {
        self.known
            .keys()
            .copied()
            .filter(|sequence| self.is_open(*sequence))
            .collect()
    }

    /// Settles an open message. The floor moves up to the next open one if this was the first, or was the
    /// last.
    fn settle(&mut self, sequence: u64) {
        let front = self.front.unwrap_or(self.floor + 1);
        self.set(sequence, Standing::Settled);
        match self.open().first() {
            None => (self.floor, self.front) = (self.known.len() as u64, None),
            Some(next) if sequence == front => (self.floor, self.front) = (next - 1, Some(*next)),
            Some(_) => {}
        }
    }
}

fn take(step: &Step, ledger: &mut Ledger, model: &mut Model) {
    let now = model.now;
    match *step {
        Step::Deliver => {
            let sequence = model.known.len() as u64 + 1;
            ledger.deliver(sequence, now + LEASE, None);
            model.deliveries += 1;
            let delivery = model.deliveries;
            model.known.insert(
                sequence,
                Known {
                    delivery,
                    attempts: 1,
                    state: Standing::Running(now + LEASE),
                },
            );
        }
        Step::Redeliver => {
            assert_eq!(ledger.next_again(), model.order.first().copied());
            if let Some(sequence) = ledger.next_again() {
                ledger.deliver(sequence, now + LEASE, None);
                model.deliveries += 1;
                model.known.get_mut(&sequence).unwrap().attempts += 1;
                model.set(sequence, Standing::Running(now + LEASE));
            }
        }
        Step::Settle(sequence) => {
            assert_eq!(ledger.settle(sequence), model.is_open(sequence));
            match model.is_open(sequence) {
                true => model.settle(sequence),
                // What was given up is no longer counted when it is settled after all.
                false => model.set(sequence, Standing::Settled),
            }
        }
        Step::SettleThrough(sequence) => {
            let Some(known) = model.known.get(&sequence).copied() else {
                return;
            };
            let open = model.open().into_iter();
            let covered: Vec<u64> = open.filter(|other| *other <= sequence).collect();
            assert_eq!(ledger.settle_through(sequence, known.delivery), covered);
            for sequence in covered {
                model.settle(sequence);
            }
        }
        Step::Again(sequence) => {
            assert_eq!(ledger.again(sequence), model.is_open(sequence));
            if matches!(
                model.known.get(&sequence),
                Some(Known {
                    state: Standing::Running(_),
                    ..
                })
            ) {
                model.set(sequence, Standing::Again);
            }
        }
        Step::Later(sequence, seconds) => {
            let until = now + Duration::from_secs(seconds);
            assert_eq!(
                ledger.extend(sequence, until, false),
                model.is_open(sequence)
            );
            if model.is_open(sequence) {
                model.set(sequence, Standing::Running(until));
            }
        }
        Step::Progress(sequence) => {
            assert_eq!(
                ledger.extend(sequence, now + LEASE, true),
                model.is_open(sequence)
            );
            if matches!(
                model.known.get(&sequence),
                Some(Known {
                    state: Standing::Running(_),
                    ..
                })
            ) {
                model.set(sequence, Standing::Running(now + LEASE));
            }
        }
        Step::GiveUp(sequence) => {
            if model.is_open(sequence) {
                ledger.give_up(sequence);
                model.set(sequence, Standing::GivenUp);
            }
        }
        Step::Pass(seconds) => {
            model.now += Duration::from_secs(seconds);
            let over: Vec<u64> = model
                .known
                .iter()
                .filter(|(_, known)| matches!(known.state, Standing::Running(until) if until <= model.now))
                .map(|(sequence, _)| *sequence)
                .collect();
            assert_eq!(ledger.expired(model.now), over);
            for sequence in over {
                ledger.again(sequence);
                model.set(sequence, Standing::Again);
            }
        }
    }
}

/// Takes each step, and compares all that can be seen after it.
fn follow(steps: &[Step]) -> Result<(), TestCaseError> {
    let (mut ledger, mut model) = (Ledger::starting_after(0), Model::default());
    for step in steps {
        take(step, &mut ledger, &mut model);
        prop_assert_eq!(
            ledger.leases().keys().copied().collect::<Vec<_>>(),
            model.open()
        );
        prop_assert_eq!(ledger.delivered().consumer, model.deliveries);
        prop_assert_eq!(ledger.floor().stream, model.floor);
        prop_assert_eq!(ledger.again_len(), model.order.len());
        let next = model.known.values().filter_map(|known| match known.state {
            Standing::Running(until) => Some(until),
            _ => None,
        });
        prop_assert_eq!(ledger.next_expiry(), next.min());
        for (sequence, known) in &model.known {
            if model.is_open(*sequence) {
                prop_assert_eq!(ledger.attempts(*sequence), known.attempts);
            }
        }
        let given_up: Vec<u64> = (model.known.iter())
            .filter(|(_, known)| known.state == Standing::GivenUp)
            .map(|(sequence, _)| *sequence)
            .collect();
        prop_assert_eq!(ledger.given_up(), given_up);
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_ledger_knows_what_a_look_at_every_message_knows(
        steps in proptest::collection::vec(single(), 0..80),
    ) {
        follow(&steps)?;
    }

    #[test]
    fn a_settlement_of_all_before_it_leaves_nothing_behind(
        steps in proptest::collection::vec(cumulative(), 0..80),
    ) {
        follow(&steps)?;
    }
}
