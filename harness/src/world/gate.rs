//! The gate: one incarnation of one host, as its ports see it.

use std::sync::Arc;
use std::time::Duration;

use super::armed::Injection;
use super::commands::Command;
use super::hosts::SharedState;
use super::{World, lock, now};
use crate::history::What;
use crate::plan::{Befallen, CallFault, Side};

/// One incarnation of one host, as its ports see it.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(super) world: Arc<World>,
    pub(super) host: Arc<str>,
    pub(super) incarnation: u32,
    pub(super) state: SharedState,
}

impl Gate {
    pub(crate) fn world(&self) -> &Arc<World> {
        &self.world
    }

    pub(crate) fn host(&self) -> &Arc<str> {
        &self.host
    }

    pub(crate) fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Whether this incarnation has crashed.
    pub(crate) fn is_dead(&self) -> bool {
        !lock(&self.state).is_alive(self.incarnation)
    }

    /// Whether this incarnation has gone in silence, with its computer, which is not back.
    pub(crate) fn is_lost(&self) -> bool {
        lock(&self.state).is_lost(self.incarnation)
    }

    /// Waits while the host is paused; never returns once this incarnation has crashed.
    pub(crate) async fn open(&self) {
        loop {
            if self.is_dead() {
                std::future::pending::<()>().await;
            }
            let paused = lock(&self.state).paused();
            let now = now();
            match paused {
                Some(paused) if now < paused.until => {
                    self.bit(paused.fault, "stood still".to_owned());
                    // A pause may be lifted early, so the wait is in slices.
                    let slice = (paused.until - now).min(Duration::from_millis(20));
                    tokio::time::sleep(slice).await;
                }
                _ => return,
            }
        }
    }

    /// Opens the gate for one call, counts it, and lets happen what happens before it.
    pub(crate) async fn enter<F: CallFault>(&self) -> Injection<F> {
        self.open().await;
        let injection = lock(&self.world.armed).strike(&self.host, now());
        self.apply(&injection, Side::Before);
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
        injection
    }

    /// The call has had its effect: lets happen what happens after it.
    pub(crate) async fn leave<F: CallFault>(&self, injection: &Injection<F>) {
        self.apply(injection, Side::After);
        self.open().await;
    }

    /// What befalls this host itself does so before the call goes on; the rest is the nemesis' to do.
    fn apply<F: CallFault>(&self, injection: &Injection<F>, side: Side) {
        for (fault, incident) in injection.of_side(side) {
            match incident.befalls(&self.host) {
                // Said before the death, because a dead host's port records nothing.
                Some(Befallen::Dies) => {
                    self.bit(fault, incident.to_string());
                    self.world.hosts.kill(&self.host);
                }
                Some(Befallen::IsLost) => {
                    self.bit(fault, incident.to_string());
                    self.world.hosts.lose(&self.host);
                }
                Some(Befallen::StandsStill { for_ms }) => {
                    let until = now() + Duration::from_millis(for_ms);
                    self.world.hosts.pause(&self.host, fault, until);
                    let host = self.host.to_string();
                    let paused = Command::Paused { host, fault, until };
                    self.world.commands.push(paused);
                    continue;
                }
                Some(Befallen::IsToldToStop) => {
                    let text = incident.to_string();
                    self.world.hosts.tell_to_stop(&self.host, fault, &text);
                }
                None => {}
            }
            self.world.commands.push(Command::SetOff { fault });
        }
    }

    /// As [`Gate::enter`], for a call that this host makes and that is seen where it arrives.
    pub(crate) fn strike<F: CallFault>(&self) -> Injection<F> {
        let injection = lock(&self.world.armed).strike(&self.host, now());
        self.apply(&injection, Side::Before);
        injection
    }

    /// As [`Gate::leave`], for such a call.
    pub(crate) fn struck<F: CallFault>(&self, injection: &Injection<F>) {
        self.apply(injection, Side::After);
    }

    /// The software asks to be told when it has to stop.
    pub(crate) fn heed(&self) {
        if !self.is_dead() {
            self.world.hosts.heed(&self.host);
        }
    }

    /// The host's software came to its end by itself.
    pub(crate) fn ended(&self, error: Option<String>) {
        if self.is_dead() {
            return;
        }
        if self.world.hosts.is_told_to_stop(&self.host) {
            return self.world.hosts.stop(&self.host, error);
        }
        self.record(What::HostExited { error });
        self.world.hosts.end(&self.host);
    }

    /// Records at this host's port; a dead host records nothing.
    pub(crate) fn record(&self, what: What) {
        self.append(what);
    }

    /// Records at this host's port; gives the event's index, if it was recorded.
    pub(crate) fn append(&self, what: What) -> Option<u64> {
        (!self.is_dead()).then(|| self.world.recorder.append(&self.host, what))?
    }

    /// Notes that a fault had an effect at this host.
    pub(crate) fn bit(&self, fault: usize, text: String) {
        self.world.recorder.bit(fault, &self.host, text);
    }
}
