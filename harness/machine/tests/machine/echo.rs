//! Two hosts, an echo between them, and a crash.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stormglass_machine::{Ending, Settings, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn serve() {
    let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        });
    }
}

async fn call(said: Arc<Mutex<Vec<String>>>) {
    let began = Instant::now();
    let mut stream = TcpStream::connect("server:7").await.unwrap();
    for word in ["one", "two", "three"] {
        stream.write_all(word.as_bytes()).await.unwrap();
        let mut answer = vec![0; word.len()];
        stream.read_exact(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        said.lock()
            .unwrap()
            .push(format!("{answer} {:?}", began.elapsed()));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn echo(seed: u8) -> Vec<String> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    run(Settings::of([seed; 32]), move |machine| {
        machine.start_service("server", &[], serve);
        machine.sleep(Duration::from_millis(10));
        machine.start_service("client", &[], move || call(heard));
        assert_eq!(machine.wait_for_end("client"), Some(Ending::Returned));
        assert!(machine.now() > Duration::from_secs(3));
    })
    .unwrap();
    let said = said.lock().unwrap();
    said.clone()
}

#[test]
fn hosts_talk_to_one_another_and_time_repeats() {
    let said = echo(1);
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said, echo(1));
    assert_ne!(said, echo(2));
}

#[test]
fn a_main_function_of_tokio_runs_as_it_is() {
    #[tokio::main]
    async fn main() {
        let served = tokio::spawn(serve());
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut stream = TcpStream::connect("localhost:7").await.unwrap();
        stream.write_all(b"one").await.unwrap();
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"one");
        served.abort();
    }
    run(Settings::of([1; 32]), |machine| {
        machine.start("host", &[], main);
        assert_eq!(machine.wait_for_end("host"), Some(Ending::Returned));
    })
    .unwrap();
}

#[test]
fn more_than_any_buffer_holds_goes_from_host_to_host_in_time() {
    const ALL: usize = 1_000_000;
    run(Settings::of([1; 32]), |machine| {
        machine.start_service("server", &[], || async {
            let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            // A client that says nothing is accepted as well, and what is written waits only for acknowledgements.
            stream.write_all(&vec![7; ALL]).await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            assert_eq!(all.len(), ALL);
        });
        machine.sleep(Duration::from_millis(10));
        machine.start_service("client", &[], || async {
            let mut stream = TcpStream::connect("server:7").await.unwrap();
            let mut all = vec![0; ALL];
            stream.read_exact(&mut all).await.unwrap();
            stream.write_all(&all).await.unwrap();
            stream.shutdown().await.unwrap();
            // What a process leaves unsent when it ends is lost.
            let _ = stream.read_u8().await;
        });
        assert_eq!(machine.wait_for_end("client"), Some(Ending::Returned));
        assert_eq!(machine.wait_for_end("server"), Some(Ending::Returned));
        assert!(
            machine.now() < Duration::from_secs(5),
            "{:?}",
            machine.now()
        );
    })
    .unwrap();
}
