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

/// ASCII case is ignored, except between equal names.
fn by_name(a: &DirectoryEntry, b: &DirectoryEntry) -> Ordering {
    let folded = |entry: &DirectoryEntry| entry.name.to_ascii_lowercase();
    folded(a).cmp(&folded(b)).then_with(|| a.name.cmp(&b.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, is_dir: bool, len: u64, modified_s: i64) -> DirectoryEntry {
        DirectoryEntry { name: name.into(), is_dir, len, modified_s }
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
