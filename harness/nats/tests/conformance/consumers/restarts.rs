//! What consumers know after the server was restarted on what it had stored.

use async_nats::jetstream::consumer::{PullConsumer, pull};

use crate::stage::{ACK_WAIT, Stage, check, durable, take, take_one, within};
use crate::transcript::{deliveries, payloads};

async fn worker(stage: &Stage) -> PullConsumer {
    let stream = stage.stream("ORDERS", &["orders.>"]).await;
    stage.store("orders.new", &["a", "b", "c"]).await;
    stream.create_consumer(durable("worker")).await.unwrap()
}

#[test]
fn a_durable_consumer_goes_on_where_it_was() {
    check(async |stage| {
        let consumer = worker(stage).await;
        take_one(&consumer).await.double_ack().await.unwrap();
        if !stage.restart() {
            return stage.compares("not restarted");
        }
        stage.back().await;
        stage.sees(
            consumer.get_info().await.unwrap().ack_floor.stream_sequence,
            &1,
        );
        stage.sees(
            deliveries(&take(&consumer, 2).await),
            &["b #2 attempt 1", "c #3 attempt 1"],
        );
    });
}

#[test]
fn what_was_out_comes_again() {
    check(async |stage| {
        let consumer = worker(stage).await;
        let out = take(&consumer, 2).await;
        out[0].double_ack().await.unwrap();
        if !stage.restart() {
            return stage.compares("not restarted");
        }
        stage.back().await;
        let mut rest = deliveries(&within(&consumer, 2, ACK_WAIT * 4).await);
        rest.sort();
        stage.sees(rest, &["b #2 attempt 2", "c #3 attempt 1"]);
    });
}

#[test]
fn a_delivery_from_before_can_be_acknowledged_afterwards() {
    check(async |stage| {
        let consumer = worker(stage).await;
        let out = take(&consumer, 3).await;
        if !stage.restart() {
            return stage.compares("not restarted");
        }
        stage.back().await;
        for message in &out {
            message.double_ack().await.unwrap();
        }
        stage.sees(
            consumer.get_info().await.unwrap().ack_floor.stream_sequence,
            &3,
        );
        stage.sees(within(&consumer, 1, ACK_WAIT * 2).await.len(), &0);
    });
}

#[test]
fn attempts_go_on_being_counted() {
    check(async |stage| {
        let consumer = worker(stage).await;
        take(&consumer, 3).await;
        take(&consumer, 3).await;
        if !stage.restart() {
            return stage.compares("not restarted");
        }
        stage.back().await;
        let mut again = deliveries(&take(&consumer, 3).await);
        again.sort();
        stage.sees(
            again,
            &["a #1 attempt 3", "b #2 attempt 3", "c #3 attempt 3"],
        );
    });
}

#[test]
fn an_ephemeral_consumer_does_not_outlive_the_server() {
    check(async |stage| {
        let stream = stage.stream("ORDERS", &["orders.>"]).await;
        let config = pull::Config {
            name: Some("ephemeral".to_owned()),
            ..Default::default()
        };
        stream.create_consumer(config).await.unwrap();
        if !stage.restart() {
            return stage.compares("not restarted");
        }
        stage.back().await;
        stage.compares(stream.consumer_info("ephemeral").await.is_ok());
    });
}

#[test]
fn a_waiting_puller_pulls_again() {
    check(async |stage| {
        let consumer = worker(stage).await;
        for message in take(&consumer, 3).await {
            message.double_ack().await.unwrap();
        }
        if !stage.restart() {
            return stage.compares("not restarted");
        }
        stage.back().await;
        stage.store("orders.new", &["d"]).await;
        stage.sees(payloads(&take(&consumer, 1).await), &["d"]);
    });
}
