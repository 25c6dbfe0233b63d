//! What happens to hosts, and to the network between them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stormglass_machine::{Ending, Links, Machine, Settings, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What hosts say, with the virtual time at which they say it.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn say(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn in_a_run(drive: impl FnOnce(&Machine) + Send + 'static) {
    run(Settings::of([3; 32]), drive).unwrap();
}

/// Answers each byte with the same one.
async fn echo() {
    let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            while let Ok(byte) = stream.read_u8().await {
                let _ = stream.write_u8(byte).await;
            }
        });
    }
}

/// Asks `server` every hundred milliseconds on one connection, and says what comes of it.
async fn ask(said: Said) {
    let mut stream = TcpStream::connect("server:7").await.unwrap();
    for byte in 0.. {
        if let Err(error) = stream.write_u8(byte).await {
            return said.say(format!("write {:?}", error.kind()));
        }
        match stream.read_u8().await {
            Ok(byte) => said.say(byte.to_string()),
            Err(error) => return said.say(format!("read {:?}", error.kind())),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn a_kill_ends_a_process_and_its_peers_are_told() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        machine.start_service("server", &[], echo);
        machine.sleep(Duration::from_millis(5));
        machine.start_service("client", &[], move || ask(heard));
        machine.sleep(Duration::from_millis(250));
        machine.kill("server");
        assert_eq!(machine.wait_for_end("server"), Some(Ending::Killed));
        assert_eq!(machine.wait_for_end("client"), Some(Ending::Returned));
        assert!(machine.now() < Duration::from_secs(1));
    });
    let said = said.all();
    assert_eq!(said[..3], ["0", "1", "2"]);
    assert_eq!(said.len(), 4, "{said:?}");
}

#[test]
fn a_process_that_is_gone_refuses_and_one_that_is_back_answers() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        machine.start_service("server", &[], echo);
        machine.sleep(Duration::from_millis(5));
        machine.kill("server");
        let client = move || async move {
            let refused = TcpStream::connect("server:7").await;
            heard.say(format!("{:?}", refused.map(drop).unwrap_err().kind()));
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut stream = TcpStream::connect("server:7").await.unwrap();
            stream.write_u8(9).await.unwrap();
            heard.say(stream.read_u8().await.unwrap().to_string());
        };
        machine.start_service("client", &[], client);
        machine.sleep(Duration::from_millis(500));
        machine.start_service("server", &[], echo);
        assert_eq!(machine.wait_for_end("client"), Some(Ending::Returned));
    });
    assert_eq!(said.all(), ["ConnectionRefused", "9"]);
}

#[test]
fn what_a_dead_process_still_does_reaches_nobody() {
    struct LastWords(TcpStream, Said);
    impl Drop for LastWords {
        fn drop(&mut self) {
            self.1
                .say(format!("{:?}", self.0.try_write(b"farewell").is_err()));
            let path = std::env::temp_dir().join("stormglass-machine-last-words");
            self.1
                .say(format!("{:?}", std::fs::write(path, b"farewell").is_err()));
        }
    }
    let said = Said::default();
    let (client, server) = (said.clone(), said.clone());
    in_a_run(move |machine| {
        let listen = move || async move {
            let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all).await;
            server.say(format!("heard {all:?}"));
        };
        machine.start_service("server", &[], listen);
        machine.sleep(Duration::from_millis(5));
        machine.start_service("client", &[], move || async move {
            let stream = TcpStream::connect("server:7").await.unwrap();
            let _last_words = LastWords(stream, client);
            std::future::pending::<()>().await;
        });
        machine.sleep(Duration::from_millis(100));
        machine.kill("client");
        assert_eq!(machine.wait_for_end("server"), Some(Ending::Returned));
    });
    assert_eq!(said.all(), ["true", "true", "heard []"]);
}

