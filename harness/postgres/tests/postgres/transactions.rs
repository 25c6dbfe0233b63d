//! Transactions of several hosts: their locks are waited for in virtual time, and a run repeats with its seed.

use std::time::Duration;

use sqlx::PgPool;

use crate::shop::{Said, Shop, start, wait};

async fn order(pool: PgPool, said: Said, name: String) {
    for number in 0..5 {
        let mut transaction = pool.begin().await.unwrap();
        let (id, at, key): (i64, String, String) = sqlx::query_as(
            "INSERT INTO orders (sku) VALUES ($1) RETURNING id, at::text, key::text",
        )
        .bind("tea")
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
        let left: i64 = sqlx::query_scalar(
            "UPDATE stock SET left_over = left_over - 1 WHERE sku = 'tea' RETURNING left_over",
        )
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(3)).await;
        let random: f64 = sqlx::query_scalar("SELECT random()")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        said.say(format!("{name} {number}: {id} {at} {key} {left} {random}"));
    }
}

fn orders(seed: u8) -> Vec<String> {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(seed).run(move |machine, _| {
        for name in ["one", "two", "three"] {
            let said = said.clone();
            start(machine, name, move |pool| {
                order(pool, said, name.to_owned())
            });
        }
        wait(machine, &["one", "two", "three"]);
        said.say(format!("{:?}", machine.now()));
    });
    heard.all()
}

#[test]
fn orders_of_several_hosts_repeat_with_their_seed() {
    let first = orders(1);
    assert_eq!(first.len(), 16, "{first:#?}");
    let second = std::thread::spawn(|| orders(1));
    assert_eq!(first, orders(1));
    assert_eq!(first, second.join().unwrap());
    assert_ne!(first, orders(2));
}

/// Says to the test that is run in a child process that it shall tell what it has seen.
const TELL: &str = "STORMGLASS_TEST_TELL";

#[test]
fn orders_told() {
    if std::env::var_os(TELL).is_some() {
        // Earlier runs of the process make no difference.
        orders(3);
        println!("\ntold {:?}", orders(1));
    }
}

#[test]
fn orders_repeat_in_other_processes() {
    let own = format!("told {:?}", orders(1));
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "transactions::orders_told", "--nocapture"])
        .env(TELL, "1")
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let told = output.lines().find(|line| line.starts_with("told "));
    assert_eq!(told, Some(&*own));
}
