//! The server: carries frames between clients and the core, on the broker's simulated host.
//!
//! What the core makes observable is recorded at once, before anything else can happen, so that
//! the history has the order in which things really happened. The server decides nothing but what the
//! faults of a plan make of a request; when its host crashes, connections and waiting fetches die with
//! it and the core's durable state stays.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::PORT;
use super::long_polls::{LongPolls, Place, Poll, Waiting};
use super::protocol::{self, Frame, Request, Response, UNANSWERED};
use crate::broker::{
    Capacity, Claim, Core, Fetch, HOST, Join, Refusal, Rejection, Seen, Settled, Stamp, Wish,
};
use crate::event::What;
use crate::message::Message;
use crate::world::{Gate, Refused, World, lock, now};

/// The broker of one run, across all incarnations of its host.
pub(crate) struct SimpleBroker {
    core: Mutex<Core>,
    world: Arc<World>,
    polls: LongPolls,
}

impl SimpleBroker {
    pub(crate) fn new(core: Core, world: Arc<World>) -> Self {
        SimpleBroker {
            core: Mutex::new(core),
            world,
            polls: LongPolls::default(),
        }
    }

    /// Serves until the host dies.
    pub(crate) async fn serve(self: Arc<Self>, gate: Gate) {
        let server = Arc::new(Server {
            broker: self,
            gate,
            sooner: Notify::new(),
            armed: Mutex::new(None),
        });
        if let Err(error) = server.listen().await {
            unreachable!("the broker's host has its port to itself: {error}");
        }
    }

    /// The host has died: what only its process knew is gone.
    pub(crate) fn crash(&self) {
        lock(&self.core).crash();
        self.polls.crash();
    }

    /// Assigns the partitions of a group anew, because of a fault that bites if anybody is affected.
    pub(crate) fn rebalance(&self, group: &str, bite: &dyn Fn()) {
        let mut seen = Seen::new();
        if lock(&self.core).rebalance(group, &mut seen) {
            bite();
        }
        self.record(seen);
        self.tell();
    }

    /// What declared groups have not settled, in words.
    pub(crate) fn backlog(&self) -> Option<String> {
        lock(&self.core).backlog()
    }

    /// The log, and how far every group got in it.
    pub(crate) fn final_events(&self) -> Vec<What> {
        lock(&self.core).final_events()
    }

    /// Something may have become available to consumers that wait: tells those.
    fn tell(&self) {
        let core = lock(&self.core);
        let now = now();
        self.polls.tell(|fetch| core.may_answer(fetch, now));
    }

    fn record(&self, seen: Seen) {
        for (host, what) in seen {
            self.world.recorder.record(&host, what);
        }
    }
}

