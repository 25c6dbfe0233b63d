//! Descriptions that cannot be meant are refused in one line, before anything runs.

use stormglass::database::Database;
use stormglass::third_party::{Response, ThirdParty};
use stormglass::{Machine, Seed, System};

async fn idle(_: Machine) -> Result<(), String> {
    std::future::pending().await
}

fn refused(system: System) -> String {
    let ask = |_: u8| async { Ok::<(), String>(()) };
    let system = system
        .host("ada", idle)
        .operations(|| proptest::strategy::Just(0), ask);
    system.plan(Seed(0)).unwrap_err().to_string()
}

#[test]
fn two_hosts_of_one_name_are_refused() {
    let party = || ThirdParty::new("ada", |_| Response::new(200, ().into()));
    let systems = [
        System::new("one").postgres(Database::new("ada", "")),
        System::new("two").nats("ada"),
        System::new("three").third_party(party()),
    ];
    for system in systems {
        assert_eq!(refused(system), "host `ada` is declared twice");
    }
}

#[test]
fn a_host_with_the_name_of_the_server_that_databases_share_is_refused() {
    let why = refused(
        System::new("one")
            .nats("postgres")
            .database(Database::new("shop", "")),
    );
    assert!(why.starts_with("host `postgres` has the name of"), "{why}");
    let own = System::new("two")
        .nats("postgres")
        .sqlite(Database::new("shop", ""))
        .host("ada", idle)
        .operations(
            || proptest::strategy::Just(0),
            |_: u8| async { Ok::<(), String>(()) },
        );
    assert!(own.plan(Seed(0)).is_ok());
}

#[test]
fn variables_of_nobody_and_those_that_cannot_be_are_refused() {
    let unknown = refused(System::new("one").variable("eda", "A", "1"));
    assert_eq!(
        unknown,
        "`variable` names host `eda`, which does not exist; is `ada` meant?"
    );
    for (name, value) in [("", "1"), ("A=B", "1"), ("A", "\0")] {
        let why = refused(System::new("one").variable("ada", name, value));
        assert!(
            why.starts_with(&format!("variable {name:?} cannot be: ")),
            "{why}"
        );
    }
}

#[test]
fn an_address_of_a_database_that_is_not_there_names_those_that_are() {
    async fn lost(machine: Machine) -> Result<(), String> {
        let _ = machine.url("shup");
        Ok(())
    }
    let ask = |_: u8| async { Ok::<(), String>(()) };
    let system = System::new("lost")
        .sqlite(Database::new("shop", ""))
        .host("ada", lost)
        .operations(|| proptest::strategy::Just(0), ask);
    let why = system.plan(Seed(0)).unwrap_err().to_string();
    assert!(
        why.contains("no database `shup`; the system has: shop"),
        "{why}"
    );
}
