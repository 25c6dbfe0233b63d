//! `operation-once`: what a client asked for takes effect once, whoever works it off and however late.
//!
//! It needs no broker: an operation is asked of the system, and a probe shows its effect. That is what a job queue
//! promises together with handlers that may run again. Whether an effect is the right one is for a property of the
//! system's own.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::de::DeserializeOwned;

use super::breach::{Breach, judge};
use super::effect_once::repeated;
use super::trail::{Trail, Trails};
use super::{Property, Verdict};
use crate::history::{Answer, Asked, History, What};

/// Tells by which id the effect of an operation is known, if it owes one.
type Id = Box<dyn Fn(&Asked<'_>) -> Option<String> + Send + Sync>;

/// Each operation whose client was told that it is done takes effect, by the end of the run; and no operation takes
/// effect twice, whatever its client was told.
///
/// Effects are the rows of [`Probe::applied`](crate::database::Probe::applied), known by their `event_id`; as in
/// [`EffectOnce`](super::EffectOnce), one operation may have effects on several entities and at several consumers. One
/// that was given up with an entry that [`Probe::discarded`](crate::database::Probe::discarded) shows is not lost.
///
/// A run ends when nothing has happened for [`Settings::quiet`](crate::simulation::Settings::quiet). That has to be
/// longer than it may take until the work of a dead worker is taken up by another, or what is still to come counts as
/// lost.
///
/// ```
/// # use stormglass::checker::OperationOnce;
/// # #[derive(serde::Deserialize)]
/// # struct Mail { id: u64 }
/// let property = OperationOnce::known_by(|mail: Mail| mail.id);
/// ```
pub struct OperationOnce {
    id: Id,
}

impl OperationOnce {
    /// The operations of a shape, each with an id that the probe's `event_id` has. Operations of another shape owe no
    /// effect, and operations with one id are one.
    pub fn known_by<O: DeserializeOwned, I: Display>(
        id: impl Fn(O) -> I + Send + Sync + 'static,
    ) -> Self {
        let id: Id = Box::new(move |asked| asked.operation().map(|own| id(own).to_string()));
        OperationOnce { id }
    }
}

impl Property for OperationOnce {
    fn id(&self) -> &str {
        "operation-once"
    }

    fn promise(&self) -> &str {
        "each operation that was answered as done takes effect, and none takes effect twice"
    }

    fn check(&self, history: &History) -> Verdict {
        let trails = Trails::gather(history);
        let trail_of = |id: &str| trails.number_of(id).map(|number| &trails.trails[number]);
        let mut owing: BTreeMap<String, Vec<Asked<'_>>> = BTreeMap::new();
        for asked in history.operations() {
            if let Some(id) = (self.id)(&asked) {
                owing.entry(id).or_default().push(asked);
            }
        }
        let breaches = owing.iter().filter_map(|(id, asked)| {
            let trail = trail_of(id);
            let twice = trail.and_then(|trail| twice(trail, asked));
            twice.or_else(|| lost(history, id, trail, asked))
        });
        if let Some(broken) = judge(history, breaches) {
            return broken;
        }
        let has_effect = |id: &str| trail_of(id).is_some_and(|trail| !trail.applied.is_empty());
        let mut all = owing.iter();
        match all.any(|(id, asked)| asked.iter().any(is_done) || has_effect(id)) {
            true => Verdict::Holds,
            false => {
                let reason = "no operation that owes an effect was done or had one";
                Verdict::Vacuous(reason.to_owned())
            }
        }
    }
}

/// Whether the client was told that it is done.
fn is_done(asked: &Asked<'_>) -> bool {
    asked.told.is_some_and(|told| told.answer == Answer::Done)
}

/// The second effect of an operation.
fn twice<'h>(trail: &Trail<'h>, asked: &[Asked<'h>]) -> Option<Breach<'h>> {
    let first = asked.first()?;
    let second = repeated(trail).into_iter().min_by_key(|own| own.index)?;
    let summary = format!("{} took effect twice", name(first, trail.event_id));
    let breach = Breach::of(trail.event_id, None, second.index, summary);
    Some(breach.by_rule("twice").asked_by(*first))
}

/// An operation that was done, as its client was told, and had no effect when the run was over.
fn lost<'h>(
    history: &'h History,
    id: &str,
    trail: Option<&Trail<'h>>,
    asked: &[Asked<'h>],
) -> Option<Breach<'h>> {
    let done = asked.iter().find(|asked| is_done(asked))?;
    let asked_at = asked.first()?.index;
    // What was there before is not its effect.
    let has_ended = |own: &Trail<'h>| {
        let mut ends = own.applied.iter().chain(&own.discarded);
        ends.any(|end| end.index > asked_at)
    };
    if trail.is_some_and(has_ended) {
        return None;
    }
    let summary = format!("{} never took effect", name(done, id));
    let breach = Breach::at(end(history)?, summary);
    Some(breach.by_rule("lost").asked_by(*done))
}

/// The operation named for a person.
fn name(asked: &Asked<'_>, id: &str) -> String {
    format!("operation {} ({id})", asked.operation)
}

/// The event with which the run was over.
fn end(history: &History) -> Option<u64> {
    let ends = |what: &What| matches!(what, What::Quiet { .. } | What::LivenessBoundReached { .. });
    let mut latest_first = history.events.iter().rev();
    let end = latest_first.find(|event| ends(&event.what));
    end.or(history.events.last()).map(|event| event.index)
}

