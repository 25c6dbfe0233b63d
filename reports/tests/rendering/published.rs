//! The published comparison: what lies beside its JSON is what this code makes of it.
//!
//! `STORMGLASS_PUBLISH=1` writes the files again, from the counts that are there; new counts come from `stormglass compare`.

use std::path::Path;

use stormglass_reports::Comparison;

/// The counts that are published.
pub(super) fn published() -> Comparison {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("published/comparison.json");
    let document = std::fs::read_to_string(path).expect("it is published");
    serde_json::from_str(&document).expect("it is a comparison")
}

#[test]
fn the_published_files_are_those_of_the_published_counts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("published");
    let read = |name: &str| std::fs::read_to_string(folder.join(name));
    let comparison = published();
    let mut files = vec![
        ("comparison.json", comparison.json()),
        ("comparison.md", comparison.markdown()),
        ("comparison.html", comparison.page()),
    ];
    files.extend(comparison.drawings());
    for (name, made) in files {
        if std::env::var_os("STORMGLASS_PUBLISH").is_some() {
            std::fs::write(folder.join(name), &made).expect("the folder is writable");
        }
        let published = read(name).expect("it is published");
        assert!(published == made, "{name} is stale");
    }
}
