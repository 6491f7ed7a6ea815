//! Directory listings as HTML and JSON. Reading, sorting and writing run on a thread beside the core; the
//! cost of one directory is bounded.

mod html;
mod json;
mod order;
mod text;

use std::io;

use self::order::SortOrder;
use crate::http::accept;
use crate::http::message::RequestHead;
use crate::http::path::FilePath;
use crate::ring::{DirectoryEntry, File, Ring, Root, sys};
use crate::service::{FieldBlock, Response};

/// Most entries that are listed; the listing states if there are more. About a mebibyte of page, and some ten
/// milliseconds of a thread beside the core: doubling it doubles both.
pub(super) const LISTED_MAX: usize = 4096;

/// The data of a listing.
struct Listing {
    /// The prefix before the path, already encoded.
    prefix: String,
    /// Decoded, below the root, with slashes around it.
    path: Vec<u8>,
    entries: Vec<DirectoryEntry>,
    is_truncated: bool,
    order: SortOrder,
}

/// Lists a directory that has no index file.
pub(super) async fn answer(
    ring: &Ring,
    root: &Root,
    file: File,
    path: FilePath<'_>,
    head: &RequestHead,
    prefix: &str,
) -> io::Result<Response> {
    let lines = || head.fields_named("accept");
    let wants_json = accept::weight_of(lines(), "application/json") > accept::weight_of(lines(), "text/html");
    let directory = file.directory(root, path.as_bytes())?;
    let order = SortOrder::of_query(head.query().unwrap_or_default());
    let prefix = prefix.to_owned();
    let path = match path.as_bytes() {
        b"." => b"/".to_vec(),
        path => [b"/", path, b"/"].concat(),
    };
    let nonce = text::hex(&sys::random::<16>());
    ring.blocking(move || {
        // Hidden files are not served, and so not listed.
        let (mut entries, is_truncated) = directory.read(LISTED_MAX, |name| !name.starts_with(b"."))?;
        order.sort(&mut entries);
        let listing = Listing { prefix, path, entries, is_truncated, order };
        Ok(if wants_json {
            (json::page(&listing), json::FIELDS.as_bytes().to_vec())
        } else {
            (html::page(&listing, &nonce), html::fields(&nonce))
        })
    })
    .await
    .map(|(page, fields): (String, Vec<u8>)| Response::text(page).with_fields(FieldBlock::Owned(fields)))
}
