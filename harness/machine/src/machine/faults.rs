//! Faults of the network and of clocks, and the names under which hosts are known.

use std::time::Duration;

use super::Machine;

impl Machine<'_> {
    /// Keeps packets from reaching `to` from `from`, until [`Machine::mend`] or [`Machine::heal`].
    pub fn cut(&self, from: &str, to: &str) {
        let mut schedule = self.context.scheduler.lock();
        let from = schedule.network.address_of(from);
        let to = schedule.network.address_of(to);
        schedule.network.cut(from, to);
    }

    /// Puts the system clock of the host `name` forward, or back; its monotonic clock goes on.
    pub fn step_clock(&self, name: &str, by_ms: i64) {
        let mut schedule = self.context.scheduler.lock();
        let now = schedule.now();
        schedule.clock_mut(name).step(now, by_ms);
    }

    /// Makes the system clock of the host `name` gain so many parts in a million from now on, or lose them.
    pub fn drift_clock(&self, name: &str, gain_ppm: i32) {
        let mut schedule = self.context.scheduler.lock();
        let now = schedule.now();
        schedule.clock_mut(name).drift(now, gain_ppm);
    }

    /// Resets every connection between two hosts; both ends are told. Whether there was one.
    pub fn reset(&self, one: &str, other: &str) -> bool {
        let one = self.process(one).filter(|own| !own.is_dead());
        let other = self.process(other).filter(|own| !own.is_dead());
        let (Some(one), Some(other)) = (one, other) else {
            return false;
        };
        let peer = other.address;
        let was_any = self.context.on_kernel_of(&one, move |kernel| kernel.reset(peer));
        was_any.unwrap_or(false)
    }

    /// Makes packets from `from` to `to` take so much longer than usual, until [`Machine::heal`] or another
    /// call; zero makes them as fast as others.
    pub fn slow_down(&self, from: &str, to: &str, by: Duration) {
        let mut schedule = self.context.scheduler.lock();
        let from = schedule.network.address_of(from);
        let to = schedule.network.address_of(to);
        schedule.network.slow_down(from, to, by);
    }

    /// Makes the way from one host to another whole; what was held goes on.
    pub fn mend(&self, from: &str, to: &str) {
        let mut schedule = self.context.scheduler.lock();
        let from = schedule.network.address_of(from);
        let to = schedule.network.address_of(to);
        schedule.network.mend(from, to);
        schedule.carry();
    }

    /// Makes every link whole and as fast as others; what was held goes on its way.
    pub fn heal(&self) {
        let mut schedule = self.context.scheduler.lock();
        schedule.network.heal();
        schedule.carry();
    }

    /// Makes the name `alias` stand for several hosts, as that of a service with several instances does. Each time it is
    /// looked up, another one of them comes first.
    pub fn alias(&self, alias: &str, hosts: &[&str]) {
        let mut schedule = self.context.scheduler.lock();
        schedule.network.set_alias(alias, hosts);
    }
}
