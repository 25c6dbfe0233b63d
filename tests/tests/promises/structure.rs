//! The structure of the sources: who may name whom, how files begin and how long they are.
//!
//! A rule that only people watch over is soon broken; these are read from the files themselves.

mod source;

use std::collections::BTreeSet;

use source::{Source, root, sources};

/// The packages.
const PACKAGES: [&str; 5] = [
    "harness",
    "reference-system",
    "reports",
    "scenarios",
    "tests",
];

/// Each package: its folder, its name, and the packages of the house that it may build upon.
const HOUSE: [(&str, &str, &[&str]); 10] = [
    ("reports", "stormglass-reports", &[]),
    ("harness/machine", "stormglass-machine", &[]),
    ("harness/nats", "stormglass-nats", &["stormglass-machine"]),
    (
        "harness/postgres",
        "stormglass-postgres",
        &["stormglass-machine"],
    ),
    (
        "harness/sqlite",
        "stormglass-sqlite",
        &["stormglass-machine"],
    ),
    (
        "harness",
        "stormglass",
        &[
            "stormglass-machine",
            "stormglass-nats",
            "stormglass-postgres",
            "stormglass-reports",
            "stormglass-sqlite",
        ],
    ),
    ("reference-system", "reference-system", &[]),
    (
        "scenarios",
        "scenarios",
        &["stormglass", "stormglass-reports", "reference-system"],
    ),
    (
        "tests",
        "stormglass-tests",
        &[
            "stormglass",
            "stormglass-nats",
            "stormglass-reports",
            "reference-system",
            "scenarios",
        ],
    ),
    ("tests/published", "stormglass-published", &["stormglass"]),
];

/// The most lines that a source file has.
const LINES_MAX: usize = 600;

/// What has to be at the top of the repository.
const TOP: [&str; 15] = [
    ".cargo",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "GLOSSARY.md",
    "LICENSE",
    "README.md",
    "harness",
    "reference-system",
    "reports",
    "rust-toolchain.toml",
    "scenarios",
];

/// What may be there as well: the usual configuration, and what Git and Cargo put there.
const TOP_TOO: [&str; 11] = [
    ".ci",
    ".config",
    ".editorconfig",
    ".git",
    ".gitattributes",
    ".github",
    "clippy.toml",
    "deny.toml",
    "rustfmt.toml",
    "target",
    "typos.toml",
];

/// The modules of the library, in the order of the flow: each may name those before it, and no other.
const ORDER: [&str; 29] = [
    "stopwatch",
    "spelling",
    "attempts",
    "seed",
    "message",
    "plan",
    "event",
    "broker",
    "history",
    "checker",
    "third_party",
    "database",
    "run",
    "world",
    "nemesis",
    "machine",
    "simple_broker",
    "system",
    "deployment",
    "simulation",
    "survey",
    "explore",
    "shrink",
    "artefact",
    "audit",
    "regressions",
    "narrate",
    "check",
    "conformance",
];

fn all() -> Vec<Source> {
    sources(&PACKAGES, &["rs"])
}

