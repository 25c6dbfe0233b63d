//! A backend: a connection to the real server, with blocking sockets, used while virtual time stands still.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use postgres_protocol::authentication;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::Error;
use crate::place::{At, Place};
use crate::slot::{NEVER, Slot, Slots, Waits};
use crate::wire::{self, Frame};

/// How long, in real time, an answer is awaited before it is asked whether the backend waits; twice as long
/// each time.
const PATIENCE: Duration = Duration::from_micros(150);
/// The longest of these times.
const PATIENCE_MAX: Duration = Duration::from_millis(5);
/// After how many looks at a backend that works and says nothing somebody sees to it.
const SILENT_LOOKS: u32 = 40;

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn open(at: &At) -> io::Result<Self> {
        match at {
            At::Socket(path) => Ok(Stream::Unix(UnixStream::connect(path)?)),
            At::Port(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port))?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.set_nonblocking(true),
            Stream::Tcp(stream) => stream.set_nonblocking(true),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(bytes),
            Stream::Tcp(stream) => stream.read(bytes),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tcp(stream) => stream.write(bytes),
        }
    }
}

/// A connection to the real server.
#[derive(Debug)]
pub(crate) struct Backend {
    stream: Stream,
    /// The number of the process at the other end.
    pub(crate) process: u32,
    /// How it gets to know virtual time; `None` on a server that the library has not started.
    pub(crate) slot: Option<Slot>,
}

/// What an answer ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// So many times the server is ready for the next batch, or it asks for data to copy.
    Ready(u32),
    /// So many answers to messages before a `Flush`, or an error.
    Answers(u32),
}

/// A batch on its way, and the answer so far.
#[derive(Debug)]
pub(crate) struct Exchange {
    request: Vec<u8>,
    sent: usize,
    pub(crate) answer: Vec<u8>,
    scanned: usize,
    until: Until,
}

/// How far a backend came with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The answer is whole.
    Done,
    /// It waits for a lock that another one holds.
    Locked,
    /// It waits until a moment, in microseconds since 1970.
    Asleep(i64),
    /// The connection has come to its end.
    Gone,
}

impl Exchange {
    pub(crate) fn new(request: Vec<u8>, until: Until) -> Self {
        Exchange {
            request,
            sent: 0,
            answer: Vec::new(),
            scanned: 0,
            until,
        }
    }

    /// Whether nothing of it has been sent.
    pub(crate) fn is_new(&self) -> bool {
        self.sent == 0
    }

    fn rest(&self) -> &[u8] {
        self.request.get(self.sent..).unwrap_or_default()
    }

    /// Looks at what has arrived since the last time; whether the answer is whole.
    fn is_whole(&mut self) -> io::Result<bool> {
        if self.until == Until::Answers(0) {
            return Ok(self.rest().is_empty());
        }
        while let Some(frame) = self.next()? {
            let (tag, length) = (frame.tag, frame.whole.len());
            self.scanned += length;
            match (&mut self.until, tag) {
                (Until::Ready(left), b'Z') if *left > 1 => *left -= 1,
                (Until::Ready(_), b'Z' | b'G') | (Until::Answers(_), b'E') => return Ok(true),
                (Until::Answers(left), b'1' | b'2' | b'3' | b'C' | b'I' | b'T' | b'n' | b's') => {
                    *left -= 1;
                    if *left == 0 {
                        return Ok(true);
                    }
                }
                _ => {}
            }
        }
        Ok(false)
    }

    fn next(&self) -> io::Result<Option<Frame<'_>>> {
        let fresh = self.answer.get(self.scanned..).unwrap_or_default();
        wire::first(fresh).map_err(|wire::Malformed| ErrorKind::InvalidData.into())
    }
}

