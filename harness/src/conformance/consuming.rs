//! What consumers are promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::trial::{SLACK, Trial, expect, of, when};
use crate::broker::{Capabilities, Profile};
use crate::history::What;
use crate::plan::Incident;
use crate::simple_broker::BrokerError;

const SECOND: Duration = Duration::from_secs(1);

/// Events of one key come in the order in which they were published.
pub(super) fn order(profile: &Profile, _: &Capabilities) -> Result<(), String> {
    let trial = Trial::new(profile, 3, SECOND * 4)
        .host("producer", |hand| async move {
            for key in ["a", "b", "c"] {
                hand.publish_all(key, 6).await;
            }
        })
        .host("consumer", |hand| async move {
            hand.work(Duration::ZERO).await;
        });
    let (notes, _) = trial.run()?;
    for key in ["a", "b", "c"] {
        let taken: Vec<&str> = of(&notes, "consumer");
        let taken: Vec<&str> = taken.into_iter().filter(|id| id.starts_with(key)).collect();
        let wanted: Vec<String> = (0..6).map(|number| format!("{key}-{number}")).collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        expect(&format!("events of {key}"), taken, wanted)?;
    }
    Ok(())
}

/// Two members of a group get everything once. Where partitions are assigned, each has some to itself, and a change of the
/// assignment can be forced; otherwise both get messages of one partition.
pub(super) fn sharing(profile: &Profile, declared: &Capabilities) -> Result<(), String> {
    let group = "workers".to_owned();
    // While one rests the other may have what comes next.
    let rest = Duration::from_millis(200);
    let trial = Trial::new(profile, 2, SECOND * 10)
        .fault(SECOND * 9, Incident::Rebalance { group })
        .host("producer", |hand| async move {
            tokio::time::sleep(SECOND).await;
            for key in ["a", "b", "c", "d"] {
                hand.publish_all(key, 4).await;
            }
        })
        .host("one", move |hand| async move { hand.work(rest).await })
        .host("other", move |hand| async move { hand.work(rest).await });
    let (notes, run) = trial.run()?;
    let mut all = of(&notes, "one");
    all.extend(of(&notes, "other"));
    let different: BTreeSet<&str> = all.iter().copied().collect();
    expect("deliveries", all.len(), 16)?;
    expect("different ones", different.len(), 16)?;
    let mut hosts: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
    for event in &run.history.events {
        if let What::Delivered { position, .. } = &event.what {
            hosts
                .entry(position.partition)
                .or_default()
                .insert(&event.host);
        }
    }
    let served: BTreeSet<&str> = hosts.values().flatten().copied().collect();
    expect("members that got anything", served.len(), 2)?;
    let most = hosts.values().map(BTreeSet::len).max();
    let wanted = if declared.assigns_partitions { 1 } else { 2 };
    expect("members that share a partition", most, Some(wanted))?;
    let forced = run.bitten.contains(&0);
    expect(
        "the assignment changes",
        forced,
        declared.assigns_partitions,
    )
}

/// How much a member can have in hand at once of so many messages of a partition.
fn in_hand(declared: &Capabilities, messages: usize) -> usize {
    let most = declared
        .unsettled_max
        .map_or(usize::MAX, |max| max as usize);
    most.min(messages)
}

/// A member acknowledges the last of what it has in hand, and dies: what comes again is all of the others, or none where
/// an acknowledgement settles what stands before it.
pub(super) fn settling(profile: &Profile, declared: &Capabilities) -> Result<(), String> {
    let count = in_hand(declared, 3);
    let crash = Incident::Crash {
        host: "first".to_owned(),
        down_ms: 600_000,
    };
    let lost = declared.session_timeout.max(declared.ack_wait);
    let lasts = SECOND * 2 + lost.unwrap_or_default() + SLACK;
    let trial = Trial::new(profile, 1, lasts)
        .fault(SECOND * 2, crash)
        .host("producer", |hand| async move {
            hand.publish_all("a", 4).await;
        })
        .host("first", move |hand| async move {
            let mut subscription = hand.subscribe().await;
            let mut held = Vec::new();
            for _ in 0..count {
                held.push(hand.take(&mut subscription).await);
            }
            if let Some(last) = held.pop() {
                hand.note(format!("settled: {}", last.ack().await.is_ok()));
            }
            std::future::pending().await
        })
        .host("second", |hand| async move {
            tokio::time::sleep(SECOND * 2).await;
            hand.work(Duration::ZERO).await;
        });
    let (notes, _) = trial.run()?;
    let ids = ["a-0", "a-1", "a-2", "a-3"];
    let mut had = ids[..count].to_vec();
    had.push("settled: true");
    expect("before the crash", of(&notes, "first"), had)?;
    let settled = count - 1;
    let mut wanted = ids[count..].to_vec();
    if !declared.settles_cumulatively {
        wanted.extend(&ids[..settled]);
    }
    wanted.sort();
    let mut seen = of(&notes, "second");
    seen.sort();
    expect("afterwards", seen, wanted)
}