/// What the connections of one incarnation of the broker share.
struct Server {
    broker: Arc<SimpleBroker>,
    gate: Gate,
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
            let now = now();
            let wakeup = lock(&self.broker.core).next_wakeup(now);
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
            self.broker.tell();
        }
    }

    /// Calls the core, and records what became observable.
    fn with_core<T>(&self, call: impl FnOnce(&mut Core, Duration, &mut Seen) -> T) -> T {
        let mut seen = Seen::new();
        let now = now();
        let (answer, wakeup) = {
            let mut core = lock(&self.broker.core);
            let answer = call(&mut core, now, &mut seen);
            // What nobody could see has not brought any deadline closer.
            let wakeup = (!seen.is_empty()).then(|| core.next_wakeup(now));
            (answer, wakeup.flatten())
        };
        self.broker.record(seen);
        self.rearm(wakeup);
        answer
    }

    fn publish(&self, host: &Arc<str>, stamp: Option<Stamp>, message: Arc<Message>) -> Response {
        let limited = self.gate.world().conditions.refuses_publish(now());
        let event_id = message.event_id().map(str::to_owned);
        let refused = lock(&self.gate.world().armed).refused(event_id.as_deref(), now());
        let written = self.with_core(|core, now, seen| {
            core.set_capacity(match (limited, &refused) {
                (Some(_), _) => Capacity::UsedUp,
                (None, Some(_)) => Capacity::TooSmall,
                (None, None) => Capacity::Unlimited,
            });
            core.publish(host, stamp, message, now, seen)
        });
        match (&written, limited, refused) {
            (Err(Rejection::Capacity), Some(fault), _) => {
                self.gate.bit(fault, "publish refused".to_owned());
            }
            (
                Err(Rejection::TooLarge),
                _,
                Some(Refused {
                    fault,
                    is_new: true,
                }),
            ) => {
                self.refuses(host, fault, event_id.unwrap_or_default());
            }
            _ => {}
        }
        match written {
            Ok(written) => Response::Published(written),
            Err(rejection @ (Rejection::TooLarge | Rejection::UnknownTopic(_))) => {
                Response::Unpublishable {
                    reason: rejection.to_string(),
                }
            }
            Err(rejection @ (Rejection::Capacity | Rejection::OutOfOrder)) => Response::Refused {
                reason: rejection.to_string(),
            },
        }
    }

    /// Notes that the broker has begun to refuse an event as too large.
    fn refuses(&self, producer: &Arc<str>, fault: usize, event_id: String) {
        let recorder = &self.gate.world().recorder;
        recorder.bit(fault, producer, "publish refused as too large".to_owned());
        recorder.record(producer, What::MadeTooLarge { fault, event_id });
    }

    /// Settles a delivery. `None` if a fault keeps the settlement from the core.
    fn settle(
        &self,
        host: &Arc<str>,
        claim: &Claim,
        wish: Wish,
        foiled_by: Option<usize>,
    ) -> Option<Settled> {
        if let Some(fault) = foiled_by
            && self.foil(host, claim, fault) == Foiled::Lost
        {
            return None;
        }
        Some(self.with_core(|core, now, seen| core.settle(host, claim, wish, now, seen)))
    }

    /// Lets a fault keep a settlement from its effect, in the way in which that happens to the modelled broker: the
    /// member's session is over when its settlement arrives, or the settlement never does.
    fn foil(&self, host: &Arc<str>, claim: &Claim, fault: usize) -> Foiled {
        let Claim {
            group,
            member,
            position,
            ..
        } = claim;
        let has_sessions = lock(&self.broker.core).capabilities().assigns_partitions;
        let (foiled, bites, text) = if has_sessions {
            let left = self.with_core(|core, _, seen| core.leave(group, *member, seen));
            let text = format!("session lost before {position} was committed");
            (Foiled::Fenced, left, text)
        } else {
            let settled = lock(&self.broker.core).is_settled(group, position);
            let text = format!("acknowledgement of {position} lost");
            (Foiled::Lost, !settled, text)
        };
        if bites {
            self.gate.world().recorder.bit(fault, host, text);
        }
        foiled
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

/// What has become of a settlement that a fault kept from its effect.
#[derive(PartialEq, Eq)]
enum Foiled {
    /// It arrives, and the member has no say any more.
    Fenced,
    /// It never arrives.
    Lost,
}

/// One client's connection.
struct Connection {
    server: Arc<Server>,
    /// Whose it is; deliveries and publishes are recorded there.
    host: Arc<str>,
    responses: FramedWrite<WriteHalf<TcpStream>, LengthDelimitedCodec>,
    /// Its fetches that wait for something to come.
    waiting: Arc<Waiting>,
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
            waiting: Arc::default(),
        };
        // A broken connection is the client's to notice; nothing is left to do for it here.
        let _broken = connection.run(requests).await;
    }

    async fn run(
        mut self,
        mut requests: FramedRead<ReadHalf<TcpStream>, LengthDelimitedCodec>,
    ) -> io::Result<()> {
        let server = self.server.clone();
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        let mut set_to = None;
        let waiting = self.waiting.clone();
        let mut place = Place::new(&server.broker.polls, &waiting);
        let mut is_told = false;
        loop {
            // Who is told and gets nothing keeps its turn.
            if !is_told {
                place.line_up();
            }
            // Enabled before looking, so that no news between looking and waiting is missed.
            let mut news = pin!(waiting.news.notified());
            news.as_mut().enable();
            self.serve_waiting().await?;
            let due = waiting.until();
            if let Some(due) = due
                && set_to != Some(due)
            {
                let left = due.saturating_sub(now());
                timer.as_mut().reset(Instant::now() + left);
                set_to = Some(due);
            }
            is_told = false;
            let bytes = tokio::select! {
                biased;
                bytes = requests.next() => bytes,
                () = news, if due.is_some() => {
                    is_told = true;
                    continue;
                }
                () = timer.as_mut(), if due.is_some() => continue,
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
        if self.waiting.until().is_none() {
            return Ok(());
        }
        self.server.gate.open().await;
        let now = now();
        let server = &self.server;
        let answers = self.waiting.answered(|poll| {
            match server.with_core(|core, now, seen| core.fetch(&poll.fetch, now, seen)) {
                Ok(handouts) if handouts.is_empty() && now < poll.until => None,
                Ok(handouts) => Some(Response::Fetched(handouts)),
                Err(refusal) => Some(refusal.into()),
            }
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
                let until = now() + wait;
                self.waiting.add(frame.number, Poll { fetch, until });
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
            Request::Settle {
                claim,
                wish,
                foiled_by,
            } => {
                let settled = server.settle(&self.host, &claim, wish, foiled_by);
                let Some(settled) = settled else {
                    return Ok(());
                };
                (Response::Settled(settled), News::Yes)
            }
            Request::Stand { group, topics } => {
                let standing = server.with_core(|core, now, _| core.standing(&group, &topics, now));
                (Response::Standing(standing), News::No)
            }
        };
        if news == News::Yes {
            server.broker.tell();
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
