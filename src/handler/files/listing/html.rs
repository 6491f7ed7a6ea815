//! A directory listing as HTML: a table that fits a phone, works without scripts, and follows the reader's
//! choice of light or dark. All untrusted text is escaped; the security policy allows the page its own style
//! and nothing else.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, Render, html};

use super::order::{Column, SortOrder};
use super::{LISTED_MAX, Listing, text};
use crate::http::path;
use crate::ring::DirectoryEntry;
use crate::service::escape_html;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem}\
h1{font-size:1.1rem;font-weight:600;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}\
th,td{padding:.4rem .5rem;text-align:left;\
border-bottom:1px solid color-mix(in srgb,currentColor 18%,transparent)}\
th{white-space:nowrap}\
td:first-child{overflow-wrap:anywhere;width:100%}\
td:nth-child(n+2){white-space:nowrap;font-variant-numeric:tabular-nums}\
th:nth-child(2),td:nth-child(2){text-align:right}\
a{text-decoration:none;display:inline-block;padding:.15rem 0}\
a:hover,a:focus{text-decoration:underline}\
@media(max-width:32rem){body{padding:.5rem}th:nth-child(3),td:nth-child(3){display:none}}";

/// The response fields, with a policy that allows only the page's own style.
pub(super) fn fields(nonce: &str) -> Vec<u8> {
    format!(
        "Content-Type: text/html; charset=utf-8\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'self'\r\n\
         Cache-Control: no-cache\r\nVary: Accept\r\nX-Content-Type-Options: nosniff\r\n"
    )
    .into_bytes()
}

/// Of the columns.
const LABELS: [&str; 3] = ["Name", "Size", "Modified (UTC)"];

/// Untrusted text. `maud` would escape it too, except single quotes.
struct Shown<'a>(&'a str);

impl Render for Shown<'_> {
    fn render_to(&self, page: &mut String) {
        // Writing to a string does not fail.
        let _ = write!(page, "{}", escape_html(self.0));
    }
}

pub(super) fn page(listing: &Listing, nonce: &str) -> String {
    let page = html! {
        (PreEscaped("<!doctype html>\n"))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (Shown(&text::display_name(&listing.path))) }
                style nonce=(nonce) { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (breadcrumb(listing)) }
                table {
                    thead {
                        tr {
                            @for (column, label) in Column::ALL.into_iter().zip(LABELS) {
                                (heading(column, label, listing.order))
                            }
                        }
                    }
                    tbody {
                        @if listing.path != b"/" {
                            tr { td { a href="../" { ".." } } td {} td {} }
                        }
                        @for entry in &listing.entries { (row(entry)) }
                    }
                }
                @if listing.is_truncated {
                    p { "There are more: only " (LISTED_MAX) " entries are listed." }
                } @else if listing.entries.is_empty() {
                    p { "Nothing is here." }
                }
            }
        }
    };
    page.into_string()
}

fn row(entry: &DirectoryEntry) -> Markup {
    let link = text::relative_link(&entry.name, entry.is_dir);
    let modified = text::time(entry.modified_s);
    html! {
        tr {
            td {
                a href=(Shown(&link)) {
                    bdi { (Shown(&text::display_name(&entry.name))) }
                    @if entry.is_dir { "/" }
                }
            }
            td { @if !entry.is_dir { (text::size(entry.len)) } }
            td { time datetime=(modified) { (modified[..10]) " " (modified[11..16]) } }
        }
    }
}

/// A link to every directory above.
fn breadcrumb(listing: &Listing) -> Markup {
    let root = format!("{}/", listing.prefix);
    let mut link = listing.prefix.clone();
    let segments = listing.path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty());
    let links = segments.map(|segment| {
        let mut encoded = Vec::new();
        // With a slash before it.
        path::encode_path(segment, &mut encoded);
        link.push_str(std::str::from_utf8(&encoded).expect("what is percent-encoded is ASCII"));
        let link = format!("{link}/");
        html! { a href=(Shown(&link)) { bdi { (Shown(&text::display_name(segment))) } } "/" }
    });
    html! {
        a href=(Shown(&root)) { (Shown(&root)) }
        @for link in links { (link) }
    }
}

/// A heading whose link sorts by its column, or reverses the order if it is the current one.
fn heading(column: Column, label: &str, order: SortOrder) -> Markup {
    let is_current = order.column == column;
    let (state, mark) = match (is_current, order.is_descending) {
        (true, false) => (Some("ascending"), " \u{25b4}"),
        (true, true) => (Some("descending"), " \u{25be}"),
        (false, _) => (None, ""),
    };
    let next = if is_current && !order.is_descending { "desc" } else { "asc" };
    html! {
        th aria-sort=[state] {
            a href={ "?sort=" (column.word()) "&order=" (next) } { (label) (mark) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(path: &[u8], names: &[&[u8]]) -> Listing {
        let entry =
            |name: &&[u8]| DirectoryEntry { name: name.to_vec(), is_dir: false, len: 1, modified_s: 0 };
        Listing {
            prefix: "/p".into(),
            path: path.to_vec(),
            entries: names.iter().map(entry).collect(),
            is_truncated: false,
            order: SortOrder::of_query(""),
        }
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        let hostile: &[&[u8]] = &[
            b"<script>alert(1)</script>",
            b"\" onmouseover=\"alert(1)",
            b"' onclick='x",
            b"</bdi></a></td><img src=x onerror=alert(1)>",
            b"&lt;b&gt;",
            b"\xff<b>\xfe",
        ];
        let page = page(&listing(b"/<i>\"x/", hostile), "0123");
        let body = page.split_once("<body>").unwrap().1;
        for markup in ["<script", "<img", "<b>", "<i>", "onmouseover=\"", "onclick='"] {
            assert!(!body.contains(markup), "{markup} in {body}");
        }
        assert!(!page.split_once("<style").unwrap().0.contains("<i>"), "nor in the title");
        assert!(body.contains("&amp;lt;b&amp;gt;"));
        // Quotes stand only where the page puts them.
        assert!(body.contains("href=\"./%22%20onmouseover=%22alert(1)\""));
    }

    #[test]
    fn the_breadcrumb_leads_to_every_directory_above() {
        let page = page(&listing(b"/a b/c/", &[]), "0");
        for link in ["href=\"/p/\"", "href=\"/p/a%20b/\"", "href=\"/p/a%20b/c/\"", "href=\"../\""] {
            assert!(page.contains(link), "{link} in {page}");
        }
        assert!(page.contains("Nothing is here"));
    }

    #[test]
    fn headings_turn_the_order_round() {
        let mut listing = listing(b"/", &[b"a"]);
        assert!(page(&listing, "0").contains("<a href=\"?sort=name&amp;order=desc\">Name \u{25b4}</a>"));
        listing.order = SortOrder::of_query("sort=size&order=desc");
        let page = page(&listing, "0");
        assert!(page.contains("<th aria-sort=\"descending\"><a href=\"?sort=size&amp;order=asc\">"));
        assert!(page.contains("<th><a href=\"?sort=name&amp;order=asc\">Name</a>"));
        assert!(!page.contains("href=\"../\""), "nothing is above the root");
    }
}