/// Fails with every file that `is_wrong` complains about.
fn check(files: &[Source], is_wrong: impl Fn(&Source) -> Option<String>) {
    assert!(!files.is_empty(), "no sources found");
    let wrong: Vec<String> = files
        .iter()
        .filter_map(|file| is_wrong(file).map(|why| format!("{}: {why}", file.path)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Fails where one of `files` has one of `names` anywhere, comments included.
fn never_named(files: &[Source], names: &[&str]) {
    check(files, |file| {
        let text = file.text.to_lowercase();
        let named = names.iter().find(|name| text.contains(*name))?;
        Some(format!("names `{named}`"))
    });
}

#[test]
fn the_reference_system_does_not_know_that_it_is_tested() {
    let files = sources(&["reference-system"], &["rs", "toml", "sql"]);
    never_named(&files, &["stormglass", "turmoil", "simulat"]);
}

#[test]
fn the_harness_does_not_know_the_reference_system() {
    let files = sources(&["harness"], &["rs", "toml"]);
    never_named(&files, &["reference_system", "reference-system"]);
}

#[test]
fn reports_know_neither_harness_nor_system() {
    let files = sources(&["reports"], &["rs", "toml"]);
    let foreign = [
        "reference_system",
        "reference-system",
        "turmoil",
        "stormglass::",
        "stormglass.workspace",
        "scenarios.workspace",
    ];
    never_named(&files, &foreign);
}

#[test]
fn turmoil_is_named_where_sockets_are_made() {
    let files = sources(&PACKAGES, &["rs"]).into_iter();
    let is_free = |file: &Source| {
        !file.path.starts_with("harness/machine/") && !file.path.ends_with("structure.rs")
    };
    let files: Vec<Source> = files.filter(is_free).collect();
    never_named(&files, &["turmoil"]);
}

#[test]
fn every_file_says_first_what_it_is_for() {
    check(&all(), |file| {
        let opens = file.text.starts_with("//! ");
        (!opens).then(|| "does not open with `//!`".to_owned())
    });
}

#[test]
fn no_file_is_too_long() {
    check(&all(), |file| {
        let lines = file.text.lines().count();
        (lines > LINES_MAX).then(|| format!("has {lines} lines"))
    });
}

#[test]
fn modules_have_the_names_of_ideas() {
    const VAGUE: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "misc"];
    check(&all(), |file| {
        let mut parts = file.path.split(['/', '.']);
        let vague = parts.find(|part| VAGUE.contains(part))?;
        Some(format!("is called `{vague}`"))
    });
    check(&all(), |file| {
        let code = file.code();
        let vague = VAGUE
            .iter()
            .find(|name| code.contains(&format!("mod {name} ")))?;
        Some(format!("has a module `{vague}`"))
    });
}

#[test]
fn only_where_c_libraries_are_called_is_code_unsafe() {
    let allowed = [
        "harness/machine/src/arenas.rs",
        "harness/machine/src/fiber.rs",
        "harness/machine/src/stacks.rs",
        "harness/machine/src/symbols",
        "harness/machine/tests/machine/allocator.rs",
        "harness/machine/tests/machine/arenas.rs",
        "harness/machine/tests/machine/limits.rs",
        "harness/postgres/preload",
        "harness/sqlite/src/functions.rs",
        "harness/sqlite/src/reader.rs",
        "harness/sqlite/src/trace.rs",
        "harness/sqlite/src/vfs",
        "harness/sqlite/tests/sqlite/raw.rs",
    ];
    let files: Vec<Source> = all()
        .into_iter()
        .filter(|file| !allowed.iter().any(|own| file.path.starts_with(own)))
        .collect();
    check(&files, |file| {
        let code = file.code();
        let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        words
            .any(|word| word == "unsafe")
            .then(|| "has unsafe code".to_owned())
    });
}

#[test]
fn no_test_is_ignored_and_no_lint_silenced() {
    check(&all(), |file| {
        let code = file.code().replace(' ', "");
        let silenced = ["#[ignore", "#[allow(", "#![allow("];
        let found = silenced.iter().find(|own| code.contains(*own))?;
        Some(format!("has `{found}`"))
    });
}

#[test]
fn nothing_in_the_harness_has_a_hash_order() {
    let files = sources(&["harness/src", "harness/machine/src"], &["rs"]);
    let only_for_tests: BTreeSet<String> =
        files.iter().flat_map(Source::modules_for_tests).collect();
    assert!(only_for_tests.len() > 3, "{only_for_tests:?}");
    let files: Vec<Source> = files
        .into_iter()
        .filter(|file| !only_for_tests.iter().any(|module| file.is_of(module)))
        .collect();
    check(&files, |file| {
        let code = file.code();
        let code = code
            .split("# [ cfg ( test ) ] mod tests {")
            .next()
            .unwrap_or_default();
        let found = ["HashMap", "HashSet"]
            .into_iter()
            .find(|own| code.contains(own))?;
        Some(format!("uses `{found}`"))
    });
}

/// The modules of the library that this file of it names although they do not come before its own.
fn wrong_order(file: &Source) -> Option<String> {
    let path = file.path.strip_prefix("harness/src/")?;
    let own = path.split(['/', '.']).next().unwrap_or_default();
    if own == "lib" {
        return None;
    }
    let Some(place) = ORDER.iter().position(|module| *module == own) else {
        return Some(format!(
            "belongs to `{own}`, which has no place in the order"
        ));
    };
    let code = file.code();
    // A list of modules behind `crate::` would hide which ones are named.
    if code.contains("crate : : {") {
        return Some("names several modules at once".to_owned());
    }
    let named = code.split("crate : : ").skip(1);
    let mut named = named.filter_map(|rest| rest.split(' ').next());
    let later = named.find(|name| *name != own && !ORDER[..place].contains(name))?;
    Some(format!(
        "names `{later}`, which does not come before `{own}`"
    ))
}

#[test]
fn modules_of_the_library_only_name_those_before_them() {
    let files = sources(&["harness/src"], &["rs"]);
    check(&files, wrong_order);
    for module in ORDER {
        let path = format!("harness/src/{module}");
        assert!(files.iter().any(|file| file.is_of(&path)), "no {module}");
    }
}

#[test]
fn the_top_of_the_repository_is_tidy() {
    let entries = std::fs::read_dir(root()).unwrap();
    let found: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let has_to: BTreeSet<String> = TOP
        .iter()
        .chain(&["tests"])
        .map(ToString::to_string)
        .collect();
    let missing: Vec<_> = has_to.difference(&found).collect();
    assert!(missing.is_empty(), "missing at the top: {missing:?}");
    let foreign: Vec<_> = found
        .difference(&has_to)
        .filter(|name| !TOP_TOO.contains(&name.as_str()))
        .collect();
    assert!(foreign.is_empty(), "out of place at the top: {foreign:?}");
}

#[test]
fn every_package_is_where_it_belongs() {
    for (folder, name, below) in HOUSE {
        let text = manifest(folder);
        assert_eq!(wrong_manifest(&text, name, below), None, "{folder}");
    }
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = workspace.lines().find(|line| line.starts_with("members"));
    let members = members.expect("the workspace names its members");
    for (folder, ..) in HOUSE {
        assert!(members.contains(&format!("\"{folder}\"")), "{folder}");
    }
    assert_eq!(members.matches('"').count(), 2 * HOUSE.len(), "{members}");
}

fn manifest(folder: &str) -> String {
    std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap()
}

/// What is wrong with a package's manifest: its name, its lints, where its version comes from, or a
/// package of the house that it must not build upon.
fn wrong_manifest(text: &str, name: &str, below: &[&str]) -> Option<String> {
    let inherited = ["version", "edition", "rust-version", "license", "publish"];
    let mut wanted = vec![
        format!("name = \"{name}\""),
        "[lints]\nworkspace = true".to_owned(),
    ];
    wanted.extend(inherited.map(|own| format!("{own}.workspace = true")));
    if let Some(missing) = wanted.iter().find(|own| !text.contains(&**own)) {
        return Some(format!("lacks `{missing}`"));
    }
    let houses = HOUSE.iter().map(|(_, house, _)| *house);
    let depends = |house: &str| {
        let mut lines = text.lines();
        lines.any(|line| line.split(['.', ' ', '=']).next() == Some(house))
    };
    let mut foreign = houses.filter(|house| !below.contains(house) && depends(house));
    foreign.next().map(|house| format!("builds upon `{house}`"))
}

#[test]
fn the_rules_can_be_broken() {
    let reports = manifest("reports");
    let upside_down = reports.replace(
        "[dependencies]",
        "[dependencies]\nstormglass.workspace = true",
    );
    let wrong = wrong_manifest(&upside_down, "stormglass-reports", &[]);
    assert_eq!(wrong, Some("builds upon `stormglass`".to_owned()));
    let unlinted = reports.replace("[lints]\nworkspace = true", "");
    assert!(wrong_manifest(&unlinted, "stormglass-reports", &[]).is_some());
    let source = |text: &str| Source {
        path: "harness/src/common.rs".to_owned(),
        text: text.to_owned(),
    };
    let in_plan = |text: &str| {
        wrong_order(&Source {
            path: "harness/src/plan/fault.rs".to_owned(),
            text: text.to_owned(),
        })
    };
    assert_eq!(in_plan("use crate::seed::Seed; // crate::history"), None);
    for planted in [
        "use crate::history::What;",
        "fn run(world: &crate :: world::World) {}",
        "use crate::{history, seed};",
        "use crate::What;",
    ] {
        assert!(in_plan(planted).is_some(), "{planted}");
    }
    let code =
        source("fn a() { /* no */ let s = \"unsafe\"; } // unsafe\n#[allow(dead_code)]").code();
    assert!(!code.contains("unsafe"), "{code}");
    assert!(code.replace(' ', "").contains("#[allow("), "{code}");
    let code = source("const Q: char = '\"'; unsafe fn b<'a>() {}").code();
    assert!(code.contains("unsafe"), "{code}");
    let code = source("const R: &str = r#\"a \" unsafe\"#; mod common {}").code();
    assert!(
        !code.contains("unsafe") && code.contains("mod common "),
        "{code}"
    );
}
