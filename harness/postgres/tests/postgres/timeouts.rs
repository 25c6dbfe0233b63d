//! Timeouts of the real server, which count virtual time.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use crate::locks::code;
use crate::shop::{Said, Shop, wait};

/// What a client meets that does this, and after how many tenths of a second.
fn check(statements: &'static [&'static str], expected: &[(&str, u32)]) {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, _| {
        machine.start_service("client", &[], move || async move {
            let mut connection = PgConnection::connect("postgres://shop@shop/shop")
                .await
                .unwrap();
            for sql in statements {
                let began = Instant::now();
                match sql.strip_prefix("sleep ") {
                    Some(seconds) => {
                        let seconds = seconds.parse().unwrap();
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                    }
                    None => {
                        let done = sqlx::query(*sql).execute(&mut connection).await;
                        let what = done.map_or_else(|error| code(&error), |_| "done".to_owned());
                        let tenths = (began.elapsed().as_secs_f64() * 10.0).round();
                        said.say(format!("{what} {tenths}"));
                    }
                }
            }
        });
        wait(machine, &["client"]);
    });
    let expected: Vec<String> = expected
        .iter()
        .map(|(what, after)| format!("{what} {after}"))
        .collect();
    assert_eq!(heard.all(), expected, "{statements:?}");
}

#[test]
fn sleep_takes_virtual_time() {
    check(&["SELECT pg_sleep(3600)"], &[("done", 36000)]);
    check(
        &["SELECT pg_sleep(0.3)", "SELECT 1"],
        &[("done", 3), ("done", 0)],
    );
}

#[test]
fn a_statement_has_no_more_time_than_it_may_take() {
    check(
        &[
            "SET statement_timeout = '2s'",
            "SELECT pg_sleep(10)",
            "SELECT pg_sleep(1.5)",
            "SELECT 1",
        ],
        &[("done", 0), ("57014", 20), ("done", 15), ("done", 0)],
    );
}

#[test]
fn a_transaction_may_not_be_idle_for_too_long() {
    check(
        &[
            "SET idle_in_transaction_session_timeout = '5s'",
            "BEGIN",
            "sleep 4",
            "SELECT 1",
            "sleep 6",
            "SELECT 1",
        ],
        &[("done", 0), ("done", 0), ("done", 0), ("25P03", 0)],
    );
}

#[test]
fn idling_outside_of_a_transaction_is_no_crime() {
    check(
        &[
            "SET idle_in_transaction_session_timeout = '5s'",
            "SELECT 1",
            "sleep 600",
            "SELECT 1",
        ],
        &[("done", 0), ("done", 0), ("done", 0)],
    );
}
