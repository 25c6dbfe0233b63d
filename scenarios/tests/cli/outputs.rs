//! What the command writes for others: folders of shards, JUnit, pages, exports, completions.

use std::path::Path;

use super::{artefact, folder, output, refused, stormglass, text};

#[test]
fn shards_merge_into_the_bytes_of_the_whole_sweep() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let sweep = |out: &str, more: &[&str]| {
        let common = ["sweep", "calm", "duplicates", "--seeds", "5", "--out", out];
        let output = output(&mut stormglass(&[&common, more].concat()));
        // So few seeds need not put each property to the test.
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 5)), "{}", text(&output.stderr));
        code
    };
    let whole = sweep(&at("whole"), &[]);
    for number in 1..=3 {
        let shard = format!("{number}/3");
        sweep(
            &at(&format!("part{number}")),
            &["--shard", &shard, "--jobs", "1"],
        );
    }
    let merge = |parts: &[&str]| {
        let out = at("merged");
        let parts: Vec<String> = parts.iter().map(|part| at(part)).collect();
        let parts = parts.iter().map(String::as_str);
        let arguments: Vec<&str> = ["merge", "--out", &out].into_iter().chain(parts).collect();
        stormglass(&arguments)
    };
    refused(
        &mut merge(&["part3", "part1"]),
        2,
        "gap: shard 2/3 is missing",
    );
    refused(
        &mut merge(&["part3", "part1", "part3"]),
        2,
        "overlap: shard 3/3 is there twice",
    );
    refused(&mut merge(&["whole"]), 2, "is no shard");
    refused(&mut merge(&["nowhere"]), 2, "failed to read");
    assert!(!Path::new(&at("merged")).exists());
    let merged = output(&mut merge(&["part3", "part1", "part2"]));
    assert_eq!(merged.status.code(), whole, "{}", text(&merged.stderr));
    for file in ["report.json", "summary.md", "report.html", "junit.xml"] {
        let read = |folder: &str| std::fs::read_to_string(Path::new(&at(folder)).join(file));
        let (one, other) = (read("whole").expect(file), read("merged").expect(file));
        assert_eq!(one, other, "{file}");
    }
}

/// Writes a sweep's folder for one shard of two; the second has a failure, with an artefact and its page.
fn shard_with_failure(folder: &Path) -> [String; 2] {
    let shards = [1, 2].map(|number| {
        let shard = folder.join(format!("part{number}"));
        let out = shard.display().to_string();
        let sweep = ["sweep", "calm", "--seeds", "2", "--out", &out, "--shard"];
        output(&mut stormglass(
            &[&sweep[..], &[&format!("{number}/2")]].concat(),
        ));
        shard
    });
    let artefact = artefact(&shards[1], |_| {});
    let artefact = artefact.to_str().expect("the path is UTF-8");
    let told = output(&mut stormglass(&["report", artefact]));
    assert_eq!(told.status.code(), Some(0), "{}", text(&told.stderr));
    let path = shards[1].join("report.json");
    let report = std::fs::read_to_string(&path).expect("the shard was written");
    let mut report = stormglass_reports::json::read(&report).expect("it is a report");
    let failure = stormglass_reports::FailureReport {
        test: "calm".to_owned(),
        property: "no-lost-event".to_owned(),
        seed: 3,
        artefact: Some(artefact.to_owned()),
        story: Some(artefact.replace(".json", ".html")),
        replay_command: format!("cargo run --release -- replay {artefact}"),
        ..Default::default()
    };
    report.scenarios[0].failures.push(failure);
    std::fs::write(&path, stormglass_reports::json::write(&report)).expect("it can be written");
    shards.map(|shard| shard.display().to_string())
}

