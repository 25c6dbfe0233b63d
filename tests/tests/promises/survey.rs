//! What faults are aimed at: every publisher, and what only faults make happen.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use proptest::prelude::*;
use stormglass::checker::{Convergence, DlqRouting};
use stormglass::explore::{Exploration, Tally, Until, explore};
use stormglass::plan::{Action, Call, Incident};
use stormglass::{
    Attempts, Broker, Delivery, EVENT_ID, Group, Message, PublishError, Seed, System,
};

/// What is left of a message when it is parked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parking {
    Whole,
    WithoutHeaders,
}

/// A box office that issues nothing: it reads bookings, and parks those that it cannot read.
fn system(parking: Parking) -> System {
    System::new("box office with dead letters")
        .topic("bookings", 2)
        .group(Group::new("box-office", &["bookings"]).dead_letters("unreadable"))
        .attempts(Attempts::Exactly(3))
        .host("box-office", move |_| async move {
            read(&Broker::connect(), parking).await;
            Ok::<(), String>(())
        })
        .operations(|| (any::<u32>(), "[A-F][1-9]"), book)
        .property(DlqRouting::default())
        .property(Convergence)
}

async fn book((number, seat): (u32, String)) -> Result<(), PublishError> {
    let booking = format!("booking-{number}");
    let message = Message::new("bookings", &seat, seat.as_str()).header(EVENT_ID, &booking);
    Broker::connect().publish(message).await.map(drop)
}

async fn read(broker: &Broker, parking: Parking) {
    loop {
        if let Ok(mut bookings) = broker.subscribe("box-office", &["bookings"]).await {
            while let Ok(booking) = bookings.next().await {
                if handle(broker, booking, parking).await.is_err() {
                    break;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn handle(broker: &Broker, booking: Delivery, parking: Parking) -> Result<(), String> {
    let Err(error) = std::str::from_utf8(&booking.message().payload) else {
        return booking.ack().await.map_err(|error| error.to_string());
    };
    let again = booking.attempt() < 3 || park(broker, &booking, parking, error).await.is_err();
    let settled = match again {
        true => booking.retry(Duration::from_millis(50)).await,
        false => booking.ack().await,
    };
    settled.map_err(|error| error.to_string())
}

async fn park(
    broker: &Broker,
    booking: &Delivery,
    parking: Parking,
    error: std::str::Utf8Error,
) -> Result<(), PublishError> {
    let message = booking.message();
    let whole = match parking {
        Parking::Whole => Message {
            topic: "unreadable".to_owned(),
            ..message.clone()
        },
        Parking::WithoutHeaders => {
            Message::new("unreadable", &message.key, message.payload.clone())
        }
    };
    let told = whole.header("error", &error.to_string());
    broker.publish(told).await.map(drop)
}

fn swept(system: &System, seeds: u64) -> Tally {
    let exploration = Exploration {
        first: Seed(0),
        seeds,
        jobs: 2,
        until: Until::AllSeeds,
        interrupted: &AtomicBool::new(false),
        progress: &|| {},
    };
    explore(system, &exploration).unwrap()
}

#[test]
fn dead_letters_that_lose_their_headers_are_found_where_only_clients_publish() {
    let tally = swept(&system(Parking::WithoutHeaders), 100);
    assert!(
        tally.properties["dlq-routing"].broken >= 5,
        "{:?}",
        tally.properties
    );
    let whole = swept(&system(Parking::Whole), 100);
    assert_eq!(whole.properties["dlq-routing"].broken, 0);
    assert!(whole.faults["poison"].bitten >= 5, "{:?}", whole.faults);
}

#[test]
fn the_client_and_what_only_poison_brings_about_are_aimed_at() {
    let targets = system(Parking::Whole).generator().unwrap().targets;
    for host in ["client", "box-office"] {
        let publishes = (host.to_owned(), Call::Publish);
        assert!(targets.calls.contains(&publishes), "{targets:?}");
    }
    assert_eq!(targets.hosts, ["box-office"]);
}

#[test]
fn hosts_pause_beside_their_calls_and_some_faults_outlast_retries() {
    let generator = system(Parking::Whole).generator().unwrap();
    let schedules = (0..300).flat_map(|seed| generator.plan(Seed(seed)).schedule);
    let (mut paused_at, mut longest) = (BTreeSet::new(), 0);
    for fault in schedules {
        if let Action::Incident { incident, on } = &fault.action
            && let Incident::Pause { for_ms, .. } = incident
        {
            longest = longest.max(*for_ms);
            paused_at.extend(on.as_ref().map(|aim| aim.call));
        }
    }
    assert!(paused_at.contains(&Call::Settle) && paused_at.contains(&Call::Receive));
    assert!(longest > 20_000, "{longest}");
}
