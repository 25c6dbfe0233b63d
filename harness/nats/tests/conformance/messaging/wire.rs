//! The protocol itself, in the words of a client that is no library.
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol>

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stage::{A_WHILE, Stage, caught_up, check};
use crate::transcript::text;

/// What the server writes until it has nothing more to say, line by line, without its greeting; at the end
/// `closed` if it has hung up.
async fn talk(stage: &Stage, words: &str) -> Vec<String> {
    talk_in_pieces(stage, &[words]).await
}

/// As [`talk`], where each of `pieces` is sent on its own.
async fn talk_in_pieces(stage: &Stage, pieces: &[&str]) -> Vec<String> {
    let mut socket = TcpStream::connect(stage.address()).await.unwrap();
    socket.set_nodelay(true).unwrap();
    for piece in pieces {
        // The server may have hung up already, which the answer shows.
        socket.write_all(piece.as_bytes()).await.ok();
        tokio::time::sleep(A_WHILE / 10).await;
    }
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    let closed = loop {
        match timeout(A_WHILE * 2, socket.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(length)) => heard.extend_from_slice(&buffer[..length]),
            Err(_) => break false,
        }
    };
    let heard = text(&heard);
    let lines = heard.split("\r\n").filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.starts_with("INFO "));
    let closed = closed.then(|| "closed".to_owned());
    lines.map(str::to_owned).chain(closed).collect()
}

const QUIET: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";
const VERBOSE: &str = "CONNECT {\"verbose\":true,\"pedantic\":false,\"headers\":true}\r\n";

#[test]
fn a_ping_is_answered() {
    check(async |stage| {
        stage.sees(talk(stage, &format!("{QUIET}PING\r\n")).await, &["PONG"]);
    });
}

#[test]
fn a_verbose_server_says_ok() {
    check(async |stage| {
        let words = format!("{VERBOSE}SUB a 1\r\nPUB b 2\r\nhi\r\nUNSUB 1\r\nPING\r\n");
        stage.sees(
            talk(stage, &words).await,
            &["+OK", "+OK", "+OK", "+OK", "PONG"],
        );
    });
}

#[test]
fn a_message_names_subject_subscription_and_length() {
    check(async |stage| {
        let words = format!("{QUIET}SUB a.* 7\r\nPUB a.b 5\r\nhello\r\nPUB a.c back 2\r\nhi\r\n");
        let heard = talk(stage, &words).await;
        stage.sees(heard, &["MSG a.b 7 5", "hello", "MSG a.c 7 back 2", "hi"]);
    });
}

#[test]
fn a_message_with_headers_names_their_length_too() {
    check(async |stage| {
        let headers = "NATS/1.0\r\nA: b\r\n\r\n";
        let words = format!(
            "{QUIET}SUB a 1\r\nHPUB a {} {}\r\n{headers}hello\r\n",
            headers.len(),
            headers.len() + 5
        );
        let heard = talk(stage, &words).await;
        stage.sees(heard, &["HMSG a 1 18 23", "NATS/1.0", "A: b", "hello"]);
    });
}

#[test]
fn without_headers_of_its_own_a_client_gets_the_payload_alone() {
    check(async |stage| {
        let connect = "CONNECT {\"verbose\":false,\"headers\":false}\r\nSUB a 1\r\nPING\r\n";
        let mut plain = TcpStream::connect(stage.address()).await.unwrap();
        plain.write_all(connect.as_bytes()).await.unwrap();
        tokio::time::sleep(A_WHILE).await;
        let headers = crate::stage::header_map(&[("A", "b")]);
        let sent = stage
            .client
            .publish_with_headers("a", headers, "hello".into());
        sent.await.unwrap();
        caught_up(&stage.client).await;
        tokio::time::sleep(A_WHILE).await;
        let mut buffer = vec![0; 8192];
        let length = plain.read(&mut buffer).await.unwrap();
        let heard = text(&buffer[..length]);
        stage.sees(heard.ends_with("PONG\r\nMSG a 1 5\r\nhello\r\n"), &true);
    });
}

#[test]
fn words_may_be_small_spaced_and_torn() {
    check(async |stage| {
        let pieces = [
            QUIET,
            "su",
            "b  a\t1\r",
            "\npub a",
            "  5\r\nhel",
            "lo",
            "\r",
            "\nping\r\n",
        ];
        let heard = talk_in_pieces(stage, &pieces).await;
        stage.sees(heard, &["MSG a 1 5", "hello", "PONG"]);
    });
}

#[test]
fn a_limit_of_messages_is_held_by_the_server() {
    check(async |stage| {
        let published = "PUB a 1\r\nx\r\n".repeat(4);
        let words = format!("{QUIET}SUB a 1\r\nUNSUB 1 2\r\n{published}PING\r\n");
        stage.sees(
            talk(stage, &words).await,
            &["MSG a 1 1", "x", "MSG a 1 1", "x", "PONG"],
        );
    });
}

#[test]
fn a_subscription_number_is_used_again_after_unsubscribing() {
    check(async |stage| {
        let words =
            format!("{QUIET}SUB a 1\r\nUNSUB 1\r\nSUB b 1\r\nPUB a 1\r\nx\r\nPUB b 1\r\ny\r\n");
        stage.sees(talk(stage, &words).await, &["MSG b 1 1", "y"]);
    });
}

