//! Spelling: the name that a misspelt one is most likely meant to be.

/// The known name that a misspelt one is most likely meant to be: at most every third letter is wrong.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let distances = known.map(|own| (distance(name, own), own));
    let (wrong, near) = distances.min_by_key(|(wrong, _)| *wrong)?;
    (wrong * 3 <= name.chars().count()).then_some(near)
}

/// How many letters have to be inserted, left out or replaced to make one name of another
/// (Levenshtein's distance), by its usual table, one row at a time.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelt_name_finds_the_one_that_is_meant() {
        let known = ["orders", "payments", "orders.dlq", "x"];
        for (name, near) in [
            ("ordres", Some("orders")),
            ("payment", Some("payments")),
            ("order.dlq", Some("orders.dlq")),
            ("shipments", None),
            ("y", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), near, "{name}");
        }
    }
}
