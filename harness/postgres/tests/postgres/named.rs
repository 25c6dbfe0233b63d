//! A server that was named is used instead of a private one.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use stormglass_machine::run;
use stormglass_postgres::{Cluster, Server, Settings};

use crate::shop::{SCHEMA, Said, serve, start, wait};

/// Says to the test that is run in a child process that it shall use the named server.
const PART: &str = "STORMGLASS_TEST_NAMED";

/// A run on the server that the environment names.
#[test]
fn child() {
    if std::env::var_os(PART).is_none() {
        return;
    }
    let cluster = Cluster::take().unwrap();
    let database = cluster.database("shop", SCHEMA).unwrap();
    let said = Said::default();
    let heard = said.clone();
    run(stormglass_machine::Settings::of([1; 32]), move |machine| {
        let server = Server::new([database], Settings::default(), std::sync::Arc::new(()));
        serve(machine, &server);
        for name in ["one", "two"] {
            let said = said.clone();
            start(machine, name, move |pool| async move {
                for _ in 0..3 {
                    let mut transaction = pool.begin().await.unwrap();
                    let left: i64 = sqlx::query_scalar(
                        "UPDATE stock SET left_over = left_over - 1 WHERE sku = 'tea' RETURNING left_over",
                    )
                    .fetch_one(&mut *transaction)
                    .await
                    .unwrap();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    transaction.commit().await.unwrap();
                    said.say(left);
                }
            });
        }
        wait(machine, &["one", "two"]);
    })
    .unwrap();
    assert_eq!(heard.all(), ["99", "98", "97", "96", "95", "94"]);
}

fn run_child(url: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "named::child"]);
    command.env(PART, "1").env("STORMGLASS_POSTGRES", url);
    command.output().unwrap()
}

const DATABASES: &str = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database";

#[test]
fn a_server_may_be_named() {
    let cluster = Cluster::take().unwrap();
    let database = cluster.database("named", "").unwrap();
    let observer = database.observer().unwrap();
    let ask = |sql: &str| observer.query(sql, &[]).unwrap().concat();
    let url = database.url();
    let (_, place) = url.split_once('?').unwrap();
    let folder = place.replace("host=", "").replace("%2F", "/");
    let rules = Path::new(&folder).join("data/pg_hba.conf");
    let trust = std::fs::read_to_string(&rules).unwrap();
    let before = ask(DATABASES);
    for way in ["password", "md5", "scram-sha-256"] {
        ask(&format!(
            "SET password_encryption = '{}'",
            way.replace("password", "md5")
        ));
        ask("CREATE ROLE tester SUPERUSER LOGIN PASSWORD 'sec ret'");
        std::fs::write(&rules, format!("local all tester {way}\n{trust}")).unwrap();
        ask("SELECT pg_reload_conf()");
        std::thread::sleep(Duration::from_millis(300));
        let child = run_child(&format!(
            "postgres://tester:sec%20ret@localhost/named?{place}"
        ));
        assert!(
            child.status.success(),
            "{way}: {}",
            String::from_utf8_lossy(&child.stdout)
        );
        let child = run_child(&format!("postgres://tester:wrong@localhost/named?{place}"));
        assert!(!child.status.success(), "{way}");
        assert_eq!(ask(DATABASES), before, "something has stayed behind");
        ask("DROP ROLE tester");
    }
    std::fs::write(&rules, trust).unwrap();
    ask("SELECT pg_reload_conf()");
}

#[test]
fn a_name_without_sense_is_refused() {
    let child = run_child("nonsense");
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(
        !child.status.success() && said.contains("nonsense"),
        "{said}"
    );
}
