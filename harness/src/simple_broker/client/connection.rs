//! One TCP connection to the broker, shared by all calls of a client.
//!
//! Requests are numbered, and answers find their caller by the number. A connection that has
//! broken stays broken: whoever waits on it is told, and nothing is sent again.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::codec::{FramedRead, FramedWrite};

use crate::simple_broker::PORT;
use crate::simple_broker::protocol::{self, Frame, Request, Response, UNANSWERED};
use crate::world::{Gate, lock};

pub(super) struct Connection {
    calls: Arc<Mutex<Calls>>,
    outgoing: mpsc::UnboundedSender<Bytes>,
    task: AbortHandle,
}

/// The calls in flight.
struct Calls {
    open: bool,
    last: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Response>>,
}

impl Calls {
    /// Tells everybody who waits, by dropping their sender, that no answer will come.
    fn close(&mut self) {
        self.open = false;
        self.waiting.clear();
    }
}

impl Connection {
    /// Connects and introduces the host. Without an answer this waits for ever.
    pub(super) async fn open(gate: &Gate, broker: &Arc<str>) -> io::Result<Self> {
        let stream = TcpStream::connect((&**broker, PORT)).await?;
        let calls = Arc::new(Mutex::new(Calls {
            open: true,
            last: UNANSWERED,
            waiting: BTreeMap::new(),
        }));
        let (outgoing, queue) = mpsc::unbounded_channel();
        let task = tokio::spawn(carry(stream, queue, calls.clone()));
        let connection = Connection {
            calls,
            outgoing,
            task: task.abort_handle(),
        };
        connection.tell(Request::Hello {
            host: gate.host().clone(),
        });
        Ok(connection)
    }

    pub(super) fn is_open(&self) -> bool {
        lock(&self.calls).open
    }

    /// Sends a request and returns where its answer will come, or `None` if the connection is
    /// closed and nothing was sent.
    pub(super) fn call(&self, request: Request) -> Option<oneshot::Receiver<Response>> {
        let (sender, answer) = oneshot::channel();
        let number = {
            let mut calls = lock(&self.calls);
            if !calls.open {
                return None;
            }
            calls.last += 1;
            let number = calls.last;
            calls.waiting.insert(number, sender);
            number
        };
        self.send(number, request);
        Some(answer)
    }

    /// Sends a request that asks for no answer; on a broken connection it is lost.
    pub(super) fn tell(&self, request: Request) {
        self.send(UNANSWERED, request);
    }

    fn send(&self, number: u64, request: Request) {
        let sent =
            protocol::encode(number, request).is_ok_and(|bytes| self.outgoing.send(bytes).is_ok());
        if !sent {
            self.close();
        }
    }

    /// Gives the connection up: who waits is told, and no later answer is taken.
    pub(super) fn close(&self) {
        lock(&self.calls).close();
        self.task.abort();
    }
}

/// Carries frames both ways until the connection breaks, or until its client is dropped and what
/// was sent before is on its way.
async fn carry(stream: TcpStream, queue: mpsc::UnboundedReceiver<Bytes>, calls: Arc<Mutex<Calls>>) {
    let (reading, writing) = tokio::io::split(stream);
    tokio::select! {
        biased;
        () = read(reading, calls.clone()) => {}
        () = write(writing, queue) => {}
    }
    lock(&calls).close();
}

/// Hands answers to their callers until the connection breaks.
async fn read(reading: ReadHalf<TcpStream>, calls: Arc<Mutex<Calls>>) {
    let mut responses = FramedRead::new(reading, protocol::codec());
    while let Some(Ok(bytes)) = responses.next().await {
        let Ok(Frame { number, body }) = protocol::decode(&bytes) else {
            break;
        };
        if let Some(caller) = lock(&calls).waiting.remove(&number) {
            // A caller that has gone away no longer wants its answer.
            let _unwanted = caller.send(body);
        }
    }
}

/// Writes what is queued, as much at once as there is, until the connection breaks.
async fn write(writing: WriteHalf<TcpStream>, mut queue: mpsc::UnboundedReceiver<Bytes>) {
    let mut requests = FramedWrite::new(writing, protocol::codec());
    while let Some(bytes) = queue.recv().await {
        let mut result = requests.feed(bytes).await;
        while result.is_ok()
            && let Ok(bytes) = queue.try_recv()
        {
            result = requests.feed(bytes).await;
        }
        if result.is_err() || SinkExt::<Bytes>::flush(&mut requests).await.is_err() {
            break;
        }
    }
}
