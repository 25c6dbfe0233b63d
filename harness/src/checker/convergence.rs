//! `convergence`: once all faults are lifted the system comes to rest within the bound.
//!
//! That replicas of a fact agree is known only to the system under test; its own properties say so.

use super::{Property, PropertyKind, Verdict, Witness};
use crate::history::{History, What};

/// After healing the system is quiet before the liveness bound, and every group has settled all that
/// it was to consume by then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Convergence;

impl Property for Convergence {
    fn id(&self) -> &str {
        "convergence"
    }

    fn promise(&self) -> &str {
        "after healing the system comes to rest within the liveness bound"
    }

    fn kind(&self) -> PropertyKind {
        PropertyKind::Liveness
    }

    fn check(&self, history: &History) -> Verdict {
        let mut milestones = Milestones::default();
        for event in &history.events {
            milestones.pass(event.index, &event.what);
        }
        if let Some((index, waiting_for)) = milestones.bound {
            let summary = format!("not quiet at the liveness bound: {waiting_for}");
            return Verdict::Broken(milestones.witness("not-quiet", index, summary));
        }
        if let Some((index, backlog)) = milestones.backlog() {
            return Verdict::Broken(milestones.witness("unsettled", index, backlog));
        }
        if milestones.last_commit.is_none() && milestones.last_publish.is_none() {
            return Verdict::Vacuous("nothing was committed and nothing published".to_owned());
        }
        match (milestones.quiet, history.events.last()) {
            (None, Some(last)) => {
                let summary = "the run ended before the system came to rest".to_owned();
                Verdict::Broken(milestones.witness("ended-early", last.index, summary))
            }
            _ => Verdict::Holds,
        }
    }
}

/// The last of everything that shows movement.
#[derive(Default)]
struct Milestones<'h> {
    healed: Option<u64>,
    quiet: Option<u64>,
    bound: Option<(u64, &'h str)>,
    /// The first partition that a group had not settled when the system was quiet: group, topic,
    /// number and how many messages.
    unsettled: Option<(u64, &'h str, &'h str, u32, usize)>,
    last_commit: Option<u64>,
    last_publish: Option<u64>,
    last_delivery: Option<u64>,
    last_settlement: Option<u64>,
}

impl<'h> Milestones<'h> {
    fn pass(&mut self, index: u64, what: &'h What) {
        match what {
            What::HealBegan => self.healed = Some(index),
            What::Quiet { .. } => self.quiet = Some(index),
            What::LivenessBoundReached { waiting_for } => self.bound = Some((index, waiting_for)),
            What::Committed { .. } | What::Observed { .. } => self.last_commit = Some(index),
            What::Published { .. } => self.last_publish = Some(index),
            What::Delivered { .. } => self.last_delivery = Some(index),
            What::Settled { .. } => self.last_settlement = Some(index),
            What::FinalGroup {
                group,
                topic,
                partition,
                unsettled,
            } if self.quiet.is_some() && !unsettled.is_empty() => {
                let left = (index, &**group, &**topic, *partition, unsettled.len());
                self.unsettled.get_or_insert(left);
            }
            _ => {}
        }
    }

    /// What a group had left when the system was quiet, and where that was seen.
    fn backlog(&self) -> Option<(u64, String)> {
        let (index, group, topic, partition, count) = self.unsettled?;
        let summary = format!(
            "quiet, although {group} has not settled {count} of the messages in {topic}/{partition}"
        );
        Some((index, summary))
    }

    /// The story of a system that does not come to rest: its last movements.
    fn witness(&self, rule: &str, index: u64, summary: String) -> Witness {
        let movements = [
            self.healed,
            self.last_commit,
            self.last_publish,
            self.last_delivery,
            self.last_settlement,
            Some(index),
        ];
        let mut chain: Vec<u64> = movements.into_iter().flatten().collect();
        chain.sort_unstable();
        chain.dedup();
        Witness {
            rule: rule.to_owned(),
            summary,
            index,
            inevitable_from: None,
            chain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Convergence;
    use crate::checker::test_history::{Tale, assert_holds, assert_vacuous, broken_at, complaint};
    use crate::history::What;

    fn comes_to_rest(tale: &mut Tale) {
        let background = Vec::new();
        tale.happens("harness", What::Quiet { background });
    }

    #[test]
    fn accepts_a_system_that_comes_to_rest() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        tale.happens("harness", What::HealBegan);
        comes_to_rest(&mut tale);
        assert_holds(&Convergence, &tale);
    }

    #[test]
    fn rejects_the_liveness_bound() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        let waiting_for = "1 committed but not published".to_owned();
        let reached = tale.happens("harness", What::LivenessBoundReached { waiting_for });
        tale.publishes("e1", "order-1");
        assert_eq!(broken_at(&Convergence, &tale), Some(reached));
        assert!(complaint(&Convergence, &tale).ends_with("1 committed but not published"));
    }

    fn ends_with(tale: &mut Tale, unsettled: Vec<u64>) -> u64 {
        let (group, topic) = ("billing".into(), "orders".into());
        tale.happens(
            "broker",
            What::FinalGroup {
                group,
                topic,
                partition: 0,
                unsettled,
            },
        )
    }

    #[test]
    fn accepts_groups_that_settled_everything() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        comes_to_rest(&mut tale);
        ends_with(&mut tale, Vec::new());
        assert_holds(&Convergence, &tale);
    }

    #[test]
    fn rejects_a_rest_in_which_a_group_has_messages_left() {
        let mut tale = Tale::on_kafka();
        tale.brings("e1", "order-1");
        comes_to_rest(&mut tale);
        let left = ends_with(&mut tale, vec![0]);
        assert_eq!(broken_at(&Convergence, &tale), Some(left));
    }

    #[test]
    fn rejects_a_run_that_broke_off() {
        let mut tale = Tale::on_kafka();
        tale.commits("e1", "order-1");
        let last = tale.publishes("e1", "order-1");
        assert_eq!(broken_at(&Convergence, &tale), Some(last));
    }

    #[test]
    fn is_vacuous_if_nothing_moved() {
        let mut tale = Tale::on_kafka();
        comes_to_rest(&mut tale);
        assert_vacuous(&Convergence, &tale);
    }
}
