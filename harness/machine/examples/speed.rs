//! What an echo, a statement and a hand-over between two threads cost on the machine, in real time.
//!
//! `cargo run --release -p stormglass-machine --example speed`, with the name of one of them to measure that alone.
#![expect(
    clippy::disallowed_methods,
    reason = "how long it takes outside of a run is what is asked"
)]

use std::sync::mpsc;
use std::time::{Duration, Instant};

use sqlx::{ConnectOptions, Connection};
use stormglass_machine::{Machine, Settings, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ECHOES: u32 = 4_000;
const STATEMENTS: u32 = 20_000;
const HANDOVERS: u32 = 50_000;

fn main() {
    let wanted = std::env::args().nth(1);
    let is_wanted = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    if is_wanted("echo") {
        for pairs in [1, 5, 25] {
            let took = measured(move |machine| echo(machine, pairs)) / (ECHOES * pairs);
            println!("echo, {} hosts: {took:?}", 2 * pairs);
        }
    }
    if is_wanted("statement") {
        let outside = statements_outside() / STATEMENTS;
        let took = measured(statements_inside) / STATEMENTS;
        println!("statement: {took:?}, outside of a run {outside:?}");
    }
    if is_wanted("handover") {
        let took = measured(hand_over) / HANDOVERS;
        println!("two hand-overs between threads: {took:?}");
    }
}

/// How long `drive` takes in real time, without the start and the end of the run.
fn measured(drive: impl FnOnce(&Machine) + Send + 'static) -> Duration {
    let took = run(Settings::of([1; 32]), |machine| {
        let now = || stormglass_machine::outside(Instant::now);
        let began = now();
        drive(machine);
        now() - began
    });
    took.expect("the run comes to its end")
}

fn echo(machine: &Machine, pairs: u32) {
    for pair in 0..pairs {
        machine.start_service(&format!("server-{pair}"), &[], serve);
    }
    machine.sleep(Duration::from_millis(10));
    for pair in 0..pairs {
        let server = format!("server-{pair}:7");
        machine.start_service(&format!("client-{pair}"), &[], move || async move {
            let mut stream = TcpStream::connect(server).await.expect("it listens");
            let mut answer = [0; 256];
            for _ in 0..ECHOES {
                stream.write_all(&[7; 256]).await.expect("it is connected");
                stream.read_exact(&mut answer).await.expect("it answers");
            }
        });
    }
    for pair in 0..pairs {
        machine.wait_for_end(&format!("client-{pair}"));
    }
}

async fn serve() {
    let listener = TcpListener::bind("0.0.0.0:7").await.expect("it is free");
    let (mut stream, _) = listener.accept().await.expect("somebody comes");
    let mut asked = [0; 256];
    while stream.read_exact(&mut asked).await.is_ok() {
        stream.write_all(&asked).await.expect("it is connected");
    }
}

async fn select() {
    let options = sqlx::sqlite::SqliteConnectOptions::new();
    let connected = options.filename(":memory:").connect().await;
    let mut connection = connected.expect("memory is there");
    for number in 0..STATEMENTS {
        let query = sqlx::query_scalar::<_, u32>("SELECT $1 + 1").bind(number);
        let answer = query.fetch_one(&mut connection).await;
        assert_eq!(answer.expect("it is an answer"), number + 1);
    }
    connection.close().await.expect("it closes");
}

fn statements_inside(machine: &Machine) {
    machine.start_service("host", &[], select);
    machine.wait_for_end("host");
}

fn statements_outside() -> Duration {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("it starts");
    let began = Instant::now();
    runtime.block_on(select());
    began.elapsed()
}

fn hand_over(machine: &Machine) {
    machine.start("host", &[], || {
        let (ask, asked) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        let helper = std::thread::spawn(move || {
            while let Ok(number) = asked.recv() {
                let _ = answer.send(number);
            }
        });
        for number in 0..HANDOVERS {
            let _ = ask.send(number);
            let _ = answered.recv();
        }
        drop(ask);
        helper.join().expect("it ends");
    });
    machine.wait_for_end("host");
}