#[test]
fn a_merged_failure_has_its_artefact_and_its_page_in_the_new_folder() {
    let folder = folder();
    let [one, two] = shard_with_failure(folder.path());
    let out = folder.path().join("merged");
    let out = out.to_str().expect("the path is UTF-8");
    let merge = || stormglass(&["merge", &one, &two, "--out", out]);
    let merged = output(&mut merge());
    assert_eq!(merged.status.code(), Some(1), "{}", text(&merged.stderr));
    let read = |path: &str| std::fs::read_to_string(path).expect(path);
    let own = format!("{out}/artefact.json");
    assert_eq!(read(&own), read(&format!("{two}/artefact.json")));
    let page = read(&format!("{out}/artefact.html"));
    for document in [
        page,
        read(&format!("{out}/report.json")),
        text(&merged.stdout),
    ] {
        assert!(document.contains(&format!("replay {own}")), "{document}");
        assert!(!document.contains(&two), "{document}");
    }
    std::fs::remove_file(format!("{two}/artefact.json")).expect("it is there");
    refused(
        &mut merge(),
        2,
        "no shard's folder has the artefact artefact.json",
    );
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = output(&mut stormglass(&["completions", shell]));
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("first-seed"), "{shell}");
    }
}

#[test]
fn every_command_shows_an_example() {
    let help = text(&output(&mut stormglass(&["--help"])).stdout);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.map_while(|line| line.split_whitespace().next());
    let own: Vec<&str> = commands
        .filter(|own| !["list", "help"].contains(own))
        .collect();
    assert!(own.len() >= 8, "{help}");
    for command in own {
        let help = text(&output(&mut stormglass(&[command, "--help"])).stdout);
        assert!(
            help.contains(&format!("Example: stormglass {command} ")),
            "{help}"
        );
    }
}

#[test]
fn junit_has_a_case_for_each_property() {
    let sweep = ["sweep", "calm", "--seeds", "1", "--format", "junit"];
    let document = text(&output(&mut stormglass(&sweep)).stdout);
    assert!(document.starts_with("<?xml"), "{document}");
    assert!(
        document.contains(r#"<testcase name="no-lost-event" classname="calm">"#),
        "{document}"
    );
}

#[test]
fn report_and_export_write_where_they_are_asked_to() {
    let folder = folder();
    let path = artefact(folder.path(), |_| {});
    let path = path.to_str().expect("the path is UTF-8");
    let told = output(&mut stormglass(&["report", path]));
    assert_eq!(told.status.code(), Some(0), "{}", text(&told.stderr));
    let page = folder.path().join("artefact.html");
    assert!(text(&told.stdout).contains(&page.display().to_string()));
    let first = std::fs::read(&page).expect("the page was written");
    let again = folder.path().join("again.html");
    let again = again.to_str().expect("the path is UTF-8");
    output(&mut stormglass(&["report", path, "--out", again]));
    assert!(first == std::fs::read(again).expect("the page was written"));
    for (format, begins) in [
        ("chrome", "{\"displayTimeUnit\""),
        ("otlp", "{\"resourceSpans\""),
        ("shiviz", "started\n"),
    ] {
        let export = ["export", path, "--format", format];
        let exported = output(&mut stormglass(&export));
        assert_eq!(exported.status.code(), Some(0), "{format}");
        let head: String = text(&exported.stdout).chars().take(80).collect();
        assert!(head.starts_with(begins), "{format}: {head}");
    }
    let stale = artefact(folder.path(), |value| value["digest"] = "00".into());
    let stale = stale.to_str().expect("the path is UTF-8");
    for arguments in [
        &["report", stale][..],
        &["export", stale, "--format", "otlp"],
    ] {
        assert_eq!(output(&mut stormglass(arguments)).status.code(), Some(4));
    }
    refused(
        &mut stormglass(&["report", "nowhere.json"]),
        2,
        "failed to read artefact",
    );
}

#[test]
fn a_comparison_is_written_in_every_form() {
    let folder = folder();
    let out = folder.path().display().to_string();
    let compare = [
        "compare",
        "--seeds",
        "1",
        "--faults",
        "none,lost-acks",
        "--format",
        "json",
        "--out",
        &out,
    ];
    let compared = output(&mut stormglass(&compare));
    assert_eq!(
        compared.status.code(),
        Some(0),
        "{}",
        text(&compared.stderr)
    );
    let json = text(&compared.stdout);
    let document: serde_json::Value = serde_json::from_str(&json).expect("stdout is one document");
    assert_eq!(document["faults"][1]["name"], "lost-acks");
    let written = std::fs::read_to_string(folder.path().join("comparison.json"));
    assert_eq!(written.expect("it was written"), json);
    for file in [
        "comparison.md",
        "comparison.html",
        "lost.svg",
        "effect.svg",
        "wall-time.md",
    ] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
}
