//! Requests, replies, and requests that nobody could answer.
//! <https://docs.nats.io/nats-concepts/core-nats/reqreply>

use std::time::Duration;

use async_nats::client::RequestError;
use async_nats::{Client, Message, Request};

use crate::stage::{caught_up, check, next, soon};
use crate::transcript::{outcome, said};

/// What a request came to.
fn answered(result: Result<Message, RequestError>) -> String {
    outcome(
        result
            .map(|message| said(&message))
            .map_err(|error| error.kind()),
    )
}

/// Answers every request on `subject` with its payload in capitals.
async fn serve(client: Client, subject: &'static str) {
    let mut requests = client.subscribe(subject).await.unwrap();
    caught_up(&client).await;
    tokio::spawn(async move {
        loop {
            let request = next(&mut requests).await;
            let answer = said(&request).to_uppercase();
            client
                .publish(request.reply.unwrap(), answer.into())
                .await
                .unwrap();
        }
    });
}

#[test]
fn a_request_gets_its_reply() {
    check(async |stage| {
        serve(stage.connect().await, "capitals").await;
        let reply = stage.client.request("capitals", "hello".into()).await;
        stage.sees(said(&reply.unwrap()), "HELLO");
    });
}

#[test]
fn replies_find_the_request_they_belong_to() {
    check(async |stage| {
        serve(stage.connect().await, "capitals").await;
        let words = ["one", "two", "three", "four", "five"];
        let asked = words.map(|word| stage.client.request("capitals", word.into()));
        let replies = futures::future::join_all(asked).await;
        let replies: Vec<_> = replies
            .into_iter()
            .map(|reply| said(&reply.unwrap()))
            .collect();
        stage.sees(replies, &["ONE", "TWO", "THREE", "FOUR", "FIVE"]);
    });
}

#[test]
fn a_request_that_nobody_listens_to_fails_at_once() {
    check(async |stage| {
        let asked = stage.client.request("nobody", "".into()).await;
        stage.sees(answered(asked), "error: no responders");
    });
}

#[test]
fn no_responders_is_a_status_without_payload() {
    check(async |stage| {
        let mut answers = stage.client.subscribe("answers").await.unwrap();
        let asked = stage
            .client
            .publish_with_reply("nobody", "answers", "".into());
        asked.await.unwrap();
        let answer = next(&mut answers).await;
        stage.sees(answer.status.map(|status| status.as_u16()), &Some(503));
        stage.sees(answer.payload.len(), &0);
        stage.compares(format!("{:?} {:?}", answer.description, answer.headers));
        stage.sees(soon(&mut answers).await.is_none(), &true);
    });
}

#[test]
fn a_listener_that_does_not_answer_lets_the_request_time_out() {
    check(async |stage| {
        let _deaf = stage.client.subscribe("deaf").await.unwrap();
        let request = Request::new().timeout(Some(Duration::from_millis(100)));
        let asked = stage.client.send_request("deaf", request).await;
        stage.sees(answered(asked), "error: request timed out");
    });
}

#[test]
fn one_request_can_have_many_replies() {
    check(async |stage| {
        serve(stage.connect().await, "capitals").await;
        serve(stage.connect().await, "capitals").await;
        let mut answers = stage.client.subscribe("answers").await.unwrap();
        let asked = stage
            .client
            .publish_with_reply("capitals", "answers", "x".into());
        asked.await.unwrap();
        stage.sees(said(&next(&mut answers).await), "X");
        stage.sees(said(&next(&mut answers).await), "X");
        stage.sees(soon(&mut answers).await.is_none(), &true);
    });
}

#[test]
fn a_service_that_unsubscribed_does_not_respond() {
    check(async |stage| {
        let service = stage.connect().await;
        let mut requests = service.subscribe("service").await.unwrap();
        requests.unsubscribe().await.unwrap();
        caught_up(&service).await;
        let asked = stage.client.request("service", "".into()).await;
        stage.sees(answered(asked), "error: no responders");
    });
}