#[test]
fn a_paused_process_does_nothing_and_goes_on_where_it_was() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        machine.start_service("server", &[], echo);
        machine.sleep(Duration::from_millis(5));
        let asked = heard.clone();
        machine.start_service("client", &[], move || ask(asked));
        machine.sleep(Duration::from_millis(150));
        machine.pause("server");
        let before = heard.all().len();
        machine.sleep(Duration::from_secs(10));
        assert!(heard.all().len() <= before + 1, "{:?}", heard.all());
        let paused = heard.all().len();
        machine.unpause("server");
        machine.sleep(Duration::from_secs(1));
        assert!(heard.all().len() > paused + 5, "{:?}", heard.all());
    });
}

#[test]
fn a_cut_link_holds_what_it_carries_until_it_is_whole() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        machine.start_service("server", &[], echo);
        machine.sleep(Duration::from_millis(5));
        let asked = heard.clone();
        machine.start_service("client", &[], move || ask(asked));
        machine.sleep(Duration::from_millis(150));
        let before = heard.all();
        machine.cut("server", "client");
        machine.sleep(Duration::from_secs(10));
        assert_eq!(heard.all(), before);
        machine.heal();
        machine.sleep(Duration::from_millis(250));
        assert!(heard.all().len() > before.len(), "{:?}", heard.all());
    });
}

#[test]
fn a_computer_that_is_gone_says_nothing() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        machine.start_service("server", &[], echo);
        machine.sleep(Duration::from_millis(5));
        let asked = heard.clone();
        machine.start_service("client", &[], move || ask(asked));
        machine.sleep(Duration::from_millis(150));
        machine.lose("server");
        let before = heard.all();
        machine.sleep(Duration::from_secs(100));
        assert_eq!(heard.all(), before);
        machine.start_service("server", &[], echo);
        // Its peer sends nothing while it waits for an answer, and so learns nothing.
        machine.sleep(Duration::from_secs(100));
        assert_eq!(heard.all(), before);
    });
}

#[test]
fn a_computer_that_is_back_reaches_whoever_still_knows_its_old_connections() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        machine.start_service("server", &[], echo);
        machine.sleep(Duration::from_millis(5));
        for _ in 0..2 {
            let heard = heard.clone();
            // It has the same port each time, since its ports are counted from the start of a process.
            machine.start_service("client", &[], move || async move {
                let mut stream = TcpStream::connect("server:7").await.unwrap();
                stream.write_u8(7).await.unwrap();
                heard.say(stream.read_u8().await.unwrap().to_string());
                std::future::pending::<()>().await;
            });
            // Long enough for the client to ask again.
            machine.sleep(Duration::from_millis(1_500));
            machine.lose("client");
        }
    });
    assert_eq!(said.all(), ["7", "7"]);
}

#[test]
fn what_reaches_a_paused_computer_is_taken_in_when_it_goes_on() {
    in_a_run(|machine| {
        machine.start("server", &[], || {
            let _listener = std::net::TcpListener::bind("0.0.0.0:7").unwrap();
            // Its only thread waits for something else, and the computer answers all the same.
            let (_sender, receiver) = std::sync::mpsc::channel::<()>();
            let _ = receiver.recv_timeout(Duration::from_secs(60));
        });
        machine.sleep(Duration::from_millis(5));
        machine.pause("server");
        machine.start_service("client", &[], || async {
            TcpStream::connect("server:7").await.unwrap();
        });
        machine.sleep(Duration::from_secs(1));
        machine.unpause("server");
        assert_eq!(machine.wait_for_end("client"), Some(Ending::Returned));
        assert!(
            machine.now() < Duration::from_secs(2),
            "{:?}",
            machine.now()
        );
        machine.wait_for_end("server");
    });
}

#[test]
fn a_refusal_takes_as_long_as_any_other_answer() {
    let settings = Settings {
        links: Links {
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
        },
        ..Settings::of([3; 32])
    };
    let took = run(settings, |machine| {
        machine.start_service("server", &[], echo);
        machine.kill("server");
        machine.start_service("client", &[], || async {
            TcpStream::connect("server:7").await.unwrap_err();
        });
        machine.wait_for_end("client");
        machine.now()
    });
    assert_eq!(took.unwrap(), Duration::from_millis(20));
}