#[test]
fn a_request_that_nobody_hears_is_answered_by_a_status() {
    check(async |stage| {
        let words = format!("{QUIET}SUB back 1\r\nPUB nobody back 0\r\n\r\n");
        let heard = talk(stage, &words).await;
        stage.compares(format!("{heard:?}"));
        stage.sees(
            heard.get(1).map(|line| line.starts_with("NATS/1.0 503")),
            &Some(true),
        );
    });
}

#[test]
fn an_unknown_word_ends_the_connection() {
    check(async |stage| {
        let heard = talk(stage, &format!("{QUIET}HELLO\r\n")).await;
        stage.sees(heard, &["-ERR 'Unknown Protocol Operation'", "closed"]);
    });
}

#[test]
fn a_payload_over_the_limit_ends_the_connection() {
    check(async |stage| {
        let heard = talk(stage, &format!("{QUIET}PUB a 1048577\r\n")).await;
        stage.sees(heard, &["-ERR 'Maximum Payload Violation'", "closed"]);
    });
}

#[test]
fn an_invalid_subject_to_subscribe_to_is_an_error_that_is_survived() {
    check(async |stage| {
        for subject in ["a..b", ".a", "a.", "a.>.b", ">.a"] {
            let heard = talk(stage, &format!("{QUIET}SUB {subject} 1\r\nPING\r\n")).await;
            stage.sees(heard, &["-ERR 'Invalid Subject'", "PONG"]);
        }
    });
}

#[test]
fn a_pedantic_server_refuses_wildcards_in_what_is_published() {
    check(async |stage| {
        let connect = "CONNECT {\"verbose\":false,\"pedantic\":true}\r\n";
        let heard = talk(stage, &format!("{connect}PUB a.* 0\r\n\r\nPING\r\n")).await;
        stage.sees(heard, &["-ERR 'Invalid Publish Subject'", "PONG"]);
    });
}

#[test]
fn the_greeting_is_one_line_of_json() {
    check(async |stage| {
        let mut socket = TcpStream::connect(stage.address()).await.unwrap();
        let mut buffer = vec![0; 8192];
        let length = socket.read(&mut buffer).await.unwrap();
        let greeting = text(&buffer[..length]);
        let json = greeting
            .strip_prefix("INFO ")
            .and_then(|rest| rest.strip_suffix("\r\n"));
        let info: serde_json::Value = serde_json::from_str(json.unwrap().trim()).unwrap();
        for field in [
            "server_id",
            "server_name",
            "version",
            "host",
            "client_id",
            "client_ip",
        ] {
            stage.sees(info.get(field).is_some(), &true);
        }
        stage.sees(info["headers"].as_bool(), &Some(true));
        stage.sees(info["max_payload"].as_u64(), &Some(1_048_576));
        stage.sees(info["proto"].as_u64(), &Some(1));
        stage.sees(info["jetstream"].as_bool(), &Some(true));
    });
}

#[test]
fn a_line_that_is_too_long_ends_the_connection() {
    check(async |stage| {
        let subject = "a".repeat(5000);
        let heard = talk(stage, &format!("{QUIET}SUB {subject} 1\r\n")).await;
        stage.sees(heard, &["-ERR 'maximum control line exceeded'", "closed"]);
    });
}

#[test]
fn a_number_can_be_subscribed_with_once() {
    check(async |stage| {
        let words =
            format!("{QUIET}SUB a 1\r\nSUB b 1\r\nPUB a 1\r\nx\r\nPUB b 1\r\ny\r\nPING\r\n");
        stage.compares(format!("{:?}", talk(stage, &words).await));
    });
}

#[test]
fn unsubscribing_what_is_not_subscribed_is_silent() {
    check(async |stage| {
        let heard = talk(stage, &format!("{QUIET}UNSUB 9\r\nUNSUB 9 5\r\nPING\r\n")).await;
        stage.sees(heard, &["PONG"]);
    });
}

#[test]
fn lengths_that_cannot_be_end_the_connection() {
    check(async |stage| {
        for words in [
            "PUB a x\r\n",
            "PUB a -1\r\n",
            "HPUB a 10 5\r\n",
            "PUB a 2\r\nhello\r\n",
            "SUB\r\n",
            "PUB\r\n",
        ] {
            let heard = talk(stage, &format!("{QUIET}{words}")).await;
            // How much of the words is quoted back is the server's own matter.
            let kinds: Vec<_> = heard
                .iter()
                .map(|line| line.split(',').next().unwrap_or_default())
                .collect();
            stage.sees(kinds.last().copied(), &Some("closed"));
            stage.compares(format!("{words:?}: {kinds:?}"));
        }
    });
}

#[test]
fn messages_may_come_before_connect() {
    check(async |stage| {
        let heard = talk(stage, "PING\r\nSUB a 1\r\nPUB a 1\r\nx\r\n").await;
        stage.compares(format!("{heard:?}"));
    });
}

#[test]
fn a_queue_group_is_named_in_a_subscription() {
    check(async |stage| {
        let words = format!("{QUIET}SUB a group 1\r\nSUB a group 2\r\nPUB a 1\r\nx\r\n");
        let heard = talk(stage, &words).await;
        stage.sees(heard.len(), &2);
        stage.sees(heard.last().map(String::as_str), &Some("x"));
    });
}
