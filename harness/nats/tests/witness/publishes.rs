//! What becomes of a publish.

use std::time::Duration;

use stormglass_nats::{Answer, ApiError, Fate, Request};

use super::script::play;

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
            assert_eq!(scene.publish("one").await, Ok(1));
            assert_eq!(
                scene.script.told(),
                [
                    "publisher: publish one to S?",
                    "publisher: publish one: Stored(1)"
                ]
            );
        },
    );
}

#[test]
fn a_lost_publish_has_no_effect_and_no_answer() {
    play(
        |_| {},
        |scene| async move {
            scene.fate_of_publishes([request(Request::Lose)]);
            assert_eq!(scene.publish("one").await, Err("no answer".to_owned()));
            assert!(scene.stored().is_empty());
        },
    );
}

#[test]
fn a_lost_answer_leaves_the_message_stored() {
    play(
        |_| {},
        |scene| async move {
            scene.fate_of_publishes([Fate {
                answer: Answer::Never,
                ..Fate::default()
            }]);
            assert_eq!(scene.publish("one").await, Err("no answer".to_owned()));
            assert_eq!(scene.stored(), ["one"]);
        },
    );
}

#[test]
fn a_refused_publish_is_answered_with_the_error() {
    play(
        |_| {},
        |scene| async move {
            scene.fate_of_publishes([request(Request::Refuse(ApiError::insufficient_resources()))]);
            let error = scene.publish("one").await.unwrap_err();
            assert!(error.contains("10023"), "{error}");
            assert!(scene.stored().is_empty());
            assert!(
                scene.script.told()[1].contains("Refused"),
                "{:?}",
                scene.script.told()
            );
        },
    );
}

#[test]
fn a_publish_that_arrives_twice_is_stored_twice_and_answered_once() {
    play(
        |_| {},
        |scene| async move {
            scene.fate_of_publishes([request(Request::Twice)]);
            assert_eq!(scene.publish("one").await, Ok(1));
            assert_eq!(scene.stored(), ["one", "one"]);
        },
    );
}

#[test]
fn a_delayed_publish_is_overtaken_and_holds_up_nobody() {
    play(
        |_| {},
        |scene| async move {
            scene.fate_of_publishes([request(Request::Delay(Duration::from_millis(200)))]);
            let began = tokio::time::Instant::now();
            let first = scene.publisher.publish("s.a", "one".into()).await.unwrap();
            assert_eq!(scene.publish("two").await, Ok(1));
            assert!(began.elapsed() < Duration::from_millis(200));
            assert!(!scene.server.is_settled());
            assert_eq!(first.await.unwrap().sequence, 2);
            assert!(began.elapsed() >= Duration::from_millis(200));
            assert_eq!(scene.stored(), ["two", "one"]);
        },
    );
}

#[test]
fn a_delayed_answer_comes_after_the_effect() {
    play(
        |_| {},
        |scene| async move {
            scene.fate_of_publishes([Fate {
                answer: Answer::Delay(Duration::from_millis(200)),
                ..Fate::default()
            }]);
            let began = tokio::time::Instant::now();
            let sent = scene.publisher.publish("s.a", "one".into()).await.unwrap();
            assert!(scene.receive().await.is_some());
            assert!(began.elapsed() < Duration::from_millis(200));
            assert_eq!(sent.await.unwrap().sequence, 1);
            assert!(began.elapsed() >= Duration::from_millis(200));
        },
    );
}
