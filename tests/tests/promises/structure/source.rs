//! Source files as text, with and without what is not code.
//!
//! The stripping of comments and strings is good enough for the rules; it is not a Rust parser.

use std::path::{Path, PathBuf};

/// A file of the repository.
#[derive(Clone)]
pub(super) struct Source {
    /// Its path from the top of the repository, with slashes.
    pub(super) path: String,
    pub(super) text: String,
}

/// The top of the repository.
pub(super) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("tests/ is in the repository")
        .to_owned()
}

/// The files below `folders` that end in one of `extensions`, in order.
pub(super) fn sources(folders: &[&str], extensions: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    let wanted = paths.into_iter().filter(|path| {
        let extension = path.extension().and_then(|own| own.to_str());
        extension.is_some_and(|own| extensions.contains(&own))
    });
    wanted
        .map(|path| Source {
            path: path
                .strip_prefix(root())
                .expect("it is below the root")
                .to_string_lossy()
                .replace('\\', "/"),
            text: std::fs::read_to_string(&path).expect("sources are text"),
        })
        .collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().and_then(|name| name.to_str());
        if path.is_file() {
            paths.push(path);
        } else if name != Some("target") {
            collect(&path, paths);
        }
    }
}

impl Source {
    /// The code without comments and without the contents of strings, words set apart by blanks.
    pub(super) fn code(&self) -> String {
        let mut code = String::new();
        let mut rest = self.text.as_str();
        while !rest.is_empty() {
            let (length, kept) = token(rest);
            if !kept.is_empty() {
                code.push_str(kept);
                code.push(' ');
            }
            rest = &rest[length..];
        }
        code
    }

    /// The modules of this file that are compiled for tests only, as paths without extension.
    pub(super) fn modules_for_tests(&self) -> Vec<String> {
        let folder = self.path.trim_end_matches(".rs").trim_end_matches("/lib");
        let after = self.text.split("#[cfg(test)]\nmod ").skip(1);
        let names = after.filter_map(|text| text.split_once(';'));
        names
            .filter(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
            .map(|(name, _)| format!("{folder}/{name}"))
            .collect()
    }

    /// Whether this is the file of a module, or of one below it.
    pub(super) fn is_of(&self, module: &str) -> bool {
        let rest = self.path.strip_prefix(module);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }
}

/// The next token of `text`: how long it is, and what of it is code.
fn token(text: &str) -> (usize, &str) {
    let first = text.chars().next().map_or(0, char::len_utf8);
    let upto = |end: &str, from: usize| {
        let found = text.get(from..).and_then(|rest| rest.find(end));
        found.map_or(text.len(), |at| from + at + end.len())
    };
    if text.starts_with("//") {
        return (upto("\n", 0), "");
    }
    if text.starts_with("/*") {
        return (upto("*/", 0), "");
    }
    if text.starts_with("r#\"") {
        return (upto("\"#", 3), "");
    }
    if text.starts_with('"') {
        return (quoted(text), "");
    }
    if let Some(length) = character(text) {
        return (length, "");
    }
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let length = text.find(|c| !word(c)).unwrap_or(text.len());
    match length {
        0 if text.starts_with(char::is_whitespace) => (first, ""),
        0 => (first, &text[..first]),
        _ => (length, &text[..length]),
    }
}

/// The length of the string literal that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the character literal that `text` begins with; lifetimes are none.
fn character(text: &str) -> Option<usize> {
    let mut rest = text.char_indices();
    if rest.next()?.1 != '\'' {
        return None;
    }
    let escape = rest.next()?.1 == '\\';
    if escape {
        rest.next()?;
    }
    let mut rest = rest.take(if escape { 8 } else { 1 });
    rest.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}
