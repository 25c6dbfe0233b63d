//! What is left of a run when it is over: nothing.

use std::time::Duration;

use stormglass_machine::{RunError, Settings, run};

/// How many entries a folder of this process has, of those that the kernel keeps about it.
fn count(of: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{of}"))
        .unwrap()
        .count()
}

async fn busy() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:7").await.unwrap();
    let waiting = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(60)));
    tokio::spawn(async move {
        loop {
            let _ = listener.accept().await;
        }
    });
    let _ = tokio::net::TcpStream::connect("127.0.0.1:7").await;
    waiting.await.unwrap();
}

fn killed(seed: u8) {
    run(Settings::of([seed; 32]), |machine| {
        machine.start_service("first", &[], busy);
        machine.start_service("second", &[], busy);
        machine.sleep(Duration::from_millis(100));
        machine.kill("first");
        machine.start_service("first", &[], busy);
        machine.sleep(Duration::from_millis(100));
    })
    .unwrap();
}

#[test]
fn killed_processes_leave_neither_threads_nor_descriptors() {
    killed(0);
    let before = (count("task"), count("fd"));
    for seed in 0..100 {
        killed(seed);
    }
    let after = (count("task"), count("fd"));
    // Other tests run beside this one.
    assert!(
        after.0 < before.0 + 50 && after.1 < before.1 + 50,
        "{before:?} {after:?}"
    );
}

#[test]
fn a_thread_that_waits_for_ever_is_told_of() {
    let result = run(Settings::of([1; 32]), |machine| {
        machine.start("stuck", &[], || {
            std::thread::Builder::new()
                .spawn(|| {
                    loop {
                        std::thread::park();
                    }
                })
                .unwrap();
            std::thread::sleep(Duration::from_secs(1));
        });
        machine.wait_for_end("stuck");
    });
    assert!(
        matches!(&result, Err(RunError::Leaked(host, 1)) if host == "stuck"),
        "{result:?}"
    );
}

/// Writes a letter when it is dropped.
struct Letter(std::path::PathBuf);

impl Drop for Letter {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.0, "goodbye");
        let _ = std::fs::create_dir(self.0.with_extension("folder"));
    }
}

#[test]
fn a_killed_process_makes_and_empties_no_files() {
    let folder = std::env::temp_dir().join(format!("letters-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (old, new) = (folder.join("old"), folder.join("new"));
    std::fs::write(&old, "hello").unwrap();
    let letters = (old.clone(), new.clone());
    run(Settings::of([2; 32]), move |machine| {
        machine.start_service("author", &[], move || async move {
            let _letters = (Letter(letters.0), Letter(letters.1));
            std::future::pending().await
        });
        machine.sleep(Duration::from_millis(100));
        machine.kill("author");
    })
    .unwrap();
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "hello");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
}