#[cfg(test)]
mod tests {
    use super::OperationOnce;
    use crate::checker::Property;
    use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, broken_at, complaint};
    use crate::history::{Answer, Application, Fact, What};

    fn property() -> OperationOnce {
        OperationOnce::known_by(|job: u64| job)
    }

    /// A client asks for an operation and is told how it ended.
    fn asks(tale: &mut Tale, operation: usize, job: &str, answer: Answer) -> u64 {
        let text = job.to_owned();
        tale.happens("client", What::OperationInvoked { operation, text });
        let text = "null".to_owned();
        tale.happens(
            "client",
            What::OperationAnswered {
                operation,
                answer,
                text,
            },
        )
    }

    fn job(job: &str, entity: &str) -> Application {
        Application {
            consumer: "worker".to_owned(),
            event_id: job.to_owned(),
            entity: entity.to_owned(),
            effect: String::new(),
            correlation_id: String::new(),
        }
    }

    /// A host commits the effect of an operation.
    fn works(tale: &mut Tale, host: &str, work: Application) -> u64 {
        tale.commit(host, "jobs");
        tale.observes(host, "jobs", Fact::Applied(work))
    }

    fn ends(tale: &mut Tale) -> u64 {
        let background = Vec::new();
        tale.happens("harness", What::Quiet { background })
    }

    #[test]
    fn accepts_each_effect_once_whatever_the_client_was_told() {
        let mut tale = Tale::on_kafka();
        asks(&mut tale, 0, "10", Answer::Done);
        asks(&mut tale, 1, "11", Answer::Failed);
        asks(&mut tale, 2, "12", Answer::Failed);
        works(&mut tale, "worker", job("11", ""));
        tale.crashes("worker");
        works(&mut tale, "worker", job("10", ""));
        ends(&mut tale);
        assert_holds(&property(), &tale);
    }

    #[test]
    fn accepts_one_operation_on_several_entities_and_one_that_was_given_up() {
        let mut tale = Tale::on_kafka();
        asks(&mut tale, 0, "10", Answer::Done);
        asks(&mut tale, 1, "11", Answer::Done);
        works(&mut tale, "worker", job("10", "sku-a"));
        works(&mut tale, "worker", job("10", "sku-b"));
        tale.commit("worker", "jobs");
        tale.observes("worker", "jobs", Fact::Discarded(job("11", "")));
        ends(&mut tale);
        assert_holds(&property(), &tale);
    }

    #[test]
    fn accepts_two_operations_with_one_id_that_take_effect_once() {
        let mut tale = Tale::on_kafka();
        asks(&mut tale, 0, "10", Answer::Done);
        asks(&mut tale, 1, "10", Answer::Done);
        works(&mut tale, "worker", job("10", ""));
        ends(&mut tale);
        assert_holds(&property(), &tale);
    }

    #[test]
    fn accepts_an_operation_that_failed_and_took_effect_all_the_same() {
        let mut tale = Tale::on_kafka();
        asks(&mut tale, 0, "10", Answer::Failed);
        works(&mut tale, "worker", job("10", ""));
        ends(&mut tale);
        assert_holds(&property(), &tale);
    }

    #[test]
    fn rejects_a_second_effect_and_tells_what_befell_the_hosts_since_it_was_asked_for() {
        for answer in [Answer::Done, Answer::Failed] {
            let mut tale = Tale::on_kafka();
            let before = tale.crashes("worker");
            let answered = asks(&mut tale, 0, "10", answer);
            let first = works(&mut tale, "worker", job("10", ""));
            let crashed = tale.crashes("worker");
            let second = works(&mut tale, "worker-2", job("10", ""));
            let after = tale.crashes("worker-2");
            ends(&mut tale);
            assert_eq!(broken_at(&property(), &tale), Some(second));
            let told = "operation 0 (10) took effect twice";
            assert_eq!(complaint(&property(), &tale), told);
            let verdict = property().check(&tale.history);
            let witness = verdict.witness().expect("broken");
            assert_eq!(witness.rule, "twice");
            let is_told = |index| witness.chain.contains(&index);
            assert!([answered - 1, answered, first, crashed].map(is_told) == [true; 4]);
            assert!([before, after].map(is_told) == [false; 2], "{witness:?}");
        }
    }

    #[test]
    fn rejects_an_operation_that_was_done_and_had_no_effect() {
        let mut tale = Tale::on_kafka();
        asks(&mut tale, 0, "10", Answer::Done);
        let answered = asks(&mut tale, 1, "11", Answer::Done);
        works(&mut tale, "worker", job("10", ""));
        let crashed = tale.crashes("worker");
        let end = ends(&mut tale);
        assert_eq!(broken_at(&property(), &tale), Some(end));
        let told = "operation 1 (11) never took effect";
        assert_eq!(complaint(&property(), &tale), told);
        let verdict = property().check(&tale.history);
        let witness = verdict.witness().expect("broken");
        assert_eq!(witness.rule, "lost");
        let is_told = |index| witness.chain.contains(&index);
        assert!([answered - 1, answered, crashed].map(is_told) == [true; 3]);
    }

    #[test]
    fn rejects_an_effect_that_was_there_before_it_was_asked_for() {
        let mut tale = Tale::on_kafka();
        works(&mut tale, "worker", job("10", ""));
        asks(&mut tale, 0, "10", Answer::Done);
        let end = ends(&mut tale);
        assert_eq!(broken_at(&property(), &tale), Some(end));
    }

    #[test]
    fn is_vacuous_if_no_operation_that_owes_an_effect_was_done_or_had_one() {
        let mut tale = Tale::on_kafka();
        asks(&mut tale, 0, "10", Answer::Failed);
        asks(&mut tale, 1, "\"a question\"", Answer::Done);
        ends(&mut tale);
        assert_vacuous(&property(), &tale);
    }
}
