//! What a simulated host does not have ends the run with one line that says so.

#![expect(unsafe_code, reason = "signals are sent by functions of C")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stormglass_machine::{RunError, Settings, run};

/// Much more than any step of these runs takes, on a machine that has other work as well.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a run says that has only `service`.
fn said_of<F: Future<Output = ()> + 'static>(service: fn() -> F) -> String {
    let settings = Settings {
        patience: PATIENCE,
        ..Settings::of([5; 32])
    };
    let result = run(settings, move |machine| {
        machine.start_service("orders", &[], service);
        machine.sleep(Duration::from_secs(60));
    });
    match result {
        Ok(()) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn there_are_no_unix_sockets() {
    let said = said_of(|| async {
        let _ = std::os::unix::net::UnixStream::connect("/tmp/no-such-socket");
    });
    let expected = "orders asks for a Unix socket, which a simulated host does not have";
    assert_eq!(said, expected);
}

#[test]
fn there_are_no_other_processes() {
    let said = said_of(|| async {
        let _ = std::process::Command::new("true").status();
    });
    let expected = "orders asks for another process, which a simulated host does not have";
    assert_eq!(said, expected);
}

#[test]
fn nobody_sends_signals() {
    let expected = "orders asks for a signal for a process, which a simulated host does not have";
    let kill = || async {
        let own = i32::try_from(std::process::id()).unwrap();
        // SAFETY: a call without pointers.
        unsafe { libc::kill(own, libc::SIGTERM) };
    };
    assert_eq!(said_of(kill), expected);
    let raise = || async {
        // SAFETY: a call without pointers.
        unsafe { libc::raise(libc::SIGTERM) };
    };
    assert_eq!(said_of(raise), expected);
}

#[test]
fn whoever_asks_for_a_process_finds_its_own_alone() {
    let said = said_of(|| async {
        let own = i32::try_from(std::process::id()).unwrap();
        // SAFETY: calls without pointers.
        let found = unsafe { [own, own + 1].map(|process| libc::kill(process, 0)) };
        assert_eq!(found, [0, -1]);
    });
    assert_eq!(said, "nothing");
}

#[test]
fn whoever_works_for_ever_is_named() {
    static IS_TOLD: AtomicBool = AtomicBool::new(false);
    let said = said_of(|| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        while !IS_TOLD.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    IS_TOLD.store(true, Ordering::Relaxed);
    let expected = "orders has kept the run for 2s without waiting for anything; \
                    before that it had waited for its sockets";
    assert_eq!(said, expected);
}

#[test]
fn whoever_waits_in_the_kernel_without_the_c_library_is_named() {
    let said = said_of(|| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let request = rustix::thread::Timespec {
            tv_sec: 3_600,
            tv_nsec: 0,
        };
        let _ = rustix::thread::nanosleep(&request);
    });
    let expected = "orders has kept the run for 2s without waiting for anything; before that it had waited for its \
                    sockets, and now it is in system call ";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn a_process_that_cannot_be_ended_is_named() {
    let result = run(Settings::of([5; 32]), |machine| {
        machine.start("orders", &[], || {
            // Nobody but the process itself can make this future end.
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            runtime.block_on(std::future::pending::<()>());
        });
        machine.sleep(Duration::from_secs(1));
        machine.kill("orders");
    });
    assert!(
        matches!(&result, Err(RunError::Leaked(host, 1)) if host == "orders"),
        "{result:?}"
    );
}

#[test]
fn whoever_asks_over_and_over_whether_it_is_late_gets_later() {
    let said = said_of(|| async {
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(said, "nothing");
}

#[test]
fn a_run_that_cannot_go_on_is_not_taken_for_one_that_panicked() {
    let result = run(Settings::of([5; 32]), |machine| {
        machine.start("orders", &[], || {
            let _ = std::os::unix::net::UnixStream::connect("/tmp/no-such-socket");
        });
        machine.wait_for_end("orders");
    });
    assert!(
        matches!(result, Err(RunError::Unsupported { .. })),
        "{result:?}"
    );
}

#[test]
fn whoever_ends_its_process_by_force_is_named() {
    const IS_CHILD: &str = "STORMGLASS_MACHINE_TEST_EXITS";
    if std::env::var(IS_CHILD).is_ok() {
        return eprintln!("{}", said_of(|| async { std::process::exit(0) }));
    }
    // The standard library lets a process exit only once, so that it is another one that does.
    let name = "limits::whoever_ends_its_process_by_force_is_named";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let child = child
        .args(["--exact", name, "--nocapture"])
        .env(IS_CHILD, "1");
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = "orders asks for an end of its process by `exit`; let its main function return, \
                    which a simulated host does not have";
    assert!(said.contains(expected), "{said}");
    assert_eq!(output.status.code(), Some(101));
}

#[test]
fn nothing_tells_where_a_service_is_tested() {
    let told = |seed: u8| {
        run(Settings::of([seed; 32]), |machine| {
            let (tell, told) = std::sync::mpsc::channel();
            for host in ["one", "two"] {
                let tell = tell.clone();
                machine.start(host, &[], move || {
                    let processors = std::thread::available_parallelism().unwrap().get();
                    tell.send((processors, std::process::id())).unwrap();
                });
                machine.wait_for_end(host);
            }
            told.try_iter().collect::<Vec<_>>()
        })
        .unwrap()
    };
    assert_eq!(told(1), told(1));
    assert_eq!(told(1)[0].0, 1);
    assert_ne!(told(1)[0].1, told(1)[1].1);
}
