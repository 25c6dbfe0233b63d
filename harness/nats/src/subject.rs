//! Subjects and patterns of subjects: which are well formed, and which match which.
//!
//! The rules are those of <https://docs.nats.io/nats-concepts/subjects>: tokens separated by dots, `*` stands
//! for one token, `>` at the end for one or more.

/// Whether `subject` is well formed, wildcards allowed.
pub(crate) fn is_valid(subject: &str) -> bool {
    let mut closed = false;
    for token in subject.split('.') {
        if closed || token.is_empty() || token.contains([' ', '\t', '\r', '\n', '\x0c']) {
            return false;
        }
        closed = token == ">";
    }
    true
}

/// Whether `subject` holds no wildcard token.
pub(crate) fn is_literal(subject: &str) -> bool {
    !subject.split('.').any(|token| token == "*" || token == ">")
}

/// Whether the literal `subject` is one of those that `pattern` stands for.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
    // Most patterns of a run are literal, and equal ones need no look at their tokens.
    pattern == subject || covers(pattern, subject)
}

/// Whether every subject that `inner` stands for is also one of `outer`'s; both may hold wildcards.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    let mut inner = inner.split('.');
    let mut outer = outer.split('.');
    loop {
        match (outer.next(), inner.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(wanted), Some(token)) if wanted == token && token != ">" => {}
            _ => return false,
        }
    }
}

/// Whether some subject is meant by both patterns.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    let mut one = one.split('.');
    let mut other = other.split('.');
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(left), Some(right)) if left == right || left == "*" || right == "*" => {}
            _ => return false,
        }
    }
}

/// Whether `name` may name a stream or a consumer, whose names are tokens of subjects and of paths.
pub(crate) fn is_asset_name(name: &str) -> bool {
    !name.is_empty() && !name.contains([' ', '\t', '\r', '\n', '\x0c', '.', '*', '>', '\\', '/'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_subjects_are_told_from_others() {
        for good in [
            "a",
            "a.b",
            "*",
            ">",
            "a.*.c",
            "a.>",
            "$JS.API.INFO",
            "a*b.c>",
        ] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", ">.a", "a.>.b", "a b", "a\tb"] {
            assert!(!is_valid(bad), "{bad}");
        }
        assert!(is_literal("a.b*") && !is_literal("a.*") && !is_literal(">"));
    }

    #[test]
    fn patterns_match_token_by_token() {
        for (pattern, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a", false),
            ("a.>", "a.b", true),
            ("a.>", "a.b.c", true),
            (">", "a", true),
            ("*.b", "a.b", true),
            ("a", "a.b", false),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn a_pattern_covers_another_only_if_it_covers_all_of_it() {
        for (outer, inner, expected) in [
            ("a.*", "a.*", true),
            ("a.>", "a.*", true),
            ("a.*", "a.>", false),
            ("*", ">", false),
            (">", ">", true),
            (">", "*", true),
            ("a.*.c", "a.b.c", true),
            ("a.b", "a.*", false),
        ] {
            assert_eq!(covers(outer, inner), expected, "{outer} {inner}");
        }
    }

    #[test]
    fn overlapping_patterns_share_a_subject() {
        for (one, other, expected) in [
            ("a.*", "*.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.*", "b.*", false),
            ("a.*.c", "a.b.*", true),
            ("a.*", "a.b.c", false),
            ("*.*", ">", true),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn names_are_single_tokens_of_subjects_and_paths() {
        assert!(is_asset_name("ORDERS-1") && is_asset_name("a_b"));
        for bad in ["", "a.b", "a*", ">", "a b", "a/b", "a\\b"] {
            assert!(!is_asset_name(bad), "{bad}");
        }
    }
}