/// A member that cannot reach the broker settles: it hears of that, or it does not.
pub(super) fn answering(profile: &Profile, declared: &Capabilities) -> Result<(), String> {
    let parted = Incident::Partition {
        a: "consumer".to_owned(),
        b: "broker".to_owned(),
        for_ms: 3_000,
    };
    let trial = Trial::new(profile, 1, SECOND * 5)
        .fault(SECOND, parted)
        .host("producer", |hand| async move {
            hand.publish_all("a", 1).await;
        })
        .host("consumer", |hand| async move {
            let mut subscription = hand.subscribe().await;
            let delivery = hand.take(&mut subscription).await;
            tokio::time::sleep(SECOND + SECOND / 2).await;
            let settled = delivery.ack().await;
            hand.note(match settled {
                Err(BrokerError::Unavailable(_)) => "unanswered",
                Err(BrokerError::Fenced(_)) => "fenced",
                Ok(()) => "sent",
            });
        });
    let (notes, _) = trial.run()?;
    let told = match declared.answers_settlements {
        true => "unanswered",
        false => "sent",
    };
    expect("settling", of(&notes, "consumer"), vec!["a-0", told])
}

/// A message that is wanted again later comes then, before what stands after it.
pub(super) fn retrying(profile: &Profile, _: &Capabilities) -> Result<(), String> {
    const DELAY: Duration = Duration::from_millis(700);
    let trial = Trial::new(profile, 1, SECOND * 5)
        .host("producer", |hand| async move {
            hand.publish_all("a", 1).await;
        })
        .host("consumer", |hand| async move {
            let mut subscription = hand.subscribe().await;
            let delivery = hand.take(&mut subscription).await;
            hand.note("retry");
            let _asked = delivery.retry(DELAY).await;
            let delivery = hand.take(&mut subscription).await;
            let _settled = delivery.ack().await;
            hand.work(Duration::ZERO).await;
        });
    let (notes, _) = trial.run()?;
    let seen = of(&notes, "consumer");
    expect("taken", seen, vec!["a-0", "retry", "a-0"])?;
    let asked = when(&notes, "consumer", "retry", 0).unwrap_or_default();
    let again = when(&notes, "consumer", "a-0", 1).unwrap_or_default();
    let later = again.saturating_sub(asked);
    let in_time = (DELAY..DELAY + SLACK).contains(&later);
    expect(&format!("after {later:?}, for {DELAY:?}"), in_time, true)
}

/// A member settles nothing: it is handed as much as is declared.
pub(super) fn unsettled_max(profile: &Profile, declared: &Capabilities) -> Result<(), String> {
    const MESSAGES: usize = 12;
    // Less than any lease or session that is worth its name.
    let trial = Trial::new(profile, 1, Duration::from_millis(2_500))
        .host("producer", |hand| async move {
            hand.publish_all("a", MESSAGES).await;
        })
        .host("consumer", |hand| async move {
            let mut subscription = hand.subscribe().await;
            let mut held = Vec::new();
            loop {
                held.push(hand.take(&mut subscription).await);
            }
        });
    let (notes, _) = trial.run()?;
    let different: BTreeSet<&str> = of(&notes, "consumer").into_iter().collect();
    let wanted = in_hand(declared, MESSAGES);
    expect("in hand", different.len(), wanted)
}

/// A member that lives holds a message for long: it comes again when its time is over, or never.
pub(super) fn ack_wait(profile: &Profile, declared: &Capabilities) -> Result<(), String> {
    let longest = declared.session_timeout.max(declared.ack_wait);
    let lasts = longest.unwrap_or(SECOND * 3) * 2 + SLACK;
    let trial = Trial::new(profile, 1, lasts)
        .host("producer", |hand| async move {
            hand.publish_all("a", 1).await;
        })
        .host("consumer", |hand| async move {
            let mut subscription = hand.subscribe().await;
            let _held = hand.take(&mut subscription).await;
            let again = hand.take(&mut subscription).await;
            let _settled = again.ack().await;
        });
    let (notes, _) = trial.run()?;
    let first = when(&notes, "consumer", "a-0", 0);
    let first = first.ok_or("it never came")?;
    let later = when(&notes, "consumer", "a-0", 1).map(|again| again.saturating_sub(first));
    let is_right = match (declared.ack_wait, later) {
        (None, None) => true,
        // What was noted first is what was leased a little earlier.
        (Some(wait), Some(later)) => {
            (wait.saturating_sub(SECOND / 4)..wait + SLACK).contains(&later)
        }
        (None, Some(_)) | (Some(_), None) => false,
    };
    let what = format!("again after {later:?}, with {:?}", declared.ack_wait);
    expect(&what, is_right, true)
}

/// A member that stands still for long acknowledges afterwards: it is refused where silence ends a membership, and counts
/// otherwise.
pub(super) fn session_timeout(profile: &Profile, declared: &Capabilities) -> Result<(), String> {
    let silence = declared.session_timeout.unwrap_or(SECOND * 3) + SLACK;
    let pause = Incident::Pause {
        host: "silent".to_owned(),
        for_ms: silence.as_millis() as u64,
    };
    let trial = Trial::new(profile, 1, SECOND + silence + SLACK)
        .fault(SECOND, pause)
        .host("producer", |hand| async move {
            hand.publish_all("a", 1).await;
        })
        .host("silent", |hand| async move {
            let mut subscription = hand.subscribe().await;
            let delivery = hand.take(&mut subscription).await;
            tokio::time::sleep(SECOND + SECOND / 2).await;
            let settled = delivery.ack().await;
            hand.note(match settled {
                Err(BrokerError::Fenced(_)) => "fenced",
                Err(BrokerError::Unavailable(_)) => "unanswered",
                Ok(()) => "settled",
            });
            std::future::pending().await
        });
    let (notes, _) = trial.run()?;
    let told = match declared.session_timeout {
        Some(_) => "fenced",
        None => "settled",
    };
    expect("settling", of(&notes, "silent"), vec!["a-0", told])
}
