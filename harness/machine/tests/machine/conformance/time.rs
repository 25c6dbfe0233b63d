//! Time, as tokio and the standard library tell it.

use std::time::{Duration, Instant, SystemTime};

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{Seen, same_on_both, same_on_both_async};

#[test]
fn tasks_wake_in_the_order_of_their_times() {
    same_on_both_async(|seen: Seen| async move {
        let tasks: Vec<_> = [40_u64, 10, 30, 20]
            .into_iter()
            .map(|ms| {
                let seen = seen.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_millis(ms)).await;
                    seen.note(ms);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn at_least_as_much_time_passes_as_was_asked_for() {
    same_on_both(|seen| {
        let (began, told) = (Instant::now(), SystemTime::now());
        std::thread::sleep(Duration::from_millis(15));
        seen.note(began.elapsed() >= Duration::from_millis(15));
        seen.note(told.elapsed().unwrap() >= Duration::from_millis(14));
        seen.note(began.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn an_interval_that_was_late_makes_up_or_skips() {
    same_on_both_async(|seen: Seen| async move {
        let mut ticks = interval(Duration::from_millis(20));
        let mut skipping = interval(Duration::from_millis(20));
        skipping.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let first = ticks.tick().await;
        let first_skipping = skipping.tick().await;
        sleep(Duration::from_millis(70)).await;
        let made_up = [ticks.tick().await, ticks.tick().await, ticks.tick().await];
        seen.note(made_up.map(|own| own.duration_since(first).as_millis()));
        let late = skipping.tick().await;
        let next = skipping.tick().await;
        seen.note(late.duration_since(first_skipping).as_millis() >= 60);
        seen.note(next > late);
    });
}

#[test]
fn a_timeout_is_over_or_not() {
    same_on_both_async(|seen: Seen| async move {
        let slow = timeout(Duration::from_millis(10), sleep(Duration::from_secs(5)));
        seen.note(slow.await.is_err());
        let quick = timeout(Duration::from_secs(5), sleep(Duration::from_millis(10)));
        seen.note(quick.await.is_ok());
    });
}

#[test]
fn whoever_yields_lets_others_go_first() {
    same_on_both_async(|seen: Seen| async move {
        let other = seen.clone();
        let task = tokio::spawn(async move { other.note("the other") });
        tokio::task::yield_now().await;
        seen.note("the first");
        task.await.unwrap();
    });
}

#[test]
fn asking_over_and_over_lets_time_pass() {
    same_on_both_async(|seen: Seen| async move {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(5) {
            tokio::task::yield_now().await;
        }
        let sleeping = tokio::spawn(sleep(Duration::from_millis(5)));
        while !sleeping.is_finished() {
            tokio::task::yield_now().await;
        }
        seen.note("went on");
    });
}
