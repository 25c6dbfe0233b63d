//! What outlives members and the broker.

use std::time::Duration;

use super::trial::{SLACK, Trial, expect, of, when};
use crate::broker::{Capabilities, Profile};
use crate::plan::Incident;

const SECOND: Duration = Duration::from_secs(1);
/// When the first member dies.
const DEATH: Duration = Duration::from_secs(1);

/// After what time what a dead member had in hand is another's, at the latest.
fn recovery(declared: &Capabilities) -> Duration {
    let lost = declared.session_timeout.max(declared.ack_wait);
    lost.unwrap_or_default() + SLACK
}

/// A member takes a message, and dies before it settles it. Another gets the message.
pub(super) fn dead_member(profile: &Profile, declared: &Capabilities) -> Result<(), String> {
    let until = DEATH + recovery(declared);
    let crash = Incident::Crash {
        host: "mortal".to_owned(),
        down_ms: 600_000,
    };
    let trial = Trial::new(profile, 1, until + SECOND)
        .fault(DEATH, crash)
        .host("producer", |hand| async move {
            hand.publish_all("a", 1).await;
        })
        .host("mortal", |hand| async move {
            let mut subscription = hand.subscribe().await;
            let _unsettled = hand.take(&mut subscription).await;
            std::future::pending().await
        })
        .host("heir", |hand| async move {
            tokio::time::sleep(DEATH + SECOND / 2).await;
            hand.work(Duration::ZERO).await;
        });
    let (notes, _) = trial.run()?;
    expect("before its death", of(&notes, "mortal"), vec!["a-0"])?;
    let again = when(&notes, "heir", "a-0", 0);
    let in_time = again.is_some_and(|at| at <= until);
    expect(&format!("again by {until:?} ({again:?})"), in_time, true)
}

/// The broker dies when three of five messages are settled: the other two come afterwards, and nothing else does.
pub(super) fn crash(profile: &Profile, declared: &Capabilities) -> Result<(), String> {
    let lasts = SECOND * 3 + recovery(declared);
    let trial = Trial::new(profile, 1, lasts)
        .fault(SECOND * 2, Incident::BrokerOutage { for_ms: 500 })
        .host("producer", |hand| async move {
            hand.publish_all("a", 5).await;
        })
        .host("consumer", |hand| async move {
            let mut subscription = hand.subscribe().await;
            for _ in 0..3 {
                let delivery = hand.take(&mut subscription).await;
                let settled = delivery.ack().await;
                hand.note(format!("settled: {}", settled.is_ok()));
            }
            drop(subscription);
            tokio::time::sleep(SECOND * 3).await;
            hand.note("later");
            hand.work(Duration::ZERO).await;
        });
    let (notes, _) = trial.run()?;
    let (ok, seen) = ("settled: true", of(&notes, "consumer"));
    let wanted = vec!["a-0", ok, "a-1", ok, "a-2", ok, "later", "a-3", "a-4"];
    expect("taken", seen, wanted)
}
