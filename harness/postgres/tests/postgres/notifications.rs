//! LISTEN and NOTIFY.

use std::time::Duration;

use sqlx::postgres::PgListener;

use crate::shop::{SCHEMA, Said, Shop, start, wait};

const TRIGGER: &str = "
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_notify('orders', NEW.id::text); RETURN NEW; END $$;
    CREATE TRIGGER tell AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tell();
";

async fn listen(said: Said, name: &'static str, count: u32) {
    let mut listener = PgListener::connect("postgres://shop@shop/shop")
        .await
        .unwrap();
    listener.listen("orders").await.unwrap();
    for _ in 0..count {
        let told = listener.recv().await.unwrap();
        let at = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        said.say(format!(
            "{name}: {} {} {at:?}",
            told.payload(),
            told.process_id()
        ));
    }
}

fn notifications(seed: u8) -> Vec<String> {
    let said = Said::default();
    let heard = said.clone();
    Shop::with_schema(seed, &[SCHEMA, TRIGGER].concat()).run(move |machine, _| {
        for name in ["one", "two"] {
            let said = said.clone();
            machine.start_service(name, &[], move || listen(said, name, 4));
        }
        machine.sleep(Duration::from_secs(1));
        start(machine, "writer", |pool| async move {
            let insert = "INSERT INTO orders (sku) VALUES ('tea')";
            sqlx::query(insert).execute(&pool).await.unwrap();
            let mut transaction = pool.begin().await.unwrap();
            sqlx::query(insert)
                .execute(&mut *transaction)
                .await
                .unwrap();
            transaction.rollback().await.unwrap();
            let mut transaction = pool.begin().await.unwrap();
            for _ in 0..2 {
                sqlx::query(insert)
                    .execute(&mut *transaction)
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            transaction.commit().await.unwrap();
            sqlx::query("SELECT pg_notify('orders', 'by hand')")
                .execute(&pool)
                .await
                .unwrap();
            sqlx::query("NOTIFY others, 'nobody listens'")
                .execute(&pool)
                .await
                .unwrap();
        });
        wait(machine, &["one", "two", "writer"]);
    });
    heard.all()
}

#[test]
fn what_is_committed_is_told_to_everyone() {
    let said = notifications(1);
    let told = |name: &str| -> Vec<&str> {
        let own = said.iter().filter_map(|own| own.strip_prefix(name));
        own.map(|own| own.split(' ').next().unwrap()).collect()
    };
    assert_eq!(told("one: "), ["1", "3", "4", "by"], "{said:?}");
    assert_eq!(told("two: "), ["1", "3", "4", "by"], "{said:?}");
    // Processes are numbered from 101 on, in the order of their connections.
    assert!(
        said.iter()
            .all(|own| own.contains(" 10") || own.contains("by hand 10")),
        "{said:?}"
    );
    assert_eq!(said, notifications(1));
}

#[test]
fn who_listens_is_told_while_a_pool_is_idle() {
    let said = Said::default();
    let heard = said.clone();
    Shop::new(1).run(move |machine, _| {
        start(machine, "both", |pool| async move {
            let mut listener = PgListener::connect_with(&pool).await.unwrap();
            listener.listen_all(["a", "b"]).await.unwrap();
            sqlx::query("NOTIFY a, 'first'")
                .execute(&pool)
                .await
                .unwrap();
            sqlx::query("NOTIFY b")
                .execute(&mut listener)
                .await
                .unwrap();
            for _ in 0..2 {
                let told = listener.recv().await.unwrap();
                said.say(format!("{} {}", told.channel(), told.payload()));
            }
            let nothing = tokio::time::timeout(Duration::from_secs(60), listener.recv()).await;
            said.say(nothing.is_err());
        });
        wait(machine, &["both"]);
    });
    assert_eq!(heard.all(), ["a first", "b ", "true"]);
}
