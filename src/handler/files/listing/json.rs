//! A directory listing as JSON.

use serde::Serialize;

use super::{Listing, text};

/// Entries change without a change of the directory's own time, so caches have to revalidate.
pub(super) const FIELDS: &str = "Content-Type: application/json\r\nCache-Control: no-cache\r\n\
                                 Vary: Accept\r\nX-Content-Type-Options: nosniff\r\n";

#[derive(Serialize)]
struct ListingDocument<'a> {
    entries: Vec<ListedFile<'a>>,
    /// Whether there are more than are listed.
    truncated: bool,
}

#[derive(Serialize)]
struct ListedFile<'a> {
    /// For display, lossy; the link is exact.
    name: String,
    href: String,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    modified: String,
}

pub(super) fn page(listing: &Listing) -> String {
    let entries = listing.entries.iter().map(|entry| ListedFile {
        name: String::from_utf8_lossy(&entry.name).into_owned(),
        href: text::relative_link(&entry.name, entry.is_dir),
        kind: if entry.is_dir { "directory" } else { "file" },
        size: (!entry.is_dir).then_some(entry.len),
        modified: text::time(entry.modified_s),
    });
    let document = ListingDocument { entries: entries.collect(), truncated: listing.is_truncated };
    serde_json::to_string(&document).expect("text and numbers can be written")
}
