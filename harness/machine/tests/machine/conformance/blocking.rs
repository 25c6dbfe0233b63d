//! The standard library's sockets, which block the thread that uses them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::{A_WHILE, Seen, kind, same_on_both, same_on_both_async};

fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn connected() -> (TcpStream, TcpStream) {
    let (listener, address) = listening();
    let client = TcpStream::connect(address).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

#[test]
fn threads_serve_and_ask() {
    same_on_both(|seen| {
        let (listener, address) = listening();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).unwrap();
            stream.write_all(&asked).unwrap();
            asked
        });
        let mut client = TcpStream::connect(address).unwrap();
        std::thread::sleep(A_WHILE);
        client.write_all(b"ping").unwrap();
        let mut answer = String::new();
        seen.note(kind(client.read_to_string(&mut answer)));
        seen.note(answer);
        seen.note(server.join().unwrap());
    });
}

#[test]
fn a_refused_connection_says_so() {
    same_on_both(|seen| {
        let (listener, address) = listening();
        drop(listener);
        seen.note(kind(TcpStream::connect(address)).map(drop));
        let patient = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        seen.note(kind(patient).map(drop));
    });
}

#[test]
fn connecting_with_a_timeout_connects() {
    same_on_both(|seen| {
        let (listener, address) = listening();
        let client = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        seen.note(kind(client.and_then(|own| own.peer_addr())) == Ok(address));
        seen.note(listener.accept().is_ok());
    });
}

#[test]
fn reading_gives_up_after_its_timeout() {
    same_on_both(|seen| {
        let (mut client, mut server) = connected();
        seen.note(kind(server.read_timeout()));
        server.set_read_timeout(Some(A_WHILE)).unwrap();
        seen.note(
            server
                .read_timeout()
                .unwrap()
                .is_some_and(|own| own >= A_WHILE),
        );
        let mut buffer = [0; 4];
        seen.note(kind(server.read(&mut buffer)));
        client.write_all(b"late").unwrap();
        seen.note(kind(server.read(&mut buffer)));
        server.set_nonblocking(true).unwrap();
        seen.note(kind(server.read(&mut buffer)));
    });
}

#[test]
fn a_clone_is_the_same_connection() {
    same_on_both(|seen| {
        let (client, mut server) = connected();
        let mut other = client.try_clone().unwrap();
        drop(client);
        other.write_all(b"still").unwrap();
        let mut buffer = [0; 8];
        seen.note(kind(server.read(&mut buffer)));
        drop(other);
        seen.note(kind(server.read(&mut buffer)));
    });
}

#[test]
fn what_is_shut_is_at_its_end() {
    same_on_both(|seen| {
        let (mut client, mut server) = connected();
        client.shutdown(Shutdown::Write).unwrap();
        let mut buffer = [0; 8];
        seen.note(kind(server.read(&mut buffer)));
        seen.note(kind(client.write(b"x")));
        client.shutdown(Shutdown::Read).unwrap();
        seen.note(kind(client.read(&mut buffer)));
        seen.note(kind(server.write(b"x")));
    });
}

#[test]
fn a_blocking_task_may_use_them() {
    same_on_both_async(|seen: Seen| async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asking = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"hello").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut asked)
            .await
            .unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, asked.to_uppercase().as_bytes())
            .await
            .unwrap();
        drop(stream);
        seen.note(asking.await.unwrap());
    });
}

#[test]
fn a_lot_goes_through() {
    same_on_both(|seen| {
        let (mut client, mut server) = connected();
        let writing = std::thread::spawn(move || {
            client.write_all(&vec![5; 1 << 20]).unwrap();
        });
        let mut all = Vec::new();
        seen.note(kind(server.read_to_end(&mut all)));
        writing.join().unwrap();
    });
}

#[test]
fn names_are_known() {
    same_on_both(|seen| {
        let found = "localhost:80".to_socket_addrs().unwrap();
        seen.note(found.filter(SocketAddr::is_ipv4).collect::<Vec<_>>());
        seen.note("no-such-host.invalid:80".to_socket_addrs().is_err());
    });
}

#[test]
fn what_a_thread_has_written_arrives_while_it_sleeps() {
    same_on_both(|seen| {
        let (mut client, mut server) = connected();
        let (tell, told) = std::sync::mpsc::channel();
        let writing = std::thread::spawn(move || {
            client.write_all(b"one").unwrap();
            let _ = told.recv_timeout(Duration::from_secs(60));
        });
        let reading = std::thread::spawn(move || {
            let mut word = [0; 3];
            let read = kind(server.read(&mut word));
            tell.send(()).unwrap();
            (read, word)
        });
        let began = std::time::Instant::now();
        seen.note(reading.join().unwrap());
        writing.join().unwrap();
        seen.note(began.elapsed() < Duration::from_secs(10));
    });
}