impl Backend {
    /// Connects with the parameters of a client; beside the connection what the server says of itself, as the
    /// messages in which it says so.
    pub(crate) fn open(
        place: &Place,
        parameters: &[(String, String)],
    ) -> Result<(Self, Vec<u8>), Error> {
        let stream = Stream::open(&place.at)?;
        stream.set_nonblocking()?;
        let backend = Backend {
            stream,
            process: 0,
            slot: None,
        };
        let pairs = parameters.iter().map(|(name, value)| (&**name, &**value));
        backend.authenticate(place, wire::startup(pairs))
    }

    fn authenticate(mut self, place: &Place, startup: Vec<u8>) -> Result<(Self, Vec<u8>), Error> {
        let mut said = Vec::new();
        let mut scram = None;
        let mut message = startup;
        let mut arrived = Vec::new();
        loop {
            self.send(&std::mem::take(&mut message))?;
            while let Some(frame) =
                wire::first(&arrived).map_err(|_| io::Error::from(ErrorKind::InvalidData))?
            {
                match frame.tag {
                    b'E' => return Err(refusal(frame.body)),
                    b'K' => {
                        let mut body = frame.body;
                        self.process = wire::take_u32(&mut body).unwrap_or(0);
                    }
                    b'Z' => return Ok((self, said)),
                    b'R' => message.extend(response(frame.body, place, &mut scram)?),
                    _ => said.extend(frame.whole),
                }
                let length = frame.whole.len();
                arrived.drain(..length);
            }
            if message.is_empty() && !self.receive(&mut arrived)? {
                return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// From now on the backend lives in virtual time.
    pub(crate) fn arm(&mut self, slots: &Slots, seed: u64, now: i64) -> io::Result<()> {
        self.slot = Some(slots.arm(self.process, seed, now)?);
        // The run waits for each of its answers, and the backend for each of its statements.
        stormglass_machine::bring(self.process);
        // As long as a backend expects an alarm it sets none for anything later. What it expects is the alarm of
        // another clock, real or of a client that has left, and nobody would ring it. Once one has rung the
        // backend sets the alarm for what is due next.
        // <https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/misc/timeout.c>
        self.ring(now)
    }

    /// Has the backend keep its statistics to itself while it lives. It would set an alarm to report those that
    /// are too young when it is idle, and how old they are depends on all the clients that it had.
    /// <https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/activity/pgstat.c>
    pub(crate) fn withhold_statistics(&mut self, slots: &Slots) -> Result<(), Error> {
        self.arm(slots, 0, NEVER)?;
        // It reports all it has after the first one, and what it has after the second one is too young, until a
        // moment that no run comes to. There are statistics of the log, whatever settings say.
        let logs = "SELECT pg_catalog.pg_logical_emit_message(false, 'stormglass', '')";
        self.ask([wire::query(logs), wire::query(logs)].concat(), 2)?;
        self.slot = None;
        Ok(())
    }

    pub(crate) fn set_now(&self, now: i64) -> io::Result<()> {
        self.slot.as_ref().map_or(Ok(()), |slot| slot.set_now(now))
    }

    /// Whether it waits, as it says itself.
    pub(crate) fn waits(&self) -> io::Result<Waits> {
        let slot = self.slot.as_ref();
        slot.map_or_else(|| Ok(Waits::default()), Slot::waits)
    }

    /// Rings the backend's alarm, or wakes it, at the moment `now`.
    pub(crate) fn ring(&mut self, now: i64) -> io::Result<()> {
        self.set_now(now)?;
        self.set_open(true)?;
        if let Some(slot) = &self.slot {
            slot.clear_alarm()?;
            if let Some(process) = Pid::from_raw(self.process.cast_signed()) {
                // One that is gone already is found out when it is asked for its answer.
                let _ = kill_process(process, Signal::ALARM);
            }
        }
        Ok(())
    }

    /// Lets the backend work when it gets what it waits for, or not.
    pub(crate) fn set_open(&mut self, is_open: bool) -> io::Result<()> {
        let slot = self.slot.as_mut();
        slot.map_or(Ok(()), |slot| slot.set_open(is_open))
    }

    /// Goes on with a batch until it is answered or the backend waits, and that not since before its wait
    /// number `waited` was over. Whether it waits for a lock `is_locked` says; `stirs` is called where it naps or has worked for long.
    pub(crate) fn step(
        &mut self,
        exchange: &mut Exchange,
        waited: Option<u32>,
        mut is_locked: impl FnMut(u32) -> Result<bool, Error>,
        mut stirs: impl FnMut() -> Result<(), Error>,
    ) -> Result<Step, Error> {
        let mut patience = PATIENCE;
        let mut looks: u32 = 0;
        if !exchange.rest().is_empty() {
            exchange.sent += self.write_some(exchange.rest())?;
        }
        loop {
            if exchange.is_whole()? {
                return Ok(Step::Done);
            }
            let wants = match exchange.rest().is_empty() {
                true => PollFlags::IN,
                false => PollFlags::IN | PollFlags::OUT,
            };
            let ready = self.poll(wants, patience)?;
            if ready.is_empty() {
                patience = (patience * 2).min(PATIENCE_MAX);
                let waits = self.waits()?;
                let is_at_rest = waits.is_waiting || waits.wakes_at.is_some();
                if self.slot.is_some() && is_at_rest && waited == Some(waits.count) {
                    continue;
                }
                if let Some(at) = waits.wakes_at {
                    return Ok(Step::Asleep(at));
                }
                let may_wait = self.slot.is_none() || waits.is_waiting;
                if may_wait && is_locked(self.process)? {
                    return Ok(Step::Locked);
                }
                looks += 1;
                let naps = waits.is_napping && looks.is_power_of_two();
                if naps || looks.is_multiple_of(SILENT_LOOKS) {
                    stirs()?;
                }
                continue;
            }
            if ready.contains(PollFlags::OUT) {
                exchange.sent += self.write_some(exchange.rest())?;
            }
            if ready != PollFlags::OUT && !self.read_some(&mut exchange.answer)? {
                return Ok(Step::Gone);
            }
        }
    }

    /// Sends `request` and returns the answer up to the point at which the server is ready again.
    pub(crate) fn ask(&mut self, request: Vec<u8>, ready_count: u32) -> Result<Vec<u8>, Error> {
        let mut exchange = Exchange::new(request, Until::Ready(ready_count));
        match self.step(&mut exchange, None, |_| Ok(false), || Ok(()))? {
            Step::Done => Ok(exchange.answer),
            _ => Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Takes leave, and waits until the process at the other end is gone, with everything it held.
    pub(crate) fn close(&mut self) {
        let _ = self.set_open(true);
        let _ = self.send(&[b'X', 0, 0, 0, 4]);
        let mut rest = Vec::new();
        while let Ok(true) = self.receive(&mut rest) {
            rest.clear();
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.poll(PollFlags::OUT, Duration::from_secs(1))?;
            let sent = self.write_some(bytes)?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Waits for more; `false` at the end of the connection.
    fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        while self.poll(PollFlags::IN, Duration::from_secs(1))?.is_empty() {}
        self.read_some(into)
    }

    fn poll(&self, wants: PollFlags, most: Duration) -> io::Result<PollFlags> {
        let stream = self.stream.as_fd();
        let mut asked = [PollFd::from_borrowed_fd(stream, wants)];
        let most = Timespec {
            tv_sec: most.as_secs().cast_signed(),
            tv_nsec: most.subsec_nanos().into(),
        };
        match poll(&mut asked, Some(&most)) {
            Ok(_) => Ok(asked[0].revents()),
            Err(rustix::io::Errno::INTR) => Ok(PollFlags::empty()),
            Err(error) => Err(error.into()),
        }
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if is_to_be_tried_again(&error) => Ok(0),
            // What the server has said before it hung up is still to be read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn read_some(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Ok(false),
            Ok(count) => {
                into.extend(bytes.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) if is_to_be_tried_again(&error) => Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_to_be_tried_again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// An error message of the server as an error.
pub(crate) fn refusal(body: &[u8]) -> Error {
    let field = |letter: u8| {
        let fields = wire::fields(body);
        let found = fields.iter().find(|(own, _)| *own == letter);
        found.map_or_else(String::new, |(_, text)| (*text).to_owned())
    };
    Error::Refused {
        code: field(b'C'),
        message: field(b'M'),
    }
}

/// The answer to a request for a password.
fn response(
    mut body: &[u8],
    place: &Place,
    scram: &mut Option<ScramSha256>,
) -> Result<Vec<u8>, Error> {
    let password = place.password.as_deref().unwrap_or_default().as_bytes();
    let mut answer = Vec::new();
    match wire::take_u32(&mut body) {
        Some(0) => {}
        Some(3) => {
            let text = String::from_utf8_lossy(password).into_owned();
            wire::put_text(&mut answer, &text);
        }
        Some(5) => {
            let salt = body.try_into().unwrap_or_default();
            let hash = authentication::md5_hash(place.user.as_bytes(), password, salt);
            wire::put_text(&mut answer, &hash);
        }
        Some(10) => {
            let begun = ScramSha256::new(password, ChannelBinding::unsupported());
            wire::put_text(&mut answer, authentication::sasl::SCRAM_SHA_256);
            let first = begun.message();
            answer.extend(u32::try_from(first.len()).unwrap_or(0).to_be_bytes());
            answer.extend(first);
            *scram = Some(begun);
        }
        Some(11) => {
            let begun = scram.as_mut().ok_or(ErrorKind::InvalidData);
            let begun = begun.map_err(io::Error::from)?;
            begun.update(body)?;
            answer.extend(begun.message());
        }
        Some(12) => {
            if let Some(begun) = scram {
                begun.finish(body)?;
            }
        }
        kind => {
            let text =
                format!("the server asks for a way to log in that is not supported: {kind:?}");
            return Err(io::Error::other(text).into());
        }
    }
    let mut message = Vec::new();
    if !answer.is_empty() {
        wire::put(&mut message, b'p', &answer);
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use rustix::process::Pid;
    use rustix::thread::sched_getaffinity;
    use stormglass_machine::Core;

    use super::{Backend, Exchange, Until};
    use crate::cluster::Cluster;
    use crate::{Error, wire};

    /// A backend of a private server that lives in virtual time; none where the server is another one.
    fn armed(cluster: &Cluster) -> Option<Backend> {
        let found = cluster
            .0
            .with(|real| Ok((real.place.clone(), real.slots.clone())));
        let (place, slots) = found.unwrap();
        let slots = slots?;
        let parameters = [("user", "postgres"), ("database", "postgres")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (mut backend, _) = Backend::open(&place, &parameters).unwrap();
        backend.arm(&slots, 1, 0).unwrap();
        Some(backend)
    }

    #[test]
    fn a_backend_works_where_its_run_does() {
        let cluster = Cluster::take().unwrap();
        let _core = Core::claim();
        let Some(mut backend) = armed(&cluster) else {
            return;
        };
        let process = Pid::from_raw(backend.process.cast_signed());
        assert_eq!(
            sched_getaffinity(process).unwrap(),
            sched_getaffinity(None).unwrap()
        );
        backend.close();
    }

    #[test]
    fn who_naps_is_seen_to_also_before_it_has_waited_for_anything() {
        let cluster = Cluster::take().unwrap();
        let Some(mut backend) = armed(&cluster) else {
            return;
        };
        // The template is in use as long as the server has this library's own connection, which the backend
        // looks at every tenth of a second.
        let sql = "CREATE DATABASE copy TEMPLATE postgres";
        let mut exchange = Exchange::new(wire::query(sql), Until::Ready(1));
        let waited = backend.waits().unwrap().count;
        let enough = || Err(Error::Address("enough".to_owned()));
        let step = backend.step(&mut exchange, Some(waited), |_| Ok(false), enough);
        assert!(step.is_err(), "{:?}", exchange.answer);
    }
}
