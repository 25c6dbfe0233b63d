//! The command line as a user meets it: exit codes, bad input, and what is printed.
//!
//! The built binary is run as a process. What the seeds of the whole catalogue show is the business of
//! the sweep itself, not of these tests.

#[path = "cli/outputs.rs"]
mod outputs;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The binary in an empty folder, with SQLite and the simulated broker whatever the environment says.
fn stormglass(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stormglass"));
    command
        .args(arguments)
        .env_remove("STORMGLASS_DATABASE")
        .env_remove("STORMGLASS_BROKER")
        .stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("the binary can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// Asserts that the command is refused with one line that says `words`.
#[track_caller]
fn refused(command: &mut Command, code: i32, words: &str) {
    let output = output(command);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("stormglass: "), "{stderr}");
    assert!(stderr.contains(words), "{stderr}");
    assert_eq!(text(&output.stdout), "");
}

/// An artefact of a run in which all holds: the plan of a seed, with the digest that it really has.
fn artefact(folder: &Path, change: impl Fn(&mut serde_json::Value)) -> PathBuf {
    use stormglass::Seed;
    use stormglass::artefact::Artefact;
    use stormglass::checker::Witness;

    let system = scenarios::Scenario::find("calm")
        .expect("calm is a scenario")
        .system();
    let run = stormglass::audit::recorded(&system, Seed(3)).expect("the run comes to a result");
    let witness = Witness {
        summary: "made up".to_owned(),
        chain: vec![0],
        ..Witness::default()
    };
    let mut value = serde_json::to_value(Artefact::of(&system, &run, "no-lost-event", &witness))
        .expect("an artefact can be written as JSON");
    change(&mut value);
    let path = folder.join("artefact.json");
    std::fs::write(&path, value.to_string()).expect("the folder can be written to");
    path
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

#[test]
fn list_names_every_scenario() {
    let output = output(&mut stormglass(&["list"]));
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn a_calm_sweep_holds_and_reports_where_it_is_asked_to() {
    let folder = folder();
    let out = folder.path().join("made/for/it");
    let out = out.to_str().expect("the path is UTF-8");
    let output = output(&mut stormglass(&[
        "sweep", "calm", "--seeds", "2", "--jobs", "2", "--out", out,
    ]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(complaints(&output), "");
    insta::assert_snapshot!(without_times(&text(&output.stdout)));
    let json = std::fs::read_to_string(Path::new(out).join("report.json"))
        .expect("report.json was written");
    let report = stormglass_reports::json::read(&json).expect("it is a report");
    assert_eq!(report.seeds_total(), 2);
    for file in ["summary.md", "report.html", "junit.xml"] {
        assert!(Path::new(out).join(file).exists(), "{file}");
    }
}

/// What stderr says beside how far the command is, which a slow machine is told.
fn complaints(output: &Output) -> String {
    let stderr = text(&output.stderr);
    let lines = stderr.lines().filter(|line| !line.contains(" runs"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Leaves out how long it took on the wall clock.
fn without_times(text: &str) -> String {
    let line = |line: &str| match line.split_once(" in ") {
        Some((before, after)) if line.starts_with(" total") => {
            let after = after.split_once(", ").map_or(after, |(_time, rest)| rest);
            format!("{before} in [time], {after}\n")
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn json_is_one_document_with_the_same() {
    let output = output(&mut stormglass(&[
        "sweep", "calm", "--seeds", "1", "--format", "json",
    ]));
    assert_eq!(output.status.code(), Some(0));
    let report = stormglass_reports::json::read(&text(&output.stdout)).expect("stdout is a report");
    assert_eq!(report.scenarios[0].name, "calm");
    assert_eq!(report.scenarios[0].properties["log"].holds, 1);
}

#[test]
fn a_sweep_that_shows_nothing_is_inconclusive() {
    // Without a fault that bites, nothing arrives twice.
    let inconclusive = (0..20).any(|seed: u32| {
        let seed = seed.to_string();
        let sweep = [
            "sweep",
            "duplicates-jetstream",
            "--seeds",
            "1",
            "--first-seed",
            &seed,
        ];
        match output(&mut stormglass(&sweep)).status.code() {
            Some(5) => true,
            Some(0) => false,
            other => panic!("{other:?}"),
        }
    });
    assert!(inconclusive);
}

#[test]
fn run_shows_a_timeline_and_trace_shows_more() {
    let [short, long] = [
        &["run", "calm", "--seed", "7"][..],
        &["run", "calm", "--seed", "7", "--details"],
    ]
    .map(|arguments| output(&mut stormglass(arguments)));
    for output in [&short, &long] {
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    let (short, long) = (text(&short.stdout), text(&long.stdout));
    assert!(
        short.contains("seed 0x00000007") && short.contains("rows left out: "),
        "{short}"
    );
    assert!(!long.contains("rows left out: "));
    assert!(long.lines().count() > short.lines().count());
}

#[test]
fn replay_says_whether_the_history_is_the_same() {
    let folder = folder();
    let same = artefact(folder.path(), |_| {});
    let output_of =
        |path: &Path| output(&mut stormglass(&["replay", path.to_str().expect("UTF-8")]));
    let output = output_of(&same);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("same history as recorded"));

    let other = artefact(folder.path(), |value| {
        value["digest"] = "00".into();
        value["history"][5] = "something else".into();
    });
    let output = output_of(&other);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(
        stdout.contains("diverged at event #5") && stdout.contains("something else"),
        "{stdout}"
    );
}

#[test]
fn shrink_says_when_there_is_nothing_to_shrink() {
    let folder = folder();
    let path = artefact(folder.path(), |_| {});
    let output = output(&mut stormglass(&["shrink", path.to_str().expect("UTF-8")]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("does not break no-lost-event"));
}

#[test]
fn audit_finds_no_difference() {
    let output = output(&mut stormglass(&[
        "audit",
        "calm",
        "everything",
        "--seeds",
        "3",
    ]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "no difference: 3 seeds of 2 scenarios, each in two processes\n"
    );
}

#[test]
fn what_cannot_be_meant_is_refused_in_one_line() {
    for (arguments, words) in [
        (&["frobnicate"][..], "unrecognized subcommand 'frobnicate'"),
        (
            &["sweep", "everthing"],
            "unknown scenario `everthing`: did you mean `everything`?",
        ),
        (
            &["sweep", "calm", "xyzzyplugh"],
            "unknown scenario `xyzzyplugh`: `stormglass list`",
        ),
        (&["sweep", "--seeds", "0"], "at least one seed is needed"),
        (&["sweep", "--seeds", "many"], "expected a number of seeds"),
        (&["sweep", "--seeds", "-1"], "expected a number of seeds"),
        (&["sweep", "CALM"], "did you mean `calm`?"),
        (&["sweep", "--jobs", "100000"], "at most 1024"),
        (
            &[
                "sweep",
                "--first-seed",
                "18446744073709551615",
                "--seeds",
                "2",
            ],
            "goes beyond the greatest seed",
        ),
        (
            &[
                "audit",
                "--seeds",
                "18446744073709551615",
                "--first-seed",
                "2",
            ],
            "goes beyond the greatest seed",
        ),
        (&["run", "calm", "--seed", "-1"], "is not a seed"),
        (
            &["sweep", "--jobs", "0"],
            "at least one run at a time is needed",
        ),
        (&["sweep", "--first-seed", "0xyz"], "is not a seed"),
        (&["sweep", "--format", "xml"], "invalid value 'xml'"),
        (
            &["sweep", "--shard", "4/3", "--out", "x"],
            "`4/3` is not a shard",
        ),
        (&["sweep", "--shard", "1/2"], "--out"),
        (
            &["sweep", "--shard", "1/9", "--seeds", "8", "--out", "/tmp"],
            "has none of 8 seeds",
        ),
        (&["merge", "somewhere"], "--out"),
        (
            &["compare", "--faults", "none,earthquake"],
            "unknown faults `earthquake`: there are none, outage,",
        ),
        (&["compare", "--seeds", "0"], "at least one seed is needed"),
        (&["completions", "tcsh"], "invalid value 'tcsh'"),
        (&["sweep", "--colour"], "unexpected argument '--colour'"),
        (&["run", "calm"], "--seed"),
        (
            &["run", "calm", "--seed", "0x10000000000000000"],
            "is not a seed",
        ),
        (
            &["run", "nothing", "--seed", "1"],
            "unknown scenario `nothing`",
        ),
        (&["replay"], "<FILE>"),
        (&["audit", "--seeds", "0"], "at least one seed is needed"),
    ] {
        refused(&mut stormglass(arguments), 2, words);
    }
}

#[test]
fn an_artefact_that_cannot_be_used_is_refused_in_one_line() {
    let folder = folder();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("the folder can be written to");
        path
    };
    let whole = std::fs::read(artefact(folder.path(), |_| {})).expect("it was written");
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = serde_json::from_slice(&whole).expect("it is JSON");
        change(&mut value);
        value.to_string().into_bytes()
    };
    let newer = changed(&|value| value["version"] = 99.into());
    let without_plan =
        changed(&|value| drop(value.as_object_mut().map(|object| object.remove("plan"))));
    let foreign_system = changed(&|value| value["system"] = "box office".into());
    let ghost = |incident: &str| {
        let action = format!(r#"{{"incident": {{"incident": {incident}}}}}"#);
        let fault = format!(r#"[{{"at_ms": 9, "action": {action}}}]"#);
        let fault: serde_json::Value = serde_json::from_str(&fault).expect("it is JSON");
        changed(&|value| value["plan"]["schedule"] = fault.clone())
    };
    let ghost_host = ghost(r#"{"kind": "partition", "a": "relay", "b": "ghost", "for_ms": 9}"#);
    let endless = ghost(r#"{"kind": "broker_outage", "for_ms": 18446744073709551615}"#);
    for (path, words) in [
        (
            folder.path().join("missing.json"),
            "failed to read artefact",
        ),
        (folder.path().to_owned(), "failed to read artefact"),
        (
            file("binary.json", b"\xff\xfe\x00"),
            "failed to read artefact",
        ),
        (
            file("truncated.json", &whole[..whole.len() / 2]),
            "damaged or truncated",
        ),
        (file("empty.json", b""), "damaged or truncated"),
        (file("no-plan.json", &without_plan), "damaged or truncated"),
        (
            file("foreign.json", b"{\"format\": \"something\"}"),
            "not a stormglass artefact",
        ),
        (file("list.json", b"[1, 2]"), "not a stormglass artefact"),
        (file("newer.json", &newer), "has version 99"),
        (
            file("system.json", &foreign_system),
            "is of `box office`, which is no scenario here",
        ),
        (file("ghost.json", &ghost_host), "names host `ghost`"),
        (file("endless.json", &endless), "more than a virtual day"),
    ] {
        let path = path.to_str().expect("the path is UTF-8");
        for command in ["replay", "shrink"] {
            refused(&mut stormglass(&[command, path]), 2, words);
        }
    }
    let no_property = changed(&|value| value["property"] = "no-such-promise".into());
    let path = file("property.json", &no_property);
    let path = path.to_str().expect("the path is UTF-8");
    refused(
        &mut stormglass(&["shrink", path]),
        2,
        "is about `no-such-promise`",
    );
}

#[test]
fn what_others_left_in_the_scratch_folder_changes_no_digest() {
    let folder = folder();
    let path = artefact(folder.path(), |_| {});
    let path = path.to_str().expect("the path is UTF-8");
    let mut replays: Vec<_> = (0..4)
        .map(|_| {
            let mut replay = stormglass(&["replay", path]);
            replay.stdout(Stdio::null()).stderr(Stdio::null());
            replay.spawn().expect("the binary can be run")
        })
        .collect();
    // Killed in the middle, these leave their folders behind.
    for replay in &mut replays[2..] {
        let _ = replay.kill();
    }
    for (number, mut replay) in replays.into_iter().enumerate() {
        let status = replay.wait().expect("it ends");
        assert!(number >= 2 || status.code() == Some(0), "{status}");
    }
    let again = output(&mut stormglass(&["replay", path]));
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stdout));
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_before_the_sweep() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("the folder can be written to");
    for out in [
        file.clone(),
        file.join("below"),
        PathBuf::from("/proc/stormglass"),
    ] {
        let out = out.to_str().expect("the path is UTF-8");
        refused(
            &mut stormglass(&["sweep", "--out", out]),
            2,
            "failed to write into",
        );
    }
}

#[test]
fn a_bad_database_is_usage_and_one_that_is_away_is_a_failure() {
    let with = |database: &str| {
        let mut command = stormglass(&["run", "calm", "--seed", "1"]);
        command.env("STORMGLASS_DATABASE", database);
        command
    };
    refused(
        &mut with("mysql://somewhere"),
        2,
        "STORMGLASS_DATABASE is `mysql://somewhere`",
    );
    refused(
        &mut with("postgres://nobody@127.0.0.1:1/none"),
        2,
        "STORMGLASS_POSTGRES names a server",
    );
    let nobody = "postgres://nobody@127.0.0.1:1/none";
    let away = &mut with("postgres");
    refused(away.env("STORMGLASS_POSTGRES", nobody), 3, "PostgreSQL");
}

#[test]
fn a_bad_broker_and_a_scenario_that_it_cannot_have_are_usage() {
    let with = |broker: &str| {
        let mut command = stormglass(&["run", "everything", "--seed", "1"]);
        command.env("STORMGLASS_BROKER", broker);
        command
    };
    refused(&mut with("kafka"), 2, "STORMGLASS_BROKER is `kafka`");
    refused(&mut with("nats"), 2, "`everything-jetstream`");
}

#[test]
fn the_way_of_one_order_is_told_event_by_event() {
    let way = |order: &str| stormglass(&["run", "poison", "--seed", "3", "--trace-order", order]);
    refused(&mut way("none"), 2, "nothing is about `none` in this run");
    let known = text(&output(&mut way("none")).stderr);
    let order = known.split('`').nth(3).expect("an order is named");
    let output = output(&mut way(order));
    assert_eq!(text(&output.stderr), "");
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = stormglass(&["run", "calm", "--seed", "7", "--details"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [&["--help"][..], &["--version"], &["sweep", "--help"]] {
        let output = output(&mut stormglass(arguments));
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
    }
}

/// Interrupts a long sweep after a time; gives its report and its exit code.
fn interrupted_after(seconds: u64) -> (stormglass_reports::SweepReport, Option<i32>) {
    let child = stormglass(&["sweep", "calm", "--seeds", "1000000", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    std::thread::sleep(std::time::Duration::from_secs(seconds));
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.expect("kill can be run").success());
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!(text(&output.stderr), "");
    let report = stormglass_reports::json::read(&text(&output.stdout)).expect("stdout is a report");
    assert!(report.interrupted);
    (report, output.status.code())
}

#[test]
fn ctrl_c_ends_a_sweep_with_what_was_found_so_far() {
    // On a machine that has much else to do the first seed takes its time.
    let found = [3, 12, 48].into_iter().find_map(|seconds| {
        let (report, code) = interrupted_after(seconds);
        (report.seeds_total() > 0).then_some((report, code))
    });
    let (report, code) = found.expect("a seed is run in time");
    assert!(report.seeds_total() < 1_000_000);
    assert_eq!(code, Some(0));
}
