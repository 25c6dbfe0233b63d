//! When a connection that nobody answers is given up.

use std::sync::mpsc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use stormglass_machine::{Ending, Machine, Settings, elapsed, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SECOND: Duration = Duration::from_secs(1);

/// Reads whatever comes, and says nothing.
async fn listen() {
    let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move { while stream.read_u8().await.is_ok() {} });
    }
}

/// What becomes of a connection of `client` to `server`, which `prepare` changes when it has come about and which says
/// something a second later: its end, and how many seconds after its beginning that is.
fn given_up(
    prepare: fn(&TcpStream),
    says: &'static [u8],
    happens: impl FnOnce(&Machine) + Send + 'static,
) -> (String, u64) {
    let (tell, told) = mpsc::channel();
    run(Settings::of([6; 32]), move |machine| {
        machine.start_service("server", &[], listen);
        machine.sleep(SECOND / 2);
        machine.start_service("client", &[], move || async move {
            let mut stream = TcpStream::connect("server:7").await.unwrap();
            prepare(&stream);
            let began = elapsed().unwrap();
            tokio::time::sleep(SECOND).await;
            stream.write_all(says).await.unwrap();
            let end = stream.read_u8().await.unwrap_err().kind();
            let after = elapsed().unwrap() - began;
            tell.send((format!("{end:?}"), after.as_secs())).unwrap();
            let again = stream.read(&mut [0]).await;
            assert_eq!(again.unwrap(), 0, "it is told once");
        });
        machine.sleep(SECOND);
        happens(machine);
        assert_eq!(machine.wait_for_end("client"), Some(Ending::Returned));
    })
    .unwrap();
    told.recv().unwrap()
}

fn as_it_is(_: &TcpStream) {}

fn kept_alive(stream: &TcpStream) {
    let options = TcpKeepalive::new()
        .with_time(60 * SECOND)
        .with_interval(10 * SECOND)
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&options).unwrap();
}

fn impatient(stream: &TcpStream) {
    let timeout = Some(30 * SECOND);
    SockRef::from(stream).set_tcp_user_timeout(timeout).unwrap();
}

fn cut(machine: &Machine) {
    machine.cut("server", "client");
    machine.cut("client", "server");
}

#[test]
fn data_that_nobody_acknowledges_is_sent_for_a_quarter_of_an_hour() {
    let end = given_up(as_it_is, b"hello", cut);
    assert_eq!(end, ("TimedOut".to_owned(), 925));
    let end = given_up(as_it_is, b"hello", |machine| {
        machine.cut("server", "client")
    });
    assert_eq!(end, ("TimedOut".to_owned(), 925));
}

#[test]
fn data_that_nobody_acknowledges_is_sent_as_long_as_its_owner_says() {
    let end = given_up(impatient, b"hello", cut);
    assert_eq!(end, ("TimedOut".to_owned(), 31));
}

#[test]
fn a_partition_that_ends_in_time_ends_no_connection() {
    let end = given_up(as_it_is, b"hello", |machine| {
        cut(machine);
        machine.sleep(900 * SECOND);
        machine.heal();
        machine.sleep(900 * SECOND);
        machine.kill("server");
    });
    assert_eq!(end.1, 1800);
    assert_ne!(end.0, "TimedOut");
}

#[test]
fn a_peer_that_is_gone_is_noticed_only_where_it_is_asked() {
    let end = given_up(kept_alive, b"", |machine| machine.lose("server"));
    assert_eq!(end, ("TimedOut".to_owned(), 60 + 3 * 10));
    let end = given_up(as_it_is, b"", |machine| {
        machine.lose("server");
        machine.sleep(20_000 * SECOND);
        machine.start_service("server", &[], listen);
        machine.reset("client", "server");
    });
    assert_eq!(end, ("ConnectionReset".to_owned(), 20_000));
}

#[test]
fn a_peer_that_has_forgotten_the_connection_says_so_when_it_is_asked() {
    let end = given_up(kept_alive, b"", |machine| {
        machine.lose("server");
        machine.sleep(SECOND);
        machine.start_service("server", &[], listen);
    });
    assert_eq!(end, ("ConnectionReset".to_owned(), 60));
}

