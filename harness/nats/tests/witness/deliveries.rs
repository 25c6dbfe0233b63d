//! What becomes of a delivery.

use std::time::Duration;

use bytes::Bytes;
use stormglass_nats::DeliveryFate;

use super::script::{LEASE, Scene, play, seen};

async fn publish(scene: &Scene, fates: impl IntoIterator<Item = DeliveryFate>) {
    scene.script.deliveries.lock().unwrap().extend(fates);
    scene.publish("one").await.unwrap();
    scene.script.forget();
}

#[test]
fn a_message_that_is_not_settled_comes_again_when_its_lease_is_over() {
    play(
        |_| {},
        |scene| async move {
            publish(&scene, []).await;
            let began = tokio::time::Instant::now();
            assert_eq!(
                seen(&scene.receive().await.unwrap()),
                (1, 1, "one".to_owned())
            );
            assert_eq!(
                seen(&scene.receive().await.unwrap()),
                (1, 2, "one".to_owned())
            );
            assert!(began.elapsed() >= LEASE);
            assert_eq!(
                scene.script.told(),
                [
                    "consumer: deliver 1#1?",
                    "consumer: deliver 1#1",
                    "consumer: lease of 1#1 is over",
                    "consumer: deliver 1#2?",
                    "consumer: deliver 1#2",
                ]
            );
        },
    );
}

#[test]
fn a_lost_delivery_counts_as_one() {
    play(
        |_| {},
        |scene| async move {
            publish(&scene, [DeliveryFate::Lose]).await;
            assert!(scene.receive().await.is_none());
            let message = scene.receive().await.unwrap();
            assert_eq!(seen(&message).1, 2);
        },
    );
}

#[test]
fn a_delayed_delivery_comes_late_and_its_lease_runs() {
    play(
        |_| {},
        |scene| async move {
            let delay = LEASE / 2;
            publish(&scene, [DeliveryFate::Delay(delay)]).await;
            let began = tokio::time::Instant::now();
            assert_eq!(seen(&scene.receive().await.unwrap()).1, 1);
            assert!(began.elapsed() >= delay);
            assert_eq!(seen(&scene.receive().await.unwrap()).1, 2);
            assert!(began.elapsed() < LEASE + delay);
        },
    );
}

#[test]
fn a_message_that_is_delivered_twice_comes_again_at_once() {
    play(
        |_| {},
        |scene| async move {
            publish(&scene, [DeliveryFate::Twice]).await;
            let began = tokio::time::Instant::now();
            let first = scene.receive().await.unwrap();
            let second = scene.receive().await.unwrap();
            assert!(began.elapsed() < LEASE);
            assert_eq!((seen(&first).1, seen(&second).1), (1, 2));
            assert!(
                scene
                    .script
                    .told()
                    .contains(&"consumer: lease of 1#1 is over".to_owned())
            );
        },
    );
}

#[test]
fn a_corrupt_payload_is_of_this_delivery_only() {
    play(
        |_| {},
        |scene| async move {
            publish(
                &scene,
                [DeliveryFate::Corrupt(Bytes::from_static(b"\xffbad"))],
            )
            .await;
            let message = scene.receive().await.unwrap();
            assert_eq!(&message.payload[..], b"\xffbad");
            assert_eq!(scene.receive().await.unwrap().payload, "one");
        },
    );
}

#[test]
fn a_message_is_given_up_after_its_last_delivery() {
    play(
        |config| config.max_deliver = 2,
        |scene| async move {
            publish(&scene, []).await;
            scene.receive().await.unwrap();
            scene.receive().await.unwrap();
            assert!(!scene.server.is_settled());
            tokio::time::sleep(LEASE * 2).await;
            assert!(scene.script.told().ends_with(&[
                "consumer: lease of 1#2 is over".to_owned(),
                "consumer: 1 is given up after 2".to_owned(),
            ]));
            assert!(scene.server.is_settled());
            assert_eq!(scene.server.readout().consumers[0].given_up, [1]);
            assert!(scene.receive().await.is_none());
        },
    );
}

#[test]
fn a_lease_that_is_over_waits_for_a_request_and_is_not_settled() {
    play(
        |_| {},
        |scene| async move {
            publish(&scene, []).await;
            let message = scene.receive().await.unwrap();
            tokio::time::sleep(LEASE + Duration::from_millis(50)).await;
            assert!(!scene.server.is_settled());
            // Nobody asked for the message again, so a late settlement still counts.
            message.double_ack().await.unwrap();
            assert!(scene.server.is_settled());
        },
    );
}
