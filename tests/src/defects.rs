//! Planted defects: the reference system with one small step done as teams really get it wrong.
//!
//! Each defect is another implementation behind a trait that the reference system has anyway, or of
//! one of its processes, so that the correct code holds no switch. What a defect does to a run is for the tests to show.

mod ack_before_commit;
mod alert_in_memory;
mod answer_before_commit;
mod breaker_never_half_opens;
mod by_hand;
mod cause_of_the_retry;
mod check_then_act;
mod clear_outbox_on_start;
mod commit_max_offset;
mod compensation_twice;
mod correlation_regenerated;
mod crashed_claim_never_freed;
mod cursor_over_sequence;
mod decode_error_at_debug;
mod dedup_before_effect;
mod dedup_in_memory;
mod default_for_missing_field;
mod drop_after_retries;
mod external_call_before_dedup;
mod flush_ignores_failure;
mod gap_timeout;
mod key_apart;
mod lag_from_commits_only;
mod latest_only;
mod mail_before_commit;
mod mark_before_ack;
mod new_mail_key;
mod no_compensation;
mod no_dedup;
mod no_version_guard;
mod outbox;
mod oversell;
mod parallel_publish;
mod poison_row_blocks_relay;
mod poison_row_skipped;
mod prefetch_blame;
mod publish_before_commit;
mod random_partition_key;
mod replay_new_id;
mod replay_same_broker_id;
mod retry_burn;
mod swallow_parking_error;
mod swallow_publish_error;
mod systems;
mod third_parties;
mod timeout_in_memory;
mod timeout_taken_for_decline;
mod timeout_taken_for_payment;
mod timeout_without_refund;
mod traceparent_regenerated;
mod two_relays_skip_locked;
mod unknown_version_at_debug;
mod zombie_consumer;

use std::sync::Arc;

use reference_system::Settings;
use reference_system::publishing::{Direct, Outbox};
use scenarios::catalogue::{Incident, PROGRESS, under_test};
use scenarios::deploy::{Extent, Saga, ShopBroker, breaker};
use scenarios::{Deployment, OneTrace, deploy};
use stormglass::System;
use stormglass::checker::Progress;
use stormglass::plan::FaultKind;

use ack_before_commit::AckBeforeCommit;
use alert_in_memory::AlertInMemory;
use answer_before_commit::AnswerBeforeCommit;
use breaker_never_half_opens::BreakerNeverHalfOpens;
use by_hand::ByHand;
use cause_of_the_retry::CauseOfTheRetry;
use check_then_act::CheckThenAct;
use clear_outbox_on_start::ClearOutboxOnStart;
use commit_max_offset::CommitMaxOffset;
use compensation_twice::CompensationTwice;
use correlation_regenerated::CorrelationRegenerated;
use crashed_claim_never_freed::ClaimFirst;
use cursor_over_sequence::CursorOverSequence;
use decode_error_at_debug::DecodeErrorAtDebug;
use dedup_before_effect::DedupBeforeEffect;
use dedup_in_memory::DedupInMemory;
use default_for_missing_field::DefaultForMissingField;
use drop_after_retries::DropAfterRetries;
use external_call_before_dedup::ExternalCallBeforeDedup;
use flush_ignores_failure::FlushIgnoresFailure;
use gap_timeout::GapTimeout;
use key_apart::KeyApart;
use lag_from_commits_only::LagFromCommitsOnly;
use latest_only::LatestOnly;
use mail_before_commit::MailBeforeCommit;
use mark_before_ack::MarkBeforeAck;
use new_mail_key::NewMailKey;
use no_compensation::NoCompensation;
use no_dedup::NoDedup;
use no_version_guard::NoVersionGuard;
use oversell::Oversell;
use parallel_publish::ParallelPublish;
use poison_row_blocks_relay::PoisonRowBlocksRelay;
use poison_row_skipped::PoisonRowSkipped;
use prefetch_blame::PrefetchBlame;
use publish_before_commit::PublishBeforeCommit;
use random_partition_key::ByEventId;
use replay_new_id::ReplayNewId;
use replay_same_broker_id::ReplaySameBrokerId;
use retry_burn::RetryBurn;
use swallow_parking_error::SwallowParkingError;
use swallow_publish_error::SwallowPublishError;
pub use systems::overlapping;
use systems::{PRODUCER_FIRST, THIRD_VERSION, judged, replayed, rolled_out};
use timeout_in_memory::TimeoutInMemory;
use timeout_taken_for_decline::TimeoutTakenForDecline;
use timeout_taken_for_payment::TimeoutTakenForPayment;
use timeout_without_refund::TimeoutWithoutRefund;
use traceparent_regenerated::TraceparentRegenerated;
use two_relays_skip_locked::TwoRelaysSkipLocked;
use unknown_version_at_debug::UnknownVersionAtDebug;
use zombie_consumer::ZombieConsumer;