#[test]
fn a_connection_that_nobody_answers_is_given_up_after_two_minutes() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        machine.start_service("server", &[], echo);
        machine.sleep(Duration::from_millis(5));
        machine.lose("server");
        machine.start_service("client", &[], move || async move {
            let began = std::time::Instant::now();
            let connected = TcpStream::connect("server:7").await;
            let kind = connected.map(drop).unwrap_err().kind();
            heard.say(format!("{kind:?} after {} s", began.elapsed().as_secs()));
        });
        machine.wait_for_end("client");
    });
    assert_eq!(said.all(), ["TimedOut after 127 s"]);
}

#[test]
fn a_slow_link_is_slow_one_way_until_it_is_healed() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        machine.start_service("server", &[], echo);
        machine.sleep(Duration::from_millis(5));
        machine.slow_down("client", "server", Duration::from_secs(2));
        machine.start_service("client", &[], move || async move {
            for _ in 0..2 {
                let began = std::time::Instant::now();
                drop(TcpStream::connect("server:7").await.unwrap());
                heard.say(began.elapsed().as_secs().to_string());
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        });
        machine.sleep(Duration::from_secs(5));
        machine.heal();
        machine.wait_for_end("client");
    });
    assert_eq!(said.all(), ["2", "0"]);
}

#[test]
fn who_has_given_up_slow_connects_is_served_once_the_link_is_fast() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        machine.start_service("server", &[], echo);
        machine.sleep(Duration::from_millis(5));
        machine.slow_down("client", "server", Duration::from_millis(540));
        machine.slow_down("server", "client", Duration::from_millis(540));
        let second = Duration::from_secs(1);
        machine.start_service("client", &[], || async {
            drop(TcpStream::connect("server:7").await);
            std::future::pending::<()>().await;
        });
        machine.sleep(Duration::from_millis(700));
        machine.kill("client");
        machine.sleep(Duration::from_millis(250));
        machine.start_service("client", &[], move || async move {
            for _ in 0..8 {
                let connect = TcpStream::connect("server:7");
                let connected = tokio::time::timeout(second, connect).await;
                heard.say(match connected {
                    Ok(Ok(_)) => "connected".to_owned(),
                    Ok(Err(error)) => error.kind().to_string(),
                    Err(_) => "gave up".to_owned(),
                });
                tokio::time::sleep(second).await;
            }
        });
        machine.sleep(Duration::from_millis(7_500));
        machine.slow_down("client", "server", Duration::ZERO);
        machine.slow_down("server", "client", Duration::ZERO);
        machine.wait_for_end("client");
    });
    let (slow, fast) = ("gave up", "connected");
    assert_eq!(said.all(), [slow, slow, slow, slow, fast, fast, fast, fast]);
}

#[test]
fn a_reset_is_told_to_both_ends_of_a_connection() {
    let said = Said::default();
    let (client, server) = (said.clone(), said.clone());
    in_a_run(move |machine| {
        machine.start_service("server", &[], move || async move {
            let listener = TcpListener::bind("0.0.0.0:7").await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            server.say(format!(
                "server {:?}",
                stream.read_u8().await.unwrap_err().kind()
            ));
        });
        machine.sleep(Duration::from_millis(5));
        machine.start_service("client", &[], move || async move {
            let mut stream = TcpStream::connect("server:7").await.unwrap();
            client.say(format!(
                "client {:?}",
                stream.read_u8().await.unwrap_err().kind()
            ));
        });
        machine.sleep(Duration::from_millis(100));
        assert!(machine.reset("client", "server"));
        machine.wait_for_end("server");
        assert!(!machine.reset("client", "server"));
    });
    assert_eq!(
        said.all(),
        ["client ConnectionReset", "server ConnectionReset"]
    );
}

