//! Where no run can be simulated: the same names, so that what uses them compiles, and a run that says so.

#![expect(missing_docs, reason = "the documentation is that of Linux")]

use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::link::{Affected, Traffic};
use crate::run::{Ending, RunError, Settings, Usage};

pub fn run<T: Send + 'static>(
    _: Settings,
    _: impl FnOnce(&Machine<'_>) -> T + Send + 'static,
) -> Result<T, RunError> {
    Err(RunError::Elsewhere)
}

pub fn outside<T>(work: impl FnOnce() -> T) -> T {
    work()
}

pub fn host() -> Option<Arc<str>> {
    None
}

pub fn living_host() -> Option<Arc<str>> {
    None
}

pub fn is_killed() -> bool {
    false
}

pub fn host_of(_: IpAddr) -> Option<Arc<str>> {
    None
}

pub fn elapsed() -> Option<Duration> {
    None
}

pub fn attached<T: Any + Send + Sync>() -> Option<Arc<T>> {
    None
}

pub fn threads_begin(_: impl Fn() -> Box<dyn Any> + Send + Sync + 'static) {}

pub fn lacks() -> Option<&'static str> {
    None
}

pub fn terminated() -> Terminated {
    Terminated(())
}

#[derive(Debug)]
pub struct Terminated(());

impl Future for Terminated {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

#[derive(Clone, Debug)]
pub struct Bell(Infallible);

impl Bell {
    pub fn ring(&self) {
        match self.0 {}
    }
}

#[derive(Debug)]
pub struct Machine<'run>(Infallible, PhantomData<&'run ()>);

/// Methods of a machine that there never is.
macro_rules! methods {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        impl Machine<'_> {
            $(pub fn $name(&self, $(_: $argument),*) -> $result {
                match self.0 {}
            })*
        }
    };
}

methods! {
    now() -> Duration;
    sleep(Duration) -> ();
    start(&str, &[(&str, &str)], impl FnOnce() + Send + 'static) -> ();
    wait_for_end(&str) -> Option<Ending>;
    kill(&str) -> ();
    can_be_asked(&str) -> bool;
    terminate(&str) -> bool;
    lose(&str) -> ();
    pause(&str) -> ();
    unpause(&str) -> ();
    bell() -> Bell;
    attach(&Arc<impl Any + Send + Sync>) -> ();
    wait_for_bell(Duration) -> bool;
    traffic() -> BTreeMap<(Arc<str>, Arc<str>), Traffic>;
    take_affected() -> Vec<(Arc<str>, Arc<str>, Affected)>;
    clock_reads(&str) -> u64;
    has_read_clock(&str) -> bool;
    usage(&str) -> Option<Usage>;
    ending(&str) -> Option<Ending>;
    cut(&str, &str) -> ();
    step_clock(&str, i64) -> ();
    drift_clock(&str, i32) -> ();
    reset(&str, &str) -> bool;
    slow_down(&str, &str, Duration) -> ();
    mend(&str, &str) -> ();
    heal() -> ();
    alias(&str, &[&str]) -> ();
}

impl Machine<'_> {
    pub fn start_service<F: Future<Output = ()>>(
        &self,
        _: &str,
        _: &[(&str, &str)],
        _: impl FnOnce() -> F + Send + 'static,
    ) {
        match self.0 {}
    }
}
