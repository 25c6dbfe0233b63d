//! Filling lines: text that came from a system under test is broken into lines of a bounded width.
//!
//! Width is counted in characters, which is exact for the scripts and arrows that reports use and not for wide or
//! combining ones. A word that is longer than a line is left whole, because a broken path or command is useless.

/// The columns of a failure's text and of a timeline's paragraphs.
pub(crate) const WIDTH: usize = 100;

/// The text with every run of white space and control characters as one space, and without the sequences that
/// colour a terminal: what a system under test says must not break the layout.
pub(crate) fn one_line(text: &str) -> String {
    let text = without_escapes(text);
    let blank = |c: char| c.is_whitespace() || c.is_control();
    text.split(blank)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The text without ECMA-48 control sequences: `ESC [`, parameters, and one letter or so that ends them.
fn without_escapes(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut kept = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| ('@'..='~').contains(&c));
        kept.push_str(end.map_or("", |end| &piece[end + 1..]));
    }
    kept
}

/// The words of a text, as atoms for [`fill`].
pub(crate) fn words(text: &str) -> Vec<String> {
    one_line(text).split(' ').map(str::to_owned).collect()
}

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().count()
}

/// Fills lines with atoms, one space between two of them. An atom is kept on one line where it fits on one at all,
/// and is broken between its words otherwise. There is always at least one line, and none ends with a space.
pub(crate) fn fill(atoms: &[String], columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let pieces = atoms.iter().flat_map(|atom| {
        if width(atom) > columns {
            words(atom)
        } else {
            vec![atom.clone()]
        }
    });
    for piece in pieces {
        if !line.is_empty() && width(&line) + 1 + width(&piece) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&piece);
    }
    lines.push(line);
    lines
}

/// Lines that hang from `lead`: it opens the first, and the others are indented to where its text began.
pub(crate) fn hang(lead: &str, atoms: &[String], columns: usize) -> Vec<String> {
    let indent = width(lead);
    let filled = fill(atoms, columns.saturating_sub(indent));
    let lead_then_blank =
        std::iter::once(lead.to_owned()).chain(std::iter::repeat(" ".repeat(indent)));
    lead_then_blank
        .zip(filled)
        .map(|(lead, line)| format!("{lead}{line}").trim_end().to_owned())
        .collect()
}

/// A list as atoms that keep their commas, so that no line begins with one.
pub(crate) fn listed<'a>(items: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut atoms: Vec<String> = items
        .into_iter()
        .map(|item| format!("{},", one_line(item)))
        .collect();
    if let Some(last) = atoms.last_mut() {
        last.pop();
    }
    atoms
}

#[cfg(test)]
mod tests {
    use super::{fill, hang, listed, one_line, words};

    #[test]
    fn lines_are_filled_and_the_long_word_stays_whole() {
        assert_eq!(
            fill(&words("a bb ccc dddddddd e"), 5),
            ["a bb", "ccc", "dddddddd", "e"]
        );
        assert_eq!(fill(&[], 5), [""]);
    }

    #[test]
    fn an_atom_is_broken_only_where_no_line_could_hold_it() {
        let atoms = ["a b".to_owned(), "c d".to_owned(), "eee fff ggg".to_owned()];
        assert_eq!(fill(&atoms, 5), ["a b", "c d", "eee", "fff", "ggg"]);
    }

    #[test]
    fn lines_hang_from_their_lead() {
        assert_eq!(hang("x  ", &words("aa bb cc"), 8), ["x  aa bb", "   cc"]);
    }

    #[test]
    fn a_list_keeps_its_commas_at_the_ends_of_lines() {
        assert_eq!(fill(&listed(["aa", "bb", "cc"]), 6), ["aa,", "bb, cc"]);
    }

    #[test]
    fn escape_sequences_and_line_breaks_do_not_get_through() {
        assert_eq!(
            one_line(" a\n\tb \u{1b}[1;31mc\u{1b}[0m\u{7}d\r\n"),
            "a b c d"
        );
        assert_eq!(one_line("a \u{1b}[31"), "a");
    }
}