#[test]
fn a_system_clock_may_be_wrong_while_time_passes_rightly() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        machine.step_clock("wrong", -3_600_000);
        for host in ["right", "wrong"] {
            let heard = heard.clone();
            machine.start_service(host, &[], move || async move {
                let (shown, began) = (std::time::SystemTime::now(), std::time::Instant::now());
                tokio::time::sleep(Duration::from_secs(100)).await;
                let since_1970 = shown.duration_since(std::time::UNIX_EPOCH).unwrap();
                heard.say(format!(
                    "{host} {} {} {}",
                    since_1970.as_secs(),
                    shown.elapsed().unwrap().as_secs(),
                    began.elapsed().as_secs()
                ));
            });
        }
        machine.sleep(Duration::from_secs(1));
        machine.drift_clock("wrong", 100_000);
        machine.sleep(Duration::from_secs(200));
    });
    assert_eq!(
        said.all(),
        ["right 1767225600 100 100", "wrong 1767222000 109 100"]
    );
}

#[test]
fn a_service_that_panics_is_told_from_one_that_returns() {
    in_a_run(|machine| {
        machine.start_service("wrong", &[], || async {
            std::panic::resume_unwind(Box::new("out of luck"));
        });
        let ending = machine.wait_for_end("wrong");
        assert_eq!(ending, Some(Ending::Panicked("out of luck".to_owned())));
        machine.start_service("waiting", &[], std::future::pending::<()>);
        // Nothing will ever happen again.
        assert_eq!(machine.wait_for_end("waiting"), None);
    });
}

#[test]
fn hosts_have_names_and_variables_of_their_own() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        for (host, color) in [("one", "red"), ("two", "blue")] {
            let heard = heard.clone();
            machine.start(host, &[("COLOR", color)], move || {
                let color = std::env::var("COLOR").unwrap();
                let has_path = std::env::var("PATH").is_ok();
                heard.say(format!("{color} {has_path}"));
            });
            machine.wait_for_end(host);
        }
    });
    assert_eq!(said.all(), ["red false", "blue false"]);
}

#[test]
fn a_blocked_host_keeps_no_other_from_going_on() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        let sleeper = heard.clone();
        machine.start_service("sleeper", &[], move || async move {
            // A mistake that services make: it blocks the thread that all of them run on.
            std::thread::sleep(Duration::from_secs(5));
            sleeper.say("slept");
        });
        let other = heard.clone();
        machine.start_service("other", &[], move || async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            other.say("went on");
        });
        machine.wait_for_end("sleeper");
        assert_eq!(machine.now(), Duration::from_secs(5));
    });
    assert_eq!(said.all(), ["went on", "slept"]);
}

/// Connects once, with patience for five seconds, says what came of it, and leaves.
async fn connect_once(said: Said) {
    let connection = TcpStream::connect("server:7");
    let said_to = said.clone();
    match tokio::time::timeout(Duration::from_secs(5), connection).await {
        Ok(Ok(mut stream)) => {
            stream.write_u8(7).await.unwrap();
            let answer = tokio::time::timeout(Duration::from_secs(5), stream.read_u8()).await;
            said_to.say(format!("answer {answer:?}"));
        }
        Ok(Err(error)) => said_to.say(error.kind().to_string()),
        Err(_) => said.say("in vain"),
    }
}

#[test]
fn whoever_was_started_again_and_again_behind_a_cut_link_connects_when_it_is_whole() {
    let said = Said::default();
    let heard = said.clone();
    in_a_run(move |machine| {
        machine.start_service("server", &[], echo);
        machine.sleep(Duration::from_millis(5));
        for incarnation in 0..8 {
            let said = heard.clone();
            machine.start_service("client", &[], move || connect_once(said));
            if incarnation == 0 {
                machine.sleep(Duration::from_millis(1));
                machine.cut("client", "server");
                machine.cut("server", "client");
            }
            if incarnation == 4 {
                machine.sleep(Duration::from_secs(1));
                machine.mend("client", "server");
                machine.mend("server", "client");
            }
            machine.wait_for_end("client");
            machine.sleep(Duration::from_secs(1));
        }
    });
    let said = said.all();
    assert_eq!(said[4..], ["answer Ok(Ok(7))"; 4], "{said:?}");
}
