//! Pipes and pairs of connected sockets: streams of bytes between two descriptors of a process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use libc::{EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP};

use crate::descriptor::ObjectId;
use crate::lock;
use crate::symbols::Errno;

/// How much a way holds, as a pipe of Linux does (`pipe(7)`).
const CAPACITY: usize = 64 * 1024;
/// Up to how many bytes are written all together or not at all (`PIPE_BUF` of `pipe(7)`).
const ATOMIC: usize = 4096;

/// One end of a pipe, or one of a pair of sockets.
pub(crate) struct Pipe {
    /// The open file of the other end.
    pub(crate) other: ObjectId,
    incoming: Option<Arc<Mutex<Way>>>,
    outgoing: Option<Arc<Mutex<Way>>>,
}

/// What is on its way from one end to the other.
#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    is_reader_gone: bool,
    is_writer_gone: bool,
}

impl Pipe {
    /// The end of a pipe to read from, and the one to write to.
    pub(crate) fn one_way([reader, writer]: [ObjectId; 2]) -> [Pipe; 2] {
        let way = Arc::<Mutex<Way>>::default();
        let read = Pipe {
            other: writer,
            incoming: Some(way.clone()),
            outgoing: None,
        };
        let write = Pipe {
            other: reader,
            incoming: None,
            outgoing: Some(way),
        };
        [read, write]
    }

    /// Two connected sockets.
    pub(crate) fn both_ways([one, other]: [ObjectId; 2]) -> [Pipe; 2] {
        let (there, back) = (Arc::<Mutex<Way>>::default(), Arc::<Mutex<Way>>::default());
        let first = Pipe {
            other,
            incoming: Some(back.clone()),
            outgoing: Some(there.clone()),
        };
        let second = Pipe {
            other: one,
            incoming: Some(there),
            outgoing: Some(back),
        };
        [first, second]
    }

    /// Fills `into`, or a part of it; zero at the end of the stream.
    pub(crate) fn receive(&self, into: &mut [u8], peek: bool) -> Result<usize, Errno> {
        let mut way = lock(self.incoming.as_ref().ok_or(Errno(libc::EBADF))?);
        let count = into.len().min(way.bytes.len());
        if count == 0 && !into.is_empty() && !way.is_writer_gone && !way.is_reader_gone {
            return Err(Errno(libc::EAGAIN));
        }
        for (own, byte) in into.iter_mut().zip(&way.bytes) {
            *own = *byte;
        }
        if !peek {
            way.bytes.drain(..count);
        }
        Ok(count)
    }

    /// Takes `bytes`, or the first of them.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut way = lock(self.outgoing.as_ref().ok_or(Errno(libc::EBADF))?);
        if way.is_reader_gone || way.is_writer_gone {
            return Err(Errno(libc::EPIPE));
        }
        let room = CAPACITY - way.bytes.len();
        let is_too_much = bytes.len() <= ATOMIC && room < bytes.len();
        if is_too_much || (room == 0 && !bytes.is_empty()) {
            return Err(Errno(libc::EAGAIN));
        }
        let count = bytes.len().min(room);
        way.bytes.extend(&bytes[..count]);
        Ok(count)
    }

    /// This end reads no more, or writes no more.
    pub(crate) fn shut_down(&self, how: i32) {
        if let Some(way) = self.incoming.as_ref().filter(|_| how != libc::SHUT_WR) {
            lock(way).is_reader_gone = true;
        }
        if let Some(way) = self.outgoing.as_ref().filter(|_| how != libc::SHUT_RD) {
            lock(way).is_writer_gone = true;
        }
    }

    /// What it is ready for, in epoll's bits.
    pub(crate) fn readiness(&self) -> u32 {
        let incoming = self.incoming.as_ref().map(|way| {
            let way = lock(way);
            let has_bytes = if way.bytes.is_empty() { 0 } else { EPOLLIN };
            let is_over = way.is_writer_gone || way.is_reader_gone;
            (has_bytes, is_over)
        });
        let outgoing = self.outgoing.as_ref().map(|way| {
            let way = lock(way);
            let has_room = CAPACITY - way.bytes.len() >= ATOMIC;
            let is_over = way.is_reader_gone || way.is_writer_gone;
            (has_room || is_over, is_over)
        });
        let bits = match (incoming, outgoing) {
            (Some((bits, is_over)), None) => bits | if is_over { EPOLLHUP } else { 0 },
            (None, Some((can_write, is_over))) => {
                (if can_write { EPOLLOUT } else { 0 }) | if is_over { EPOLLERR } else { 0 }
            }
            (Some((bits, is_read_over)), Some((can_write, is_write_over))) => {
                let over = match (is_read_over, is_write_over) {
                    (true, true) => EPOLLIN | EPOLLRDHUP | EPOLLHUP,
                    (true, false) => EPOLLIN | EPOLLRDHUP,
                    _ => 0,
                };
                bits | over | if can_write { EPOLLOUT } else { 0 }
            }
            (None, None) => 0,
        };
        bits as u32
    }
}
