//! Numbers of shards, those in a row as a range.

/// `0-2730`, `7`, `0-3, 5, 9-11`.
pub(super) fn ranges(numbers: &[u32]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let rows = sorted.chunk_by(|before, after| before.checked_add(1) == Some(*after));
    rows.map(|row| range(row[0], row[row.len() - 1])).collect::<Vec<_>>().join(", ")
}

/// From the first to the last, both included.
pub(super) fn range(first: u32, last: u32) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_a_range() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[7]), "7");
        assert_eq!(ranges(&[9, 0, 1, 2, 5, 2, u32::MAX]), "0-2, 5, 9, 4294967295");
    }
}
