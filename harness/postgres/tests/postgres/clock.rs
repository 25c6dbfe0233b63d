//! What differs between runs on a real server, and must not here: the time, and random values.

use std::time::Duration;

use sqlx::PgPool;

use crate::shop::{Said, Shop, start, wait};

const QUESTIONS: &[&str] = &[
    "SELECT now()::text",
    "SELECT CURRENT_TIMESTAMP::text",
    "SELECT clock_timestamp()::text",
    "SELECT statement_timestamp()::text",
    "SELECT transaction_timestamp()::text",
    "SELECT localtimestamp::text",
    "SELECT current_date::text",
    "SELECT timeofday()",
    "SELECT random()::text",
    "SELECT gen_random_uuid()::text",
    "INSERT INTO orders (sku) VALUES ('tea') RETURNING concat(id, at, key)",
    "SELECT age(now(), '2020-01-01')::text",
    "SELECT string_agg(sku, ' ') FROM (SELECT sku FROM stock ORDER BY random()) AS own",
    "SELECT current_database()::text",
    "SELECT current_user::text",
];

async fn ask(pool: PgPool, said: Said) {
    for question in QUESTIONS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let answer: String = sqlx::query_scalar(*question)
            .fetch_one(&pool)
            .await
            .unwrap();
        said.say(format!("{question}: {answer}"));
    }
}

fn answers(seed: u8) -> Vec<String> {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(seed).run(move |machine, _| {
        start(machine, "client", |pool| ask(pool, said));
        wait(machine, &["client"]);
    });
    heard.all()
}

#[test]
fn time_and_chance_follow_from_the_seed() {
    let said = answers(1);
    assert_eq!(said.len(), QUESTIONS.len());
    assert_eq!(said, answers(1));
    let times = &said[..7];
    assert!(
        times.iter().all(|own| own.contains("2026-01-01")),
        "{times:?}"
    );
    // The clock goes on from one question to the next.
    assert!(
        times[0].contains("00:00:01") && times[5].contains("00:00:06"),
        "{times:?}"
    );
    let others = answers(2);
    for (one, other) in said.iter().zip(&others).skip(8).take(3) {
        assert_ne!(one, other);
    }
    assert!(
        said[13].ends_with(": shop") && said[14].ends_with(": shop"),
        "{said:?}"
    );
}

#[test]
fn the_clock_stands_still_within_a_statement() {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, _| {
        start(machine, "client", |pool| async move {
            let same: bool = sqlx::query_scalar(
                "SELECT min(clock_timestamp()) = max(clock_timestamp()) FROM generate_series(1, 10000)",
            )
            .fetch_one(&pool)
            .await
            .unwrap();
            said.say(same);
        });
        wait(machine, &["client"]);
    });
    assert_eq!(heard.all(), ["true"]);
}
