//! Descriptors: the numbers by which a process knows its sockets, epoll instances and event counters.
//!
//! They begin far above those of the real machine, and are counted for each process from a start of its own, so that
//! a number tells whose it is and repeats with the run.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crate::epoll::Epoll;
use crate::clock::Asked;
use crate::lock;
use crate::pipe::Pipe;
use crate::symbols::Errno;
use crate::timer::Timer;

/// What several descriptors may stand for: an open file, as POSIX calls it.
pub(crate) type ObjectId = u32;

/// The first descriptor of the first process.
pub(crate) const FIRST: c_int = 1 << 20;
/// How many numbers each process of a run has, of those that begin at [`FIRST`].
const NUMBERS: c_int = 1 << 16;
/// How many processes of a run have numbers of their own; the later ones have those of the first ones again.
pub(crate) const PLACES: usize = ((c_int::MAX - FIRST) / NUMBERS) as usize;

/// The place in the run of the first process that has this number among its own.
pub(crate) fn owner_of(descriptor: c_int) -> Option<usize> {
    usize::try_from((descriptor - FIRST).div_euclid(NUMBERS)).ok()
}

/// An open file of a process.
pub(crate) struct Object {
    pub(crate) id: ObjectId,
    pub(crate) kind: Kind,
    /// Whether calls fail instead of waiting.
    is_nonblocking: AtomicBool,
    /// The longest that receiving and sending wait.
    timeouts: Mutex<[Option<Duration>; 2]>,
}

pub(crate) enum Kind {
    /// A TCP socket; the kernel knows it by the object's number.
    Socket,
    /// A UDP socket; the kernel knows it by the object's number.
    Datagram,
    /// An `eventfd`, and what it has counted.
    Counter(AtomicU64),
    Epoll(Epoll),
    /// An end of a pipe, or of a pair of connected sockets.
    Pipe(Pipe),
    /// A `timerfd`, and the clock that it goes by.
    Timer(Asked, Timer),
}

impl Object {
    pub(crate) fn is_nonblocking(&self) -> bool {
        self.is_nonblocking.load(Ordering::SeqCst)
    }

    pub(crate) fn set_nonblocking(&self, is_nonblocking: bool) {
        self.is_nonblocking.store(is_nonblocking, Ordering::SeqCst);
    }

    pub(crate) fn timeout(&self, direction: Direction) -> Option<Duration> {
        lock(&self.timeouts)[direction as usize]
    }

    pub(crate) fn set_timeout(&self, direction: Direction, timeout: Option<Duration>) {
        lock(&self.timeouts)[direction as usize] = timeout;
    }
}

/// Which of the two ways of a connection.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Receive,
    Send,
}

impl Direction {
    /// What a socket is ready for when this does not wait, in epoll's bits.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Direction::Receive => libc::EPOLLIN as u32,
            Direction::Send => libc::EPOLLOUT as u32,
        }
    }
}

/// The descriptors of a process.
pub(crate) struct Descriptors {
    first: c_int,
    open: BTreeMap<c_int, Arc<Object>>,
    opened_count: c_int,
    object_count: ObjectId,
    epolls: Vec<Weak<Object>>,
}

impl Descriptors {
    /// Those of the process at `place` in its run.
    pub(crate) fn new(place: usize) -> Self {
        let place = c_int::try_from(place % PLACES).unwrap_or(0);
        Descriptors {
            first: FIRST + place * NUMBERS,
            open: BTreeMap::new(),
            opened_count: 0,
            object_count: 0,
            epolls: Vec::new(),
        }
    }

    /// Two ends that are connected with each other, as `ends` makes them of their numbers.
    pub(crate) fn open_pipe(
        &mut self,
        ends: fn([ObjectId; 2]) -> [Pipe; 2],
        is_nonblocking: bool,
    ) -> [c_int; 2] {
        let ends = ends([self.object_count, self.object_count + 1]);
        ends.map(|end| self.open(Kind::Pipe(end), is_nonblocking).0)
    }

    pub(crate) fn open(&mut self, kind: Kind, is_nonblocking: bool) -> (c_int, Arc<Object>) {
        let object = self.create(kind, is_nonblocking);
        (self.give(object.clone()), object)
    }

    /// An open file that has no number yet.
    pub(crate) fn create(&mut self, kind: Kind, is_nonblocking: bool) -> Arc<Object> {
        let id = self.object_count;
        self.object_count += 1;
        let object = Arc::new(Object {
            id,
            kind,
            is_nonblocking: AtomicBool::new(is_nonblocking),
            timeouts: Mutex::default(),
        });
        if matches!(object.kind, Kind::Epoll(_)) {
            self.epolls.retain(|own| own.strong_count() > 0);
            self.epolls.push(Arc::downgrade(&object));
        }
        object
    }

    /// A new number for an open file.
    pub(crate) fn give(&mut self, object: Arc<Object>) -> c_int {
        let numbers = (0..NUMBERS).map(|by| (self.opened_count + by) % NUMBERS);
        let mut free = numbers.filter(|own| !self.open.contains_key(&(self.first + own)));
        // Nobody has so many open at a time.
        let number = free.next().unwrap_or(self.opened_count);
        let descriptor = self.first + number;
        self.opened_count = (number + 1) % NUMBERS;
        self.open.insert(descriptor, object);
        descriptor
    }

    pub(crate) fn get(&self, descriptor: c_int) -> Result<Arc<Object>, Errno> {
        let found = self.open.get(&descriptor).cloned();
        found.ok_or(Errno(libc::EBADF))
    }

    /// How many numbers stand for an open file.
    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// Another number for the same open file.
    pub(crate) fn duplicate(&mut self, descriptor: c_int) -> Result<c_int, Errno> {
        let object = self.get(descriptor)?;
        Ok(self.give(object))
    }

    /// Takes a number back; the open file, if that was its last one.
    pub(crate) fn close(&mut self, descriptor: c_int) -> Result<Option<Arc<Object>>, Errno> {
        let object = self.open.remove(&descriptor).ok_or(Errno(libc::EBADF))?;
        let is_last = !self.open.values().any(|own| own.id == object.id);
        if is_last {
            for epoll in self.epolls.iter().filter_map(Weak::upgrade) {
                if let Kind::Epoll(epoll) = &epoll.kind {
                    epoll.forget(object.id);
                }
            }
        }
        Ok(is_last.then_some(object))
    }

    /// Something has happened to an open file.
    pub(crate) fn signal(&self, id: ObjectId) {
        for epoll in self.epolls.iter().filter_map(Weak::upgrade) {
            if let Kind::Epoll(epoll) = &epoll.kind {
                epoll.signal(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(descriptors: &mut Descriptors) -> c_int {
        descriptors.open(Kind::Counter(AtomicU64::new(0)), true).0
    }

    #[test]
    fn a_number_that_is_in_use_is_not_given_again() {
        let mut descriptors = Descriptors::new(0);
        let listener = opened(&mut descriptors);
        for _ in 0..2 * NUMBERS {
            let connection = opened(&mut descriptors);
            assert_ne!(connection, listener);
            descriptors.close(connection).unwrap();
        }
        assert!(descriptors.get(listener).is_ok());
    }

    #[test]
    fn a_number_tells_the_process_also_of_one_that_was_started_very_often() {
        for place in [0, 1, 2_047, PLACES - 1, PLACES, 3 * PLACES + 7] {
            let number = opened(&mut Descriptors::new(place));
            assert_eq!(owner_of(number), Some(place % PLACES));
        }
    }
}
