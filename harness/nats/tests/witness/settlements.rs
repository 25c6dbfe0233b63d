//! What becomes of a settlement.

use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::Message;
use stormglass_nats::{Answer, Fate, Request};

use super::script::{LEASE, Scene, play, seen};

/// One message in the hands of the consumer, whose settlements have these fates.
async fn receive(scene: &Scene, fates: impl IntoIterator<Item = Fate>) -> Message {
    scene.script.settlements.lock().unwrap().extend(fates);
    scene.publish("one").await.unwrap();
    let message = scene.receive().await.unwrap();
    scene.script.forget();
    message
}

fn request(request: Request) -> Fate {
    Fate {
        request,
        ..Fate::default()
    }
}

#[test]
fn a_witness_is_asked_before_and_told_after() {
    play(
        |_| {},
        |scene| async move {
            let message = receive(&scene, []).await;
            message.double_ack().await.unwrap();
            message.double_ack().await.unwrap();
            assert_eq!(
                scene.script.told(),
                [
                    "consumer: Ack 1#1 and confirm?",
                    "consumer: Ack 1#1: Accepted",
                    "consumer: Ack 1#1 and confirm?",
                    "consumer: Ack 1#1: Stale",
                ]
            );
            assert!(scene.server.is_settled());
        },
    );
}

#[test]
fn a_lost_settlement_lets_the_lease_end() {
    play(
        |_| {},
        |scene| async move {
            let message = receive(&scene, [request(Request::Lose)]).await;
            message.ack().await.unwrap();
            assert_eq!(seen(&scene.receive().await.unwrap()).1, 2);
        },
    );
}

#[test]
fn a_lost_confirmation_leaves_the_message_settled() {
    play(
        |_| {},
        |scene| async move {
            let never = Fate {
                answer: Answer::Never,
                ..Fate::default()
            };
            let message = receive(&scene, [never]).await;
            assert!(message.double_ack().await.is_err());
            assert!(scene.server.is_settled());
        },
    );
}

#[test]
fn a_settlement_that_is_delayed_beyond_the_lease_still_counts_if_it_is_first() {
    play(
        |_| {},
        |scene| async move {
            let message = receive(&scene, [request(Request::Delay(LEASE * 2))]).await;
            message.ack().await.unwrap();
            tokio::time::sleep(LEASE).await;
            assert!(!scene.server.is_settled());
            tokio::time::sleep(LEASE * 2).await;
            assert!(scene.server.is_settled());
            assert_eq!(
                scene.script.told().last().unwrap(),
                "consumer: Ack 1#1: Accepted"
            );
        },
    );
}

#[test]
fn a_settlement_that_comes_twice_is_stale_the_second_time() {
    play(
        |_| {},
        |scene| async move {
            let message = receive(&scene, [request(Request::Twice)]).await;
            message.double_ack().await.unwrap();
            assert_eq!(
                scene.script.told()[1..],
                ["consumer: Ack 1#1: Accepted", "consumer: Ack 1#1: Stale"]
            );
        },
    );
}

#[test]
fn each_kind_of_settlement_is_told_as_what_it_is() {
    play(
        |_| {},
        |scene| async move {
            let message = receive(&scene, []).await;
            message.ack_with(AckKind::Progress).await.unwrap();
            let delay = Duration::from_millis(50);
            message.ack_with(AckKind::Nak(Some(delay))).await.unwrap();
            let message = scene.receive().await.unwrap();
            message.double_ack_with(AckKind::Term).await.unwrap();
            let told = scene.script.told();
            let settled: Vec<&String> = told
                .iter()
                .filter(|line| line.contains("#") && line.contains(": A"))
                .collect();
            assert!(
                told.contains(&"consumer: Progress 1#1: Accepted".to_owned()),
                "{settled:?}"
            );
            assert!(
                told.contains(&"consumer: Nak(50ms) 1#1: Accepted".to_owned()),
                "{settled:?}"
            );
            assert!(
                told.contains(&"consumer: Term(\"\") 1#2: Accepted".to_owned()),
                "{settled:?}"
            );
            assert_eq!(scene.server.readout().consumers[0].terminated, [1]);
        },
    );
}