/// A mistake, the kinds of fault that expose it, and the property that it breaks.
#[derive(Clone, Copy, Debug)]
pub struct Defect {
    /// Its name.
    pub id: &'static str,
    /// The kinds of fault that expose it; none if it needs no fault.
    pub exposed_by: &'static [FaultKind],
    /// The property that it breaks; others may break too.
    pub breaks: &'static str,
    plant: fn(&str) -> System,
}

impl Defect {
    /// The defect of this name.
    pub fn find(id: &str) -> Option<&'static Defect> {
        DEFECTS.iter().find(|defect| defect.id == id)
    }

    /// The reference system with the defect, judged by every property.
    pub fn system(&self) -> System {
        (self.plant)(&format!("defect {}", self.id)).faults(self.exposed_by)
    }
}

/// Every defect.
pub const DEFECTS: &[Defect] = &[
    Defect {
        id: "no-dedup",
        exposed_by: &[FaultKind::Duplicate],
        breaks: "effect-once",
        plant: |name| judged(Deployment::new(name).inbox(NoDedup)),
    },
    Defect {
        id: "random-partition-key",
        exposed_by: &[FaultKind::Reorder, FaultKind::Latency, FaultKind::Pause],
        breaks: "entity-order",
        // With several instances of the consumers it shows without any fault.
        plant: |name| {
            let consumers = ["order", "inventory", "shipping", "notification"];
            let system =
                judged(Deployment::new(name).publishing(|_| Arc::new(Outbox::keyed_by(ByEventId))));
            consumers
                .iter()
                .fold(system, |system, own| system.instances(own, 1..=1))
        },
    },
    Defect {
        id: "no-version-guard",
        exposed_by: &[FaultKind::Pause],
        breaks: "entity-order",
        plant: |name| {
            let deployment = Deployment::new(name).processes(NoVersionGuard);
            judged(deployment.extent(Extent::WithNeighbours)).strike(&["search"])
        },
    },
    Defect {
        id: "publish-after-commit",
        exposed_by: &[FaultKind::Crash, FaultKind::BrokerOutage],
        breaks: "no-lost-event",
        plant: |name| {
            judged(Deployment::new(name).publishing(|broker| Arc::new(Direct::new(broker))))
        },
    },
    Defect {
        id: "publish-before-commit",
        exposed_by: &[FaultKind::Crash, FaultKind::CommitLost],
        breaks: "no-ghost-event",
        plant: |name| {
            judged(
                Deployment::new(name)
                    .publishing(|broker| Arc::new(PublishBeforeCommit::new(broker))),
            )
        },
    },
    Defect {
        id: "mark-before-ack",
        exposed_by: &[
            FaultKind::Crash,
            FaultKind::LoseAck,
            FaultKind::BrokerOutage,
        ],
        breaks: "no-lost-event",
        plant: |name| judged(Deployment::new(name).hand_off(MarkBeforeAck)),
    },
    Defect {
        id: "cursor-over-sequence",
        exposed_by: &[FaultKind::Latency],
        breaks: "no-lost-event",
        plant: |name| overlapping(Deployment::new(name).processes(CursorOverSequence)),
    },
    Defect {
        id: "gap-timeout",
        exposed_by: &[FaultKind::Latency],
        breaks: "no-lost-event",
        plant: |name| overlapping(Deployment::new(name).processes(GapTimeout)),
    },
    Defect {
        id: "swallow-publish-error",
        exposed_by: &[FaultKind::BrokerOutage, FaultKind::CapacityLimit],
        breaks: "no-lost-event",
        plant: |name| judged(Deployment::new(name).hand_off(SwallowPublishError)),
    },
    Defect {
        id: "drop-after-retries",
        exposed_by: &[FaultKind::Poison],
        breaks: "dlq-routing",
        plant: |name| judged(Deployment::new(name).give_up(DropAfterRetries)),
    },
    Defect {
        id: "dlq-publish-error-swallowed",
        exposed_by: &[FaultKind::Poison, FaultKind::CapacityLimit],
        breaks: "dlq-routing",
        plant: |name| judged(Deployment::new(name).give_up(SwallowParkingError)),
    },
    Defect {
        id: "dedup-in-memory",
        exposed_by: &[FaultKind::Crash],
        breaks: "effect-once",
        plant: |name| judged(Deployment::new(name).processes(DedupInMemory)),
    },
    Defect {
        id: "dedup-before-effect",
        exposed_by: &[
            FaultKind::Crash,
            FaultKind::StatementError,
            FaultKind::CommitLost,
        ],
        breaks: "no-lost-event",
        plant: |name| judged(Deployment::new(name).processes(ByHand(DedupBeforeEffect))),
    },
    Defect {
        id: "check-then-act",
        exposed_by: &[
            FaultKind::Crash,
            FaultKind::StatementError,
            FaultKind::CommitLost,
        ],
        breaks: "effect-once",
        plant: |name| judged(Deployment::new(name).processes(ByHand(CheckThenAct))),
    },
    Defect {
        id: "ack-before-commit",
        exposed_by: &[FaultKind::Crash],
        breaks: "no-lost-event",
        plant: |name| judged(Deployment::new(name).processes(ByHand(AckBeforeCommit))),
    },
    Defect {
        id: "retry-burn",
        exposed_by: &[FaultKind::ExternalOutage, FaultKind::StatementError],
        breaks: "dlq-routing",
        plant: |name| judged(Deployment::new(name).processes(RetryBurn)),
    },
    Defect {
        id: "correlation-regenerated",
        exposed_by: &[
            FaultKind::StatementError,
            FaultKind::CommitLost,
            FaultKind::ExternalOutage,
        ],
        breaks: "causality",
        plant: |name| judged(Deployment::new(name).processes(ByHand(CorrelationRegenerated))),
    },
    Defect {
        id: "traceparent-regenerated",
        exposed_by: &[
            FaultKind::StatementError,
            FaultKind::CommitLost,
            FaultKind::ExternalOutage,
        ],
        breaks: "one-trace",
        plant: |name| {
            let deployment = Deployment::new(name).traced();
            judged(deployment.processes(TraceparentRegenerated)).property(OneTrace)
        },
    },
    Defect {
        id: "cause-of-the-retry",
        // A capacity limit would have to end between the two tries.
        exposed_by: &[FaultKind::LoseAck],
        breaks: "causality",
        plant: |name| judged(Deployment::new(name).hand_off(CauseOfTheRetry)),
    },
    Defect {
        id: "external-call-before-dedup",
        exposed_by: &[FaultKind::Duplicate, FaultKind::Crash],
        breaks: "money-and-stock",
        plant: |name| judged(Deployment::new(name).processes(ExternalCallBeforeDedup)),
    },
    Defect {
        id: "no-compensation",
        exposed_by: &[FaultKind::StatementError, FaultKind::Locked],
        breaks: "money-and-stock",
        plant: |name| {
            judged(Deployment::new(name).processes(ByHand(NoCompensation))).strike(&["inventory"])
        },
    },
    Defect {
        id: "compensation-twice",
        exposed_by: &[FaultKind::Duplicate, FaultKind::Rebalance],
        breaks: "money-and-stock",
        plant: |name| {
            judged(Deployment::new(name).processes(CompensationTwice)).strike(&["inventory"])
        },
    },
    Defect {
        id: "flush-ignores-failure",
        exposed_by: &[FaultKind::CapacityLimit, FaultKind::BrokerOutage],
        breaks: "no-lost-event",
        plant: |name| judged(Deployment::new(name).processes(FlushIgnoresFailure)),
    },
    Defect {
        id: "clear-outbox-on-start",
        exposed_by: &[FaultKind::Crash],
        breaks: "no-lost-event",
        plant: |name| {
            judged(Deployment::new(name).processes(ClearOutboxOnStart)).strike(&["relay"])
        },
    },
    Defect {
        id: "crashed-claim-never-freed",
        exposed_by: &[FaultKind::Crash],
        breaks: "no-lost-event",
        plant: |name| judged(Deployment::new(name).hand_off(ClaimFirst)).strike(&["relay"]),
    },
    Defect {
        id: "decode-error-at-debug",
        exposed_by: &[FaultKind::Poison],
        breaks: "dlq-routing",
        plant: |name| judged(Deployment::new(name).processes(DecodeErrorAtDebug)),
    },
    Defect {
        id: "commit-max-offset",
        exposed_by: &[FaultKind::Crash, FaultKind::Slow],
        breaks: "no-lost-event",
        plant: |name| {
            judged(Deployment::new(name).processes(CommitMaxOffset)).strike(&["notification"])
        },
    },
    Defect {
        id: "zombie-consumer",
        exposed_by: &[FaultKind::Pause],
        breaks: "effect-once",
        plant: |name| {
            judged(Deployment::new(name).processes(ZombieConsumer))
                .instances("payment", 2..=2)
                .strike(&["payment"])
        },
    },
    Defect {
        id: "prefetch-blame",
        exposed_by: &[FaultKind::Crash],
        breaks: "dlq-routing",
        plant: |name| {
            let settings = Settings {
                attempts_max: 1,
                ..Settings::default()
            };
            judged(
                Deployment::new(name)
                    .processes(PrefetchBlame)
                    .settings(settings),
            )
        },
    },
    Defect {
        id: "new-mail-key",
        exposed_by: &[FaultKind::ExternalAnswerLost, FaultKind::Crash],
        breaks: "mail-and-charge",
        plant: |name| judged(Deployment::new(name).processes(NewMailKey)),
    },
    Defect {
        id: "mail-before-commit",
        exposed_by: &[FaultKind::Crash, FaultKind::CommitLost],
        breaks: "mail-and-charge",
        plant: |name| {
            judged(Deployment::new(name).processes(MailBeforeCommit)).strike(&["gateway"])
        },
    },
    Defect {
        id: "answer-before-commit",
        exposed_by: &[FaultKind::Crash, FaultKind::CommitLost],
        breaks: "answered-stays",
        plant: |name| {
            judged(Deployment::new(name).processes(AnswerBeforeCommit)).strike(&["gateway"])
        },
    },
    Defect {
        id: "key-apart",
        // Two requests under one key that meet on their way are enough.
        exposed_by: &[],
        breaks: "answered-stays",
        plant: |name| judged(Deployment::new(name).processes(KeyApart)).strike(&["gateway"]),
    },
    Defect {
        id: "oversell",
        // Two instances that sell one article at the same moment are enough.
        exposed_by: &[],
        breaks: "money-and-stock",
        plant: |name| {
            judged(Deployment::new(name).processes(Oversell)).instances("inventory", 2..=2)
        },
    },
    Defect {
        id: "two-relays-skip-locked",
        // Two relays that publish two rows of one order at once need no fault to overtake one another.
        exposed_by: &[],
        breaks: "entity-order",
        plant: |name| {
            judged(Deployment::new(name).processes(TwoRelaysSkipLocked))
                .instances("relay", 2..=2)
                .strike(&["relay"])
        },
    },
    Defect {
        id: "poison-row-skipped",
        exposed_by: &[FaultKind::CapacityLimit, FaultKind::BrokerOutage],
        breaks: "entity-order",
        plant: |name| judged(Deployment::new(name).processes(PoisonRowSkipped)),
    },
    Defect {
        id: "parallel-publish",
        // The first row of a page has to fail and the second not to.
        exposed_by: &[FaultKind::BrokerOutage],
        breaks: "entity-order",
        plant: |name| judged(Deployment::new(name).processes(ParallelPublish)),
    },
    Defect {
        id: "poison-row-blocks-relay",
        exposed_by: &[FaultKind::TooLarge],
        breaks: "progress",
        plant: |name| {
            judged(Deployment::new(name).processes(PoisonRowBlocksRelay))
                .property(Progress::within(PROGRESS))
                .instances("relay", 1..=1)
                .strike(&["relay"])
        },
    },
    Defect {
        id: "breaker-never-half-opens",
        exposed_by: &[FaultKind::BrokerOutage, FaultKind::CapacityLimit],
        breaks: "breaker",
        plant: |name| {
            judged(Deployment::new(name).processes(BreakerNeverHalfOpens))
                .property(breaker(ShopBroker::Simulated))
        },
    },
    Defect {
        id: "timeout-taken-for-decline",
        exposed_by: &[FaultKind::ExternalAnswerLate, FaultKind::ExternalAnswerLost],
        breaks: "money-and-stock",
        plant: |name| judged(Deployment::new(name).processes(TimeoutTakenForDecline)),
    },
    Defect {
        id: "timeout-taken-for-payment",
        exposed_by: &[FaultKind::ExternalRefusal],
        breaks: "mail-and-charge",
        plant: |name| judged(Deployment::new(name).processes(TimeoutTakenForPayment)),
    },
    Defect {
        id: "timeout-without-refund",
        exposed_by: &[FaultKind::Pause, FaultKind::ExternalOutage],
        breaks: "money-and-stock",
        plant: |name| {
            let deployment = Deployment::new(name).saga(Saga::Choreographed);
            judged(deployment.processes(TimeoutWithoutRefund)).strike(&["payment"])
        },
    },
    Defect {
        id: "timeout-in-memory",
        // The step has to stay without an answer, and the process that waits for it to die.
        exposed_by: &[FaultKind::GroupPoison, FaultKind::Crash],
        breaks: "convergence",
        plant: |name| {
            let deployment = Deployment::new(name).saga(Saga::Choreographed);
            judged(deployment.processes(TimeoutInMemory))
                .instances("order", 1..=1)
                .strike(&["order", "payment", "inventory"])
                .provoke(&[FaultKind::GroupPoison, FaultKind::Crash])
        },
    },
    Defect {
        id: "replay-same-broker-id",
        exposed_by: &[FaultKind::Poison, FaultKind::GroupPoison],
        breaks: "dlq-replay",
        plant: |name| replayed(Deployment::new(name).hand_off(ReplaySameBrokerId)),
    },
    Defect {
        id: "replay-new-id",
        exposed_by: &[FaultKind::Poison, FaultKind::GroupPoison],
        // What takes effect again is another event by its id, and one that nobody has committed.
        breaks: "no-ghost-event",
        plant: |name| replayed(Deployment::new(name).hand_off(ReplayNewId)),
    },
    Defect {
        id: "alert-in-memory",
        exposed_by: &[FaultKind::Crash, FaultKind::Restart],
        breaks: "dlq-alert-truth",
        plant: |name| {
            let flood = Incident::DlqFlood;
            let deployment = flood
                .deployed(Deployment::new(name))
                .processes(AlertInMemory);
            flood
                .judged(under_test(deploy(deployment)))
                .instances("monitor", 1..=1)
                .strike(&["monitor"])
        },
    },
    Defect {
        id: "lag-from-commits-only",
        // A group that nobody has started is enough.
        exposed_by: &[],
        breaks: "lag-truth",
        plant: |name| {
            let lagging = Incident::LaggingConsumer;
            let deployment = lagging
                .deployed(Deployment::new(name))
                .processes(LagFromCommitsOnly);
            lagging.judged(under_test(deploy(deployment)))
        },
    },
    Defect {
        id: "unknown-version-at-debug",
        exposed_by: &[FaultKind::Restart, FaultKind::Crash],
        breaks: "schema",
        plant: |name| {
            let deployment = Deployment::new(name).processes(ByHand(UnknownVersionAtDebug));
            rolled_out(deployment, &PRODUCER_FIRST)
        },
    },
    Defect {
        id: "default-for-missing-field",
        exposed_by: &[FaultKind::Restart, FaultKind::Crash],
        breaks: "schema",
        plant: |name| {
            let deployment = Deployment::new(name).processes(DefaultForMissingField);
            rolled_out(deployment, &PRODUCER_FIRST)
        },
    },
    Defect {
        id: "transitive-checks-latest-only",
        exposed_by: &[FaultKind::Restart, FaultKind::Crash],
        breaks: "schema",
        plant: |name| {
            let deployment = Deployment::new(name).registry_scope(LatestOnly);
            rolled_out(deployment, &THIRD_VERSION)
        },
    },
];
