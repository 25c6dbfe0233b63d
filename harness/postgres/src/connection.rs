//! A connection: the task that speaks with one client.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::engine::{Answer, Engine, Mailbox, time_to};
use crate::session::{Next, Prepared, Request};
use crate::{Failure, Fate, Settings, lock, wire};

/// A stream of random numbers (SplitMix64).
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Draws(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }
}

struct Connection {
    engine: Arc<Mutex<Engine>>,
    settings: Settings,
    draws: Draws,
    stream: TcpStream,
    /// What has arrived and is not taken apart yet.
    arrived: Vec<u8>,
}

/// Whether the connection goes on.
type Goes = std::ops::ControlFlow<()>;
const ON: Goes = Goes::Continue(());
const NO_FURTHER: Goes = Goes::Break(());

/// Speaks with a client until one of them has had enough.
pub(crate) async fn serve(
    engine: Arc<Mutex<Engine>>,
    settings: Settings,
    draws: Draws,
    stream: TcpStream,
    client: SocketAddr,
) {
    let _ = stream.set_nodelay(true);
    let mut connection = Connection {
        engine,
        settings,
        draws,
        stream,
        arrived: Vec::new(),
    };
    // A client that is gone needs no answer, and who else should be told?
    let _ = connection.serve(client).await;
}

impl Connection {
    async fn serve(&mut self, client: SocketAddr) -> io::Result<()> {
        let Some((version, parameters)) = self.begin().await? else {
            return Ok(());
        };
        sleep(self.draw_latency()).await;
        let seed = self.draws.next();
        let opened = lock(&self.engine).open(client, &parameters, seed);
        let (id, mailbox, said) = match opened {
            Ok(opened) => opened,
            Err(failure) => return self.say_farewell(&failure).await,
        };
        let _close = Close(self.engine.clone(), id);
        let mut greeting = Vec::new();
        put_negotiation(&mut greeting, version, &parameters);
        wire::put(&mut greeting, b'R', &0_u32.to_be_bytes());
        greeting.extend(said);
        self.stream.write_all(&greeting).await?;
        let mut prepared = Prepared::default();
        loop {
            let Some(request) = self.next_request(id, &mailbox, &mut prepared).await? else {
                return Ok(());
            };
            lock(&self.engine).set_busy(id, true);
            if self.answer(id, &mailbox, &mut prepared, request).await? == NO_FURTHER {
                return Ok(());
            }
            lock(&self.engine).set_busy(id, false);
        }
    }

    /// The first message of a client, which says what it wants; `None` if there is nothing more to say to it.
    async fn begin(&mut self) -> io::Result<Option<(u32, Vec<(String, String)>)>> {
        loop {
            let length = self.stream.read_u32().await? as usize;
            if !(8..=10_000).contains(&length) {
                return Ok(None);
            }
            let mut bytes = vec![0; length - 4];
            self.stream.read_exact(&mut bytes).await?;
            let mut body = &*bytes;
            let version = wire::take_u32(&mut body).unwrap_or(0);
            match version {
                wire::TLS_REQUEST | wire::GSS_REQUEST => self.stream.write_all(b"N").await?,
                wire::CANCEL_REQUEST => {
                    let process = wire::take_u32(&mut body).unwrap_or(0);
                    let key = wire::take_u32(&mut body).unwrap_or(0);
                    lock(&self.engine).cancel(process, key);
                    return Ok(None);
                }
                _ if version >> 16 == wire::VERSION_MAJOR => {
                    return Ok(Some((version, parameters(body))));
                }
                _ => {
                    let failure = Failure::new("0A000", "unsupported frontend protocol");
                    self.say_farewell(&failure).await?;
                    return Ok(None);
                }
            }
        }
    }

    async fn say_farewell(&mut self, failure: &Failure) -> io::Result<()> {
        let mut bytes = Vec::new();
        wire::put_error(&mut bytes, "FATAL", &failure.code, &failure.message);
        self.stream.write_all(&bytes).await?;
        self.stream.shutdown().await
    }

