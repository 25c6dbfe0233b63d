//! Small programs that see the same on the machine as on the real operating system.
//!
//! Each is run on both and writes down what it observes: results, kinds of error, order; never how long
//! something took on the real machine.

mod blocking;
mod pipes;
mod sockets;
mod threads;
mod time;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stormglass_machine::{Ending, Settings, run};

/// What a program has observed, in order.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    /// Writes down `what`, as it prints.
    pub(crate) fn note(&self, what: impl std::fmt::Debug) {
        self.0.lock().unwrap().push(format!("{what:?}"));
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// The kind of error of `result`, or what it is.
pub(crate) fn kind<T>(result: std::io::Result<T>) -> Result<T, std::io::ErrorKind> {
    result.map_err(|error| error.kind())
}

/// Runs `program` on the real machine and on ours, and compares what it sees.
fn same_on_both(program: impl Fn(&Seen) + Send + 'static) {
    let really = Seen::default();
    program(&really);
    let seen = Seen::default();
    let noted = seen.clone();
    run(Settings::of([7; 32]), move |machine| {
        machine.start("host", &[], move || program(&noted));
        assert_eq!(machine.wait_for_end("host"), Some(Ending::Returned));
    })
    .unwrap();
    assert!(!really.all().is_empty(), "the program observes nothing");
    assert_eq!(
        seen.all(),
        really.all(),
        "the machine, and then the real one"
    );
}

/// As [`same_on_both`], for an async program on a tokio runtime of one thread.
fn same_on_both_async<F: Future<Output = ()> + 'static>(program: fn(Seen) -> F) {
    same_on_both(move |seen| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(program(seen.clone()));
    });
}

/// Long enough for whatever another thread of the real machine was about to do.
const A_WHILE: Duration = Duration::from_millis(30);
