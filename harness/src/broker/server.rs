//! The server: carries frames between clients and the core, on the broker's simulated host.
//!
//! What the core makes observable is recorded at once, before anything else can happen, so that
//! the history has the order in which things really happened. The server decides nothing; when its
//! host crashes, connections and waiting fetches die with it and the core's durable state stays.

use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::core::{Core, Fetch, Join};
use super::interface::{Capacity, Refusal, Rejection, Seen, Settled, Stamp};
use super::protocol::{self, Frame, Request, Response, UNANSWERED};
use super::{HOST, PORT};
use crate::message::Message;
use crate::simulation::world::{Gate, World, lock};

/// Serves the world's broker until the host dies.
pub(crate) async fn serve(gate: Gate) {
    let server = Arc::new(Server {
        world: gate.world().clone(),
        gate,
        sooner: Notify::new(),
        armed: Mutex::new(None),
    });
    if let Err(error) = server.listen().await {
        unreachable!("the broker's host has its port to itself: {error}");
    }
}

/// What the connections of one incarnation of the broker share.
struct Server {
    gate: Gate,
    world: Arc<World>,
    /// The core's next wakeup has moved closer.
    sooner: Notify,
    /// The wakeup that the timekeeper waits for.
    armed: Mutex<Option<Duration>>,
}

impl Server {
    async fn listen(self: Arc<Self>) -> io::Result<()> {
        tokio::spawn(self.clone().keep_time());
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(Connection::serve(self.clone(), stream));
        }
    }

    /// Lets the core act on the passing of time, exactly when it has to.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let now = self.world.now();
            let wakeup = lock(&self.world.broker).next_wakeup(now);
            *lock(&self.armed) = wakeup;
            let Some(wakeup) = wakeup else {
                self.sooner.notified().await;
                continue;
            };
            let sleep = tokio::time::sleep(wakeup.saturating_sub(now));
            tokio::select! {
                biased;
                () = self.sooner.notified() => continue,
                () = sleep => {}
            }
            self.gate.open().await;
            self.with_core(Core::expire);
            self.world.broker_changed.notify_waiters();
        }
    }

    /// Calls the core, and records what became observable.
    fn with_core<T>(&self, call: impl FnOnce(&mut Core, Duration, &mut Seen) -> T) -> T {
        let mut seen = Seen::new();
        let now = self.world.now();
        let (answer, wakeup) = {
            let mut core = lock(&self.world.broker);
            let answer = call(&mut core, now, &mut seen);
            // What nobody could see has not brought any deadline closer.
            let wakeup = (!seen.is_empty()).then(|| core.next_wakeup(now));
            (answer, wakeup.flatten())
        };
        for (host, what) in seen {
            self.world.record(&host, what);
        }
        self.rearm(wakeup);
        answer
    }

    fn publish(&self, host: &Arc<str>, stamp: Option<Stamp>, message: Arc<Message>) -> Response {
        let limited = self.world.capacity_limit();
        let written = self.with_core(|core, now, seen| {
            core.set_capacity(match limited {
                Some(_) => Capacity::UsedUp,
                None => Capacity::Unlimited,
            });
            core.publish(host, stamp, message, now, seen)
        });
        if let (Some(fault), Err(Rejection::Capacity)) = (limited, &written) {
            self.world
                .bit(fault, self.gate.host(), "publish refused".to_owned());
        }
        match written {
            Ok(written) => Response::Published(written),
            Err(rejection) => Response::Refused {
                reason: rejection.to_string(),
            },
        }
    }

    fn rearm(&self, wakeup: Option<Duration>) {
        let Some(wakeup) = wakeup else { return };
        let mut armed = lock(&self.armed);
        if armed.is_none_or(|armed| wakeup < armed) {
            *armed = Some(wakeup);
            self.sooner.notify_one();
        }
    }
}

/// One client's connection.
struct Connection {
    server: Arc<Server>,
    /// Whose it is; deliveries and publishes are recorded there.
    host: Arc<str>,
    responses: FramedWrite<WriteHalf<TcpStream>, LengthDelimitedCodec>,
    /// Fetches that wait for something to come, by their number.
    waiting: BTreeMap<u64, Waiting>,
}

struct Waiting {
    fetch: Fetch,
    until: Duration,
}

impl Connection {
    /// Serves one connection until it breaks.
    async fn serve(server: Arc<Server>, stream: TcpStream) {
        let (reading, writing) = tokio::io::split(stream);
        let requests = FramedRead::new(reading, protocol::codec());
        let connection = Connection {
            server,
            host: HOST.into(),
            responses: FramedWrite::new(writing, protocol::codec()),
            waiting: BTreeMap::new(),
        };
        // A broken connection is the client's to notice; nothing is left to do for it here.
        let _broken = connection.run(requests).await;
    }

