//! Panics of services: kept off stderr, and told in the history.
//!
//! A service that panics at every message would otherwise print a backtrace for each of thousands of runs. Panics on all
//! other threads are told as before.

use std::panic::{Location, PanicHookInfo};
use std::path::Path;
use std::sync::Once;

use super::World;
use crate::history::What;

/// Keeps panics of runs off stderr, from the first call on. What a service says when it panics enters the history; what
/// destructors of a crashed one say was never said.
pub(crate) fn listen() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match stormglass_machine::host() {
            Some(_) => tell(panic),
            None => usual(panic),
        }));
    });
}

fn tell(panic: &PanicHookInfo<'_>) {
    if let Some((world, host)) = World::here() {
        let what = What::Panicked {
            message: panic_text(panic.payload()).to_owned(),
            place: panic.location().map(place).unwrap_or_default(),
        };
        world.recorder.record(&host, what);
    }
}

/// Where in the code, without the folders that only this computer has.
fn place(location: &Location<'_>) -> String {
    let file = own_part(Path::new(location.file()));
    format!(
        "{}:{}:{}",
        file.display(),
        location.line(),
        location.column()
    )
}

/// All of a relative path; of an absolute one, such as that of a dependency, what follows from the folder of its package on.
fn own_part(file: &Path) -> &Path {
    if file.is_relative() {
        return file;
    }
    let mut folders = file.ancestors();
    let sources = folders.find(|folder| folder.ends_with("src"));
    let package = sources.or_else(|| file.parent()).and_then(Path::parent);
    package
        .and_then(|above| file.strip_prefix(above.parent()?).ok())
        .unwrap_or(file)
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::own_part;

    #[test]
    fn a_place_names_no_folder_that_only_one_computer_has() {
        for (file, told) in [
            ("src/relay.rs", "src/relay.rs"),
            ("orders/src/relay.rs", "orders/src/relay.rs"),
            (
                "/home/ada/shop/orders/src/relay/pace.rs",
                "orders/src/relay/pace.rs",
            ),
            (
                "/home/ada/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/tokio-1.48.0/src/task.rs",
                "tokio-1.48.0/src/task.rs",
            ),
            (
                "/home/ada/shop/orders/tests/placing.rs",
                "orders/tests/placing.rs",
            ),
            ("/main.rs", "/main.rs"),
        ] {
            assert_eq!(own_part(Path::new(file)), Path::new(told));
        }
    }
}