    /// Waits for the next request; `None` at the end of the connection.
    async fn next_request(
        &mut self,
        id: u32,
        mailbox: &Mailbox,
        prepared: &mut Prepared,
    ) -> io::Result<Option<Request>> {
        loop {
            match prepared.next(&mut self.arrived) {
                Ok(None) => {}
                Ok(Some(Next::Request(request))) => return Ok(Some(request)),
                Ok(Some(Next::Terminate)) => return Ok(None),
                Err(wire::Malformed) => {
                    let failure = Failure::new("08P01", "invalid message length");
                    self.say_farewell(&failure).await?;
                    return Ok(None);
                }
            }
            let due = lock(&self.engine).due_at(id);
            tokio::select! {
                biased;
                () = mailbox.news() => {
                    if let Some(last) = mailbox.take_answer() {
                        self.stream.write_all(&last.bytes).await?;
                        return Ok(None);
                    }
                    let told = mailbox.take_notifications();
                    if !told.is_empty() {
                        sleep(self.settings.notification_latency).await;
                        self.stream.write_all(&told).await?;
                    }
                }
                read = self.stream.read_buf(&mut self.arrived) => {
                    if read? == 0 {
                        return Ok(None);
                    }
                }
                () = sleep_until(due), if due.is_some() => lock(&self.engine).ring(id),
            }
        }
    }

    /// Has a request carried out, and answers it.
    async fn answer(
        &mut self,
        id: u32,
        mailbox: &Mailbox,
        prepared: &mut Prepared,
        request: Request,
    ) -> io::Result<Goes> {
        let fate = lock(&self.engine).fate(id, &request);
        sleep(self.draw_latency()).await;
        let (mut failure, mut is_cut, mut later) = (None, false, Duration::ZERO);
        match fate {
            Fate::Proceed => {}
            Fate::ProceedAfter(time) => sleep(time).await,
            Fate::Fail(own) => failure = Some(own),
            Fate::Lose => return Ok(ON),
            Fate::CutBefore => return Ok(NO_FURTHER),
            Fate::CutAfter => is_cut = true,
            Fate::AnswerAfter(time) => later = time,
        }
        lock(&self.engine).carry_out(id, request, failure);
        let answer = self.await_answer(id, mailbox).await;
        if is_cut {
            return Ok(NO_FURTHER);
        }
        if later > Duration::ZERO {
            sleep(later).await;
        }
        prepared.set_copying(answer.is_copying);
        self.stream.write_all(&answer.bytes).await?;
        Ok(if answer.ends { NO_FURTHER } else { ON })
    }

    async fn await_answer(&self, id: u32, mailbox: &Mailbox) -> Answer {
        loop {
            if let Some(answer) = mailbox.take_answer() {
                return answer;
            }
            let due = lock(&self.engine).due_at(id);
            tokio::select! {
                biased;
                () = mailbox.news() => {}
                () = sleep_until(due), if due.is_some() => lock(&self.engine).ring(id),
            }
        }
    }

    fn draw_latency(&mut self) -> Duration {
        let most = u64::try_from(self.settings.jitter.as_nanos()).unwrap_or(u64::MAX);
        let drawn = self.draws.next().checked_rem(most).unwrap_or(0);
        self.settings.latency + Duration::from_nanos(drawn)
    }
}

/// Waits until a moment in microseconds since 1970.
async fn sleep_until(moment: Option<i64>) {
    if let Some(moment) = moment {
        sleep(time_to(moment)).await;
    }
}

/// Closes a connection when its task has come to its end, however it did.
struct Close(Arc<Mutex<Engine>>, u32);

impl Drop for Close {
    fn drop(&mut self) {
        lock(&self.0).close(self.1);
    }
}

/// The parameters of a client's first message.
fn parameters(mut body: &[u8]) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    while let Some(name) = wire::take_text(&mut body).filter(|name| !name.is_empty()) {
        let value = wire::take_text(&mut body).unwrap_or_default();
        parameters.push((name.to_owned(), value.to_owned()));
    }
    parameters
}

/// What a client is told that asks for more than version 3.0 has.
fn put_negotiation(out: &mut Vec<u8>, version: u32, parameters: &[(String, String)]) {
    let names = parameters.iter().map(|own| &*own.0);
    let names: Vec<&str> = names.filter(|name| name.starts_with("_pq_.")).collect();
    if version & 0xFFFF == 0 && names.is_empty() {
        return;
    }
    let mut body = (wire::VERSION_MAJOR << 16).to_be_bytes().to_vec();
    body.extend(u32::try_from(names.len()).unwrap_or(0).to_be_bytes());
    for name in names {
        wire::put_text(&mut body, name);
    }
    wire::put(out, b'v', &body);
}