#[test]
fn a_peer_that_answers_is_asked_for_ever() {
    let end = given_up(kept_alive, b"", |machine| {
        machine.sleep(3_600 * SECOND);
        machine.kill("server");
    });
    assert_eq!(end, ("UnexpectedEof".to_owned(), 3_600));
}

#[test]
fn every_acknowledgement_gives_the_rest_of_the_data_more_time() {
    let (tell, told) = mpsc::channel();
    run(Settings::of([6; 32]), move |machine| {
        machine.start_service("server", &[], listen);
        machine.sleep(SECOND / 2);
        machine.start_service("client", &[], move || async move {
            let mut stream = TcpStream::connect("server:7").await.unwrap();
            tokio::time::sleep(SECOND).await;
            let began = elapsed().unwrap();
            stream.write_all(b"one").await.unwrap();
            tokio::time::sleep(2 * SECOND).await;
            stream.write_all(b"two").await.unwrap();
            stream.read_u8().await.unwrap_err();
            tell.send((elapsed().unwrap() - began).as_secs()).unwrap();
        });
        machine.sleep(SECOND);
        machine.slow_down("server", "client", 500 * SECOND);
        machine.sleep(SECOND);
        machine.cut("client", "server");
        machine.wait_for_end("client");
    })
    .unwrap();
    assert_eq!(told.recv(), Ok(500 + 924));
}

#[test]
fn options_of_a_connection_are_told_as_they_were_set() {
    run(Settings::of([6; 32]), |machine| {
        machine.start_service("server", &[], listen);
        machine.sleep(SECOND);
        machine.start_service("client", &[], || async {
            let stream = TcpStream::connect("server:7").await.unwrap();
            let options = SockRef::from(&stream);
            assert!(!options.keepalive().unwrap());
            assert_eq!(options.tcp_keepalive_time().unwrap(), 7_200 * SECOND);
            kept_alive(&stream);
            impatient(&stream);
            assert!(options.keepalive().unwrap());
            assert_eq!(options.tcp_keepalive_time().unwrap(), 60 * SECOND);
            assert_eq!(options.tcp_keepalive_interval().unwrap(), 10 * SECOND);
            assert_eq!(options.tcp_keepalive_retries().unwrap(), 3);
            assert_eq!(options.tcp_user_timeout().unwrap(), Some(30 * SECOND));
        });
        assert_eq!(machine.wait_for_end("client"), Some(Ending::Returned));
    })
    .unwrap();
}

#[test]
fn time_does_not_move_for_what_has_been_answered() {
    run(Settings::of([6; 32]), |machine| {
        machine.start_service("server", &[], listen);
        machine.sleep(SECOND);
        machine.start_service("client", &[], || async {
            let mut stream = TcpStream::connect("server:7").await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            tokio::time::sleep(SECOND).await;
        });
        machine.wait_for_end("client");
        // Nothing will ever happen again.
        assert_eq!(machine.wait_for_end("server"), None);
        assert!(machine.now() < 3 * SECOND, "{:?}", machine.now());
    })
    .unwrap();
}

#[test]
fn what_was_sent_over_a_connection_that_was_given_up_never_arrives() {
    let (tell, told) = mpsc::channel();
    run(Settings::of([6; 32]), move |machine| {
        machine.start_service("server", &[], move || async move {
            let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let read = stream.read_u8().await;
            let _ = tell.send(read.map_err(|error| error.kind()));
        });
        machine.sleep(SECOND / 2);
        machine.start_service("client", &[], || async {
            let mut stream = TcpStream::connect("server:7").await.unwrap();
            tokio::time::sleep(SECOND).await;
            stream.write_all(b"hello").await.unwrap();
            stream.read_u8().await.unwrap_err();
        });
        machine.sleep(SECOND);
        machine.cut("client", "server");
        machine.wait_for_end("client");
        machine.heal();
        machine.sleep(SECOND);
    })
    .unwrap();
    assert_ne!(told.try_recv(), Ok(Ok(b'h')));
}
