//! Output: text to stdout and stderr, and files, without a panic where nobody listens.
//!
//! It decides nothing about layout.

use std::io::{ErrorKind, Write};
use std::path::Path;

use super::CliError;

/// Columns where stdout is no terminal.
const WIDTH: u16 = stormglass_reports::terminal::WIDTH;

/// Writes to stdout. A reader that has gone, as `head` does, is no error.
pub(super) fn say(text: &str) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    let newline: &[u8] = if text.ends_with('\n') { b"" } else { b"\n" };
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(newline))
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::Harness(format!(
            "failed to write to stdout: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Writes a line to stderr, as far as that is possible.
pub(super) fn complain(line: &str) {
    // Nobody is left to be told where stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// How many columns there are to write in.
pub(super) fn width() -> u16 {
    let terminal = console::Term::stdout();
    let size = if terminal.is_term() {
        terminal.size_checked()
    } else {
        None
    };
    size.map_or(WIDTH, |(_rows, columns)| columns)
}

/// Makes sure that files can be written into `folder`, and creates it if need be.
///
/// # Errors
///
/// If it is no folder, or not writable: found out before any work is done for it.
pub(super) fn prepare(folder: &Path) -> Result<(), CliError> {
    let probe = folder.join(format!(".stormglass-{}", std::process::id()));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|error| {
            CliError::Usage(format!(
                "failed to write into {}: {error}",
                folder.display()
            ))
        })
}

/// Writes a file.
pub(super) fn write(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text)
        .map_err(|error| CliError::Harness(format!("failed to write {}: {error}", path.display())))
}

/// The command that replays an artefact, as it can be pasted into a shell.
pub(super) fn replay_command(artefact: &Path) -> String {
    format!(
        "cargo run --release -- replay {}",
        quoted(&artefact.display().to_string())
    )
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('-') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::replay_command;

    #[test]
    fn a_path_with_spaces_and_quotes_is_quoted_for_the_shell() {
        for (path, word) in [
            (
                "target/stormglass/calm-00000007.json",
                "target/stormglass/calm-00000007.json",
            ),
            ("my files/a.json", "'my files/a.json'"),
            ("it's.json", r"'it'\''s.json'"),
            ("$HOME.json", "'$HOME.json'"),
        ] {
            let expected = format!("cargo run --release -- replay {word}");
            assert_eq!(replay_command(Path::new(path)), expected);
        }
    }
}
