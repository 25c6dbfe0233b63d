//! The server as a process of its own: `cargo run -p stormglass-nats --example server -- --port 4222`.
//!
//! It understands as many of nats-server's flags and settings as test suites of clients need: port, address,
//! the files for its log and its process id, and of a configuration file the largest payload, credentials and
//! whether JetStream is on. What it does not know it ignores.

use std::io::{self, Write};
use std::sync::Arc;

use stormglass_nats::{Credentials, NoWitness, Server, Settings};

/// What the command line asks for.
#[derive(Default)]
struct Flags {
    address: Option<String>,
    port: Option<i32>,
    log: Option<String>,
    process: Option<String>,
    settings: Option<String>,
    jetstream: bool,
}

fn flags() -> Flags {
    let mut flags = Flags::default();
    let mut words = std::env::args()
        .skip(1)
        .flat_map(|word| match word.split_once('=') {
            Some((name, value)) => vec![name.to_owned(), value.to_owned()],
            None => vec![word],
        });
    while let Some(word) = words.next() {
        match word.trim_start_matches('-') {
            "a" | "addr" => flags.address = words.next(),
            "p" | "port" => flags.port = words.next().and_then(|port| port.parse().ok()),
            "l" | "log" => flags.log = words.next(),
            "P" | "pid" => flags.process = words.next(),
            "c" | "config" => flags.settings = words.next(),
            "js" | "jetstream" => flags.jetstream = true,
            _ => {}
        }
    }
    flags
}

/// Reads what this server knows of a configuration file.
fn settings(flags: &Flags) -> io::Result<Settings> {
    let mut settings = Settings {
        // Without a file the server is started for itself, and is whole.
        jetstream: flags.jetstream || flags.settings.is_none() && flags.log.is_none(),
        ..Settings::default()
    };
    let Some(path) = &flags.settings else {
        return Ok(settings);
    };
    let (mut user, mut password) = (None, None);
    for line in std::fs::read_to_string(path)?.lines() {
        let Some(at) = line.find([':', '=', '{']) else {
            continue;
        };
        let (name, value) = line.split_at(at);
        let value = value[1..].trim().trim_matches(['"', ',', '\'']).to_owned();
        match name.trim() {
            "jetstream" => settings.jetstream = true,
            "max_payload" => settings.payload_max = bytes(&value).unwrap_or(settings.payload_max),
            "token" => settings.credentials = Some(Credentials::Token(value)),
            "user" => user = Some(value),
            "password" | "pass" => password = Some(value),
            _ => {}
        }
    }
    if let (Some(user), Some(password)) = (user, password) {
        settings.credentials = Some(Credentials::User(user, password));
    }
    Ok(settings)
}

fn bytes(text: &str) -> Option<usize> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let factor = match &text[digits..] {
        "" => 1,
        "KB" | "K" | "KiB" => 1024,
        "MB" | "M" | "MiB" => 1024 * 1024,
        _ => return None,
    };
    Some(text[..digits].parse::<usize>().ok()? * factor)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let flags = flags();
    let host = flags.address.as_deref().unwrap_or("0.0.0.0");
    let port = u16::try_from(flags.port.unwrap_or(4222)).unwrap_or(0);
    let listener = tokio::net::TcpListener::bind((host, port)).await?;
    let line = format!(
        "[INF] Listening for client connections on {}\n",
        listener.local_addr()?
    );
    if let Some(path) = &flags.process {
        std::fs::write(path, std::process::id().to_string())?;
    }
    match &flags.log {
        Some(path) => std::fs::write(path, line)?,
        None => io::stdout().write_all(line.as_bytes())?,
    }
    Server::with_settings(settings(&flags)?, Arc::new(NoWitness))
        .serve(listener)
        .await
}
