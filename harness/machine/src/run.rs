//! A run, as data: what it follows from, why it came to no result, and what is told of its hosts.

use std::time::Duration;

use crate::link::Links;

/// What a run follows from.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Every random number follows from it.
    pub seed: [u8; 32],
    /// How long packets take.
    pub links: Links,
    /// How long, in real time, a thread may work without waiting for anything.
    pub patience: Duration,
}

impl Settings {
    /// The usual links, and ten seconds of patience.
    pub fn of(seed: [u8; 32]) -> Self {
        Settings {
            seed,
            links: Links::default(),
            patience: Duration::from_secs(10),
        }
    }
}

/// Why a run came to no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The function that drives the run panicked, with this message.
    #[error("{0}")]
    Panicked(String),
    /// A host has asked for something that a run cannot have.
    #[error("{host} asks for {call}, which a simulated host does not have")]
    Unsupported {
        /// The host.
        host: String,
        /// What it has asked for.
        call: &'static str,
    },
    /// A thread has worked for longer than [`Settings::patience`] without waiting for anything.
    #[error(
        "{host} has kept the run for {patience:?} without waiting for anything; before that it {before}{}",
        in_system_call(*.system_call)
    )]
    Blocked {
        /// The host whose thread works.
        host: String,
        /// What the thread did before.
        before: &'static str,
        /// How long it was waited for.
        patience: Duration,
        /// The system call of the real machine that the thread is in, by its number: code that enters the kernel
        /// without the C library waits there for what the machine cannot know of.
        system_call: Option<i64>,
    },
    /// Processes that have ended left threads that wait for what will never come.
    #[error("{0} left threads that wait for what will never come: {1}")]
    Leaked(String, usize),
    /// This computer's operating system is another one than Linux, or its processor none that is known here.
    #[error(
        "runs are simulated on Linux with the GNU C library, on x86-64 and aarch64 processors; this is {os} on {arch}",
        os = std::env::consts::OS,
        arch = std::env::consts::ARCH
    )]
    Elsewhere,
    /// No thread could be started.
    #[error("no thread could be started: {0}")]
    NoThread(#[from] std::io::Error),
}

fn in_system_call(number: Option<i64>) -> String {
    number.map_or(String::new(), |number| {
        format!(", and now it is in system call {number}, which nobody made through the C library")
    })
}

/// How a process came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its main function returned.
    Returned,
    /// Its main function panicked, with this message.
    Panicked(String),
    /// It was killed.
    Killed,
}

/// What a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How many of its threads have not ended.
    pub threads: usize,
    /// How many of its descriptors stand for something that the machine keeps: a socket, a pipe, a timer.
    pub descriptors: usize,
}
