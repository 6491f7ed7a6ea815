//! The order of a listing, and its query parameters.

use std::cmp::Ordering;

use crate::ring::DirectoryEntry;

/// The column to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Size,
    Date,
}

impl Column {
    pub(super) const ALL: [Self; 3] = [Self::Name, Self::Size, Self::Date];

    /// Its name in the query.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Date => "date",
        }
    }
}

/// A column and a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SortOrder {
    pub(super) column: Column,
    pub(super) is_descending: bool,
}

impl SortOrder {
    /// From `sort=size&order=desc`; by name where the query has no known value.
    pub(super) fn of_query(query: &str) -> Self {
        let mut order = Self { column: Column::Name, is_descending: false };
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("sort", word)) => {
                    order.column = Column::ALL.into_iter().find(|c| c.word() == word).unwrap_or(Column::Name);
                }
                Some(("order", word)) => order.is_descending = word == "desc",
                _ => {}
            }
        }
        order
    }

    /// Directories first, equals by name.
    pub(super) fn sort(self, entries: &mut [DirectoryEntry]) {
        entries.sort_unstable_by(|a, b| {
            b.is_dir.cmp(&a.is_dir).then_with(|| {
                let by_column = match self.column {
                    Column::Name => by_name(a, b),
                    Column::Size => a.len.cmp(&b.len),
                    Column::Date => a.modified_s.cmp(&b.modified_s),
                };
                let directed = if self.is_descending { by_column.reverse() } else { by_column };
                directed.then_with(|| by_name(a, b))
            })
        });
    }
}

/// Numbers by their value, so that `part-9` precedes `part-10`; ASCII case is ignored. Equal names by their
/// bytes.
fn by_name(a: &DirectoryEntry, b: &DirectoryEntry) -> Ordering {
    natural(&a.name, &b.name).then_with(|| a.name.cmp(&b.name))
}

fn natural(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        match (a, b) {
            ([], _) | (_, []) => return a.len().cmp(&b.len()),
            ([x, ..], [y, ..]) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (number, rest) = split_number(a);
                let (other, other_rest) = split_number(b);
                // Without zeros in front, a longer number is a greater one.
                let by_value = number.len().cmp(&other.len()).then_with(|| number.cmp(other));
                if by_value.is_ne() {
                    return by_value;
                }
                (a, b) = (rest, other_rest);
            }
            ([x, rest @ ..], [y, other_rest @ ..]) => {
                let by_letter = x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase());
                if by_letter.is_ne() {
                    return by_letter;
                }
                (a, b) = (rest, other_rest);
            }
        }
    }
}

/// The digits at the start without zeros in front, and what follows them.
fn split_number(name: &[u8]) -> (&[u8], &[u8]) {
    let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let zeros = name[..digits].iter().take_while(|byte| **byte == b'0').count();
    (&name[zeros..digits], &name[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, is_dir: bool, len: u64, modified_s: i64) -> DirectoryEntry {
        DirectoryEntry { name: name.into(), is_dir, len, modified_s }
    }

    #[test]
    fn numbers_are_compared_by_value() {
        let sorted = [
            "",
            "a",
            "A",
            "a 1.txt",
            "a 2.txt",
            "a 10.txt",
            "part-0",
            "part-00",
            "part-9",
            "part-10",
            "part-10b",
            "part-010c",
            "part-18446744073709551616",
            "part-100000000000000000000",
            "v1.9.0",
            "v1.10.0",
        ];
        for (at, a) in sorted.iter().enumerate() {
            for b in &sorted[at + 1..] {
                let order = by_name(&entry(a, false, 0, 0), &entry(b, false, 0, 0));
                let is_case = a.eq_ignore_ascii_case(b);
                assert!(order.is_lt() || is_case, "{a} before {b}");
            }
        }
    }

    #[test]
    fn directories_first_then_as_asked() {
        let mut entries = [
            entry("b", false, 1, 3),
            entry("A", false, 2, 2),
            entry("c", true, 9, 1),
            entry("a", false, 2, 9),
        ];
        for (query, names) in [
            ("", "cAab"),
            ("order=desc", "cbaA"),
            ("sort=name&order=asc", "cAab"),
            ("sort=size", "cbAa"),
            ("sort=size&order=desc", "cAab"),
            ("x=y&sort=date", "cAba"),
            ("sort=date&order=desc&", "cabA"),
            ("sort=%3Cscript%3E&order=sideways", "cAab"),
        ] {
            SortOrder::of_query(query).sort(&mut entries);
            let sorted: Vec<u8> = entries.iter().flat_map(|entry| entry.name.clone()).collect();
            assert_eq!(String::from_utf8(sorted).unwrap(), names, "{query}");
        }
    }
}
