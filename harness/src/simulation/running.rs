//! Which host is running: that of the tokio runtime which the current code runs in.

#[cfg(tokio_unstable)]
use std::cell::RefCell;
use std::sync::Arc;

#[cfg(tokio_unstable)]
thread_local! {
    static HOSTS: RefCell<Vec<(tokio::runtime::Id, Arc<str>)>> = const { RefCell::new(Vec::new()) };
}

/// Notes that the runtime which is running right now is this host's.
pub(super) fn this_host(host: &Arc<str>) {
    #[cfg(tokio_unstable)]
    if let Ok(handle) = tokio::runtime::Handle::try_current() {
        HOSTS.with(|hosts| {
            let mut hosts = hosts.borrow_mut();
            hosts.retain(|(_, own)| own != host);
            hosts.push((handle.id(), host.clone()));
        });
    }
    #[cfg(not(tokio_unstable))]
    let _ = host;
}

/// The host whose runtime is running; `None` between ticks, and where tokio was built without
/// `--cfg tokio_unstable`, which is what tells one runtime from another.
pub(super) fn current_host() -> Option<Arc<str>> {
    if let Some(host) = stormglass_machine::host() {
        return Some(host);
    }
    #[cfg(tokio_unstable)]
    if let Ok(handle) = tokio::runtime::Handle::try_current() {
        let id = handle.id();
        return HOSTS.with(|hosts| {
            let hosts = hosts.borrow();
            let found = hosts.iter().find(|(own, _)| *own == id);
            found.map(|(_, host)| host.clone())
        });
    }
    None
}
