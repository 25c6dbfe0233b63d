//! Repeatability: what databases do follows from the seed, beside other runs too.

use std::time::Duration;

use sqlx::sqlite::SqliteJournalMode;
use stormglass_sqlite::{CommitFault, StatementFault};

use crate::stage::{MODES, Scribe, Service, Stage, beside};

/// Several tasks write what only chance and the clock know.
async fn write(service: Service) {
    let pool = service.table(3).await;
    let table = "CREATE TABLE IF NOT EXISTS drawn (id INTEGER PRIMARY KEY, number INTEGER DEFAULT (random()), blob, at)";
    sqlx::query(table).execute(&pool).await.unwrap();
    let writers = (0..3).map(|writer| {
        let (pool, service) = (pool.clone(), service.clone());
        tokio::spawn(async move {
            for _ in 0..5 {
                let insert = "INSERT INTO drawn (blob, at) VALUES (randomblob(7), strftime('%F %R:%f')) \
                              RETURNING id || ' ' || number || ' ' || hex(blob) || ' ' || at";
                let drawn = sqlx::query_scalar::<_, String>(insert).fetch_one(&pool).await;
                let pause: i64 = sqlx::query_scalar("SELECT abs(random()) % 50")
                    .fetch_one(&pool)
                    .await
                    .unwrap();
                match drawn {
                    Ok(drawn) => service.log.say_at(&format!("{writer} drew {drawn}")),
                    Err(error) => service.log.say_at(&format!("{writer} met {error}")),
                }
                tokio::time::sleep(Duration::from_millis(pause.unsigned_abs())).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    pool.close().await;
}

fn drawn(seed: u8, mode: SqliteJournalMode) -> Vec<String> {
    let scribe = Scribe::probing("SELECT count(*) || ' rows' FROM sqlite_schema")
        .commit(7, CommitFault::Lost)
        .commit(9, CommitFault::AnswerLost)
        .statement(
            "abs(random())",
            StatementFault::Locked(Duration::from_millis(3)),
        );
    Stage {
        seed,
        in_memory: true,
        ..Stage::of(mode, scribe)
    }
    .run(write)
}

#[test]
fn a_run_repeats_with_its_seed_beside_others() {
    for mode in MODES {
        let alone = drawn(3, mode);
        assert!(
            alone.iter().filter(|line| line.contains(" drew ")).count() > 10,
            "{alone:#?}"
        );
        assert_ne!(alone, drawn(4, mode));
        let beside: Vec<_> = (0..8)
            .map(|number| beside(move || drawn(3 + number % 2, mode)))
            .collect();
        for (number, run) in beside.into_iter().enumerate() {
            let lines = run.join().unwrap();
            if number % 2 == 0 {
                assert_eq!(lines, alone, "{mode:?}");
            }
        }
    }
}

/// The variable by which a test process asks another one for its run.
const ASKED: &str = "STORMGLASS_SQLITE_RUN";

#[test]
fn a_run_repeats_in_another_process() {
    let own = drawn(5, SqliteJournalMode::Wal).join("\n");
    if std::env::var_os(ASKED).is_some() {
        println!("<{own}>");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program)
        .args([
            "--exact",
            "repeats::a_run_repeats_in_another_process",
            "--nocapture",
        ])
        .env(ASKED, "1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, other) = text.split_once('<').unwrap();
    let (other, _) = other.split_once('>').unwrap();
    assert_eq!(own, other);
}

/// What SQLite takes for the time, and what std does.
async fn tell_time(service: Service) {
    let pool = service.pool(1).await;
    let query =
        "SELECT CURRENT_TIMESTAMP || ' ' || unixepoch('subsec') || ' ' || strftime('%s', 'now')";
    for _ in 0..3 {
        let told: String = sqlx::query_scalar(query).fetch_one(&pool).await.unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        service.log.say(format!("{told} | {}", now.as_millis()));
        tokio::time::sleep(Duration::from_millis(1250)).await;
    }
    pool.close().await;
}

#[test]
fn the_time_is_that_of_the_hosts_clock() {
    let lines =
        Stage::of(SqliteJournalMode::Delete, Scribe::default()).drive(|machine, service, _| {
            let own = service.clone();
            machine.start_service("ada", &[], move || tell_time(own));
            machine.step_clock("ada", 3_600_000);
            machine.wait_for_end("ada");
        });
    for line in &lines {
        let (told, now) = line.split_once(" | ").unwrap();
        let [_, _, subsec, whole] = told.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let now: u64 = now.parse().unwrap();
        assert_eq!(
            (subsec.parse::<f64>().unwrap() * 1000.0).round() as u64,
            now,
            "{line}"
        );
        assert_eq!(whole.parse::<u64>().unwrap(), now / 1000, "{line}");
    }
    assert_eq!(lines.len(), 3);
}
