//! Headers of messages.
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol> (HPUB, HMSG), ADR-4

use async_nats::HeaderMap;

use crate::stage::{caught_up, check, header_map, next};
use crate::transcript::said;

/// The headers in order of their names, all values of each.
fn listed(headers: &HeaderMap) -> Vec<String> {
    let mut listed: Vec<_> = headers
        .iter()
        .map(|(name, values)| {
            let values: Vec<_> = values.iter().map(|value| value.as_str()).collect();
            format!("{name}: {}", values.join(" | "))
        })
        .collect();
    listed.sort();
    listed
}

#[test]
fn headers_arrive_with_all_their_values() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("news").await.unwrap();
        let headers = header_map(&[("Colour", "red"), ("Size", "L"), ("Colour", "blue")]);
        let sent = stage
            .client
            .publish_with_headers("news", headers, "body".into());
        sent.await.unwrap();
        let message = next(&mut messages).await;
        stage.sees(said(&message), "body");
        let headers = message.headers.unwrap();
        stage.sees(listed(&headers), &["Colour: red | blue", "Size: L"]);
    });
}

#[test]
fn names_of_headers_keep_their_case() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("news").await.unwrap();
        let headers = header_map(&[("camelCase", "1"), ("CAMELCASE", "2")]);
        let sent = stage
            .client
            .publish_with_headers("news", headers, "".into());
        sent.await.unwrap();
        let headers = next(&mut messages).await.headers.unwrap();
        stage.sees(listed(&headers), &["CAMELCASE: 2", "camelCase: 1"]);
    });
}

#[test]
fn values_may_be_empty_or_hold_colons_and_umlauts() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("news").await.unwrap();
        let headers = header_map(&[
            ("Empty", ""),
            ("Link", "nats://host:4222"),
            ("Word", "Überraschung"),
        ]);
        let sent = stage
            .client
            .publish_with_headers("news", headers, "".into());
        sent.await.unwrap();
        let headers = next(&mut messages).await.headers.unwrap();
        stage.sees(
            listed(&headers),
            &["Empty: ", "Link: nats://host:4222", "Word: Überraschung"],
        );
    });
}

#[test]
fn a_message_without_headers_has_none() {
    check(async |stage| {
        let mut messages = stage.client.subscribe("news").await.unwrap();
        stage.client.publish("news", "".into()).await.unwrap();
        stage.sees(next(&mut messages).await.headers, &None::<HeaderMap>);
    });
}

#[test]
fn requests_and_replies_carry_headers() {
    check(async |stage| {
        let service = stage.connect().await;
        let mut requests = service.subscribe("service").await.unwrap();
        caught_up(&service).await;
        tokio::spawn(async move {
            let request = next(&mut requests).await;
            let reply = request.reply.unwrap();
            let answered = service.publish_with_headers(reply, request.headers.unwrap(), "".into());
            answered.await.unwrap();
            caught_up(&service).await;
        });
        let headers = header_map(&[("Trace", "42")]);
        let reply = stage
            .client
            .request_with_headers("service", headers, "".into());
        stage.sees(
            listed(&reply.await.unwrap().headers.unwrap()),
            &["Trace: 42"],
        );
    });
}
