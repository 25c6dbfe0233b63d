//! The course of a run: chaos, then heal until quiet or until the liveness bound.

use std::sync::Arc;
use std::time::Duration;

use super::Deployment;
use crate::history::What;
use crate::nemesis::Nemesis;
use crate::plan::Plan;
use crate::run::Settings;

/// How long a fault that waits for a call is given before the run heals.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How often a healed system is looked at, in virtual time. Between looks the run goes from event to event.
const LOOK: Duration = Duration::from_millis(50);

pub(super) struct Course<'a> {
    pub(super) plan: &'a Plan,
    pub(super) settings: &'a Settings,
}

impl Course<'_> {
    /// Drives a deployment to its end, and records how it ends.
    pub(super) fn follow(&self, deployment: &mut Deployment<'_, '_>) {
        let harness: Arc<str> = "harness".into();
        let heal_at = Nemesis::end_of(self.plan, PATIENCE);
        loop {
            let until = heal_at.max(deployment.busy_until());
            if deployment.now() >= until {
                break;
            }
            deployment.go_on(until);
            if deployment.world.recorder.has_failed() {
                return;
            }
        }
        deployment.heal();
        deployment.world.recorder.record(&harness, What::HealBegan);
        let bound = deployment.now() + self.settings.liveness_bound;
        loop {
            deployment.go_on(deployment.now() + LOOK);
            let world = &deployment.world;
            if world.recorder.has_failed() {
                return;
            }
            if self.is_quiet(deployment) {
                let background = world.recorder.quiescence(|seen| seen.background());
                return world.recorder.record(&harness, What::Quiet { background });
            }
            if deployment.now() >= bound {
                let waiting_for = world
                    .recorder
                    .waiting_for(deployment.unanswered(), deployment.backlog());
                return world
                    .recorder
                    .record(&harness, What::LivenessBoundReached { waiting_for });
            }
        }
    }

    fn is_quiet(&self, deployment: &Deployment<'_, '_>) -> bool {
        deployment.world.recorder.owes_nothing(self.settings)
            && deployment.unanswered() == 0
            && deployment.backlog().is_none()
    }
}
