//! Real servers: nothing of them stays behind, and nothing of a run.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stormglass_postgres::Cluster;

use crate::shop::SCHEMA;

/// Says to the test that is run in a child process what it shall do.
const PART: &str = "STORMGLASS_TEST_PART";

/// The part of the child: takes a server, says where it is, and ends in this way.
#[test]
fn child() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let database = Cluster::take().unwrap().database("shop", SCHEMA).unwrap();
    println!("\nfolder {}", database.url());
    match &*part {
        "exit" => std::process::exit(0),
        "panic" => panic!("as it shall"),
        _ => std::thread::sleep(Duration::from_secs(600)),
    }
}

fn processes_of(folder: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines =
        processes.filter_map(|own| std::fs::read_to_string(own.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(folder)).collect()
}

fn check(part: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "clusters::child", "--nocapture"])
        .env(PART, part)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines
        .map(Result::unwrap)
        .find(|line| line.starts_with("folder "))
        .unwrap();
    let folder = url.rsplit('=').next().unwrap().replace("%2F", "/");
    let folder = Path::new(&folder).parent().unwrap().display().to_string();
    if part == "kill" {
        assert!(Path::new(&folder).exists());
        assert!(processes_of(&folder).len() >= 2);
        child.kill().unwrap();
    }
    child.wait().unwrap();
    let began = Instant::now();
    while Path::new(&folder).exists() || !processes_of(&folder).is_empty() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{folder}: {:?}",
            processes_of(&folder)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_process_that_exits_leaves_no_server() {
    check("exit");
}

#[test]
fn a_process_that_panics_leaves_no_server() {
    check("panic");
}

#[test]
fn a_process_that_is_killed_leaves_no_server() {
    check("kill");
}

#[test]
fn databases_of_two_runs_have_nothing_in_common() {
    let one = Cluster::take().unwrap();
    let other = Cluster::take().unwrap();
    let databases = [&one, &other].map(|cluster| cluster.database("shop", SCHEMA).unwrap());
    let observers = databases
        .each_ref()
        .map(|database| database.observer().unwrap());
    let insert = "INSERT INTO orders (sku) VALUES ($1) RETURNING id";
    for observer in &observers {
        assert_eq!(
            observer.query(insert, &["tea"]).unwrap(),
            [[Some("1".to_owned())]]
        );
        let named = observer.query("SELECT current_database()", &[]).unwrap();
        assert_eq!(named, [[Some("shop".to_owned())]]);
    }
    // A transaction that is open in one of them does not hold up the snapshots of the other one.
    observers[0].query("BEGIN", &[]).unwrap();
    observers[0].query(insert, &["tea"]).unwrap();
    let sql =
        "SELECT pg_snapshot_xmin(pg_current_snapshot()) = pg_snapshot_xmax(pg_current_snapshot())";
    assert_eq!(
        observers[1].query(sql, &[]).unwrap(),
        [[Some("t".to_owned())]]
    );
}

#[test]
fn a_database_is_as_its_schema_made_it() {
    for _ in 0..3 {
        let cluster = Cluster::take().unwrap();
        let database = cluster.database("shop", SCHEMA).unwrap();
        let observer = database.observer().unwrap();
        let of = |sql: &str| observer.query(sql, &[]).unwrap().concat();
        assert_eq!(
            of("INSERT INTO orders (sku) VALUES ('tea') RETURNING id"),
            [Some("1".to_owned())]
        );
        assert_eq!(
            of("SELECT sum(left_over) FROM stock"),
            [Some("200".to_owned())]
        );
        of("UPDATE stock SET left_over = 7");
        of("CREATE TABLE more (id int)");
        of("CREATE ROLE somebody");
    }
}

#[test]
fn two_databases_of_a_run_may_have_one_name() {
    let cluster = Cluster::take().unwrap();
    let one = cluster.database("shop", SCHEMA).unwrap();
    let other = cluster.database("shop", "CREATE TABLE t (id int)").unwrap();
    assert_eq!(one.name(), other.name());
    assert_ne!(one.url(), other.url());
    other
        .observer()
        .unwrap()
        .query("SELECT * FROM t", &[])
        .unwrap();
    assert!(
        one.observer()
            .unwrap()
            .query("SELECT * FROM t", &[])
            .is_err()
    );
}

#[test]
fn a_schema_that_is_refused_says_why() {
    let cluster = Cluster::take().unwrap();
    let error = cluster.database("shop", "CREATE TABEL t ()").unwrap_err();
    assert_eq!(
        error.to_string(),
        "syntax error at or near \"TABEL\" (SQLSTATE 42601)"
    );
    cluster.database("shop", "CREATE TABLE t ()").unwrap();
}