    async fn run(
        mut self,
        mut requests: FramedRead<ReadHalf<TcpStream>, LengthDelimitedCodec>,
    ) -> io::Result<()> {
        let server = self.server.clone();
        loop {
            // Enabled before looking, so that no change between looking and waiting is missed.
            let mut changed = pin!(server.world.broker_changed.notified());
            changed.as_mut().enable();
            self.serve_waiting().await?;
            let due = self.waiting.values().map(|waiting| waiting.until).min();
            let now = server.world.now();
            let sleep = due.map(|due| tokio::time::sleep(due.saturating_sub(now)));
            let bytes = tokio::select! {
                biased;
                bytes = requests.next() => bytes,
                () = changed, if due.is_some() => continue,
                () = async { match sleep {
                    Some(sleep) => sleep.await,
                    None => std::future::pending().await,
                } } => continue,
            };
            let Some(bytes) = bytes.transpose()? else {
                return Ok(());
            };
            let frame = protocol::decode(&bytes)?;
            // A broker that has just died does nothing more, though its task is still running.
            server.gate.open().await;
            self.handle(frame).await?;
        }
    }

    /// Answers the waiting fetches that have something to get or have waited long enough.
    async fn serve_waiting(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.server.gate.open().await;
        let now = self.server.world.now();
        let mut answers = Vec::new();
        let server = &self.server;
        self.waiting.retain(|number, waiting| {
            let answer =
                match server.with_core(|core, now, seen| core.fetch(&waiting.fetch, now, seen)) {
                    Ok(handouts) if handouts.is_empty() && now < waiting.until => return true,
                    Ok(handouts) => Response::Fetched(handouts),
                    Err(refusal) => refusal.into(),
                };
            answers.push((*number, answer));
            false
        });
        for (number, answer) in answers {
            self.answer(number, answer).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, frame: Frame<Request>) -> io::Result<()> {
        let server = self.server.clone();
        let (answer, news) = match frame.body {
            Request::Hello { host } => {
                self.host = host;
                return Ok(());
            }
            Request::Fetch {
                group,
                member,
                generation,
                max,
                wait,
            } => {
                let max = max as usize;
                let fetch = Fetch {
                    group,
                    member,
                    generation,
                    max,
                };
                let until = server.world.now() + wait;
                self.waiting.insert(frame.number, Waiting { fetch, until });
                return Ok(());
            }
            Request::OpenProducer => {
                let producer = server.with_core(|core, _, _| core.open_producer());
                (Response::ProducerOpened { producer }, News::No)
            }
            Request::Publish { stamp, message } => {
                (server.publish(&self.host, stamp, message), News::Yes)
            }
            Request::Join {
                group,
                topics,
                leaving,
            } => {
                let (host, group, topics) = (&self.host, &group, &topics[..]);
                let join = Join {
                    host,
                    group,
                    topics,
                    leaving: &leaving,
                };
                let joined = server.with_core(|core, now, seen| core.join(join, now, seen));
                let answer = match joined {
                    Ok((member, generation)) => Response::Joined { member, generation },
                    Err(reason) => Response::Refused { reason },
                };
                (answer, News::Yes)
            }
            Request::Heartbeat { group, member } => {
                let alive = server.with_core(|core, now, _| core.heartbeat(&group, member, now));
                let answer = match alive {
                    Ok(generation) => Response::Alive { generation },
                    Err(refusal) => refusal.into(),
                };
                (answer, News::No)
            }
            Request::Settle { claim, wish } => {
                let settled: Settled = server
                    .with_core(|core, now, seen| core.settle(&self.host, &claim, wish, now, seen));
                (Response::Settled(settled), News::Yes)
            }
        };
        if news == News::Yes {
            server.world.broker_changed.notify_waiters();
        }
        self.answer(frame.number, answer).await
    }

    async fn answer(&mut self, number: u64, answer: Response) -> io::Result<()> {
        if number == UNANSWERED {
            return Ok(());
        }
        let bytes: Bytes = protocol::encode(number, answer)?;
        self.responses.send(bytes).await
    }
}

/// Whether a request may have made something available to a waiting consumer.
#[derive(PartialEq, Eq)]
enum News {
    Yes,
    No,
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Rebalanced { generation } => Response::Rebalanced { generation },
            Refusal::NotAMember => Response::NotAMember,
        }
    }
}
