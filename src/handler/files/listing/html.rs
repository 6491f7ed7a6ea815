//! A directory as a page: a table that fits a phone, works without scripts, and follows the reader's choice
//! of light or dark. Everything that comes from outside is escaped; the policy allows the page its own style
//! and nothing else.

use std::fmt::Write;

use super::order::{Column, Order};
use super::{LISTED_MAX, Listing, text};
use crate::http::path;
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

/// What the page may do: show itself.
pub(super) fn fields(nonce: &str) -> Vec<u8> {
    format!(
        "Content-Type: text/html; charset=utf-8\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'self'\r\n\
         Cache-Control: no-cache\r\nVary: Accept\r\nX-Content-Type-Options: nosniff\r\n"
    )
    .into_bytes()
}

/// Writing to a string does not fail.
pub(super) fn page(listing: &Listing, nonce: &str) -> String {
    let mut page = String::with_capacity(2048 + listing.entries.len() * 240);
    let title = text::display_name(&listing.path);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style nonce=\"{nonce}\">{STYLE}</style>\n</head>\n<body>\n<h1>",
        escape_html(&title)
    );
    write_breadcrumb(&mut page, listing);
    page.push_str("</h1>\n<table>\n<thead><tr>");
    for (column, label) in Column::ALL.into_iter().zip(["Name", "Size", "Modified"]) {
        write_heading(&mut page, column, label, listing.order);
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    if listing.path != b"/" {
        page.push_str("<tr><td><a href=\"../\">..</a></td><td></td><td></td></tr>\n");
    }
    for entry in &listing.entries {
        let link = text::relative_link(&entry.name, entry.is_dir);
        let name = text::display_name(&entry.name);
        let slash = if entry.is_dir { "/" } else { "" };
        let size = if entry.is_dir { String::new() } else { text::size(entry.len) };
        let modified = text::time(entry.modified_s);
        let _ = writeln!(
            page,
            "<tr><td><a href=\"{}\"><bdi>{}</bdi>{slash}</a></td><td>{size}</td>\
             <td><time datetime=\"{modified}\">{} {}</time></td></tr>",
            escape_html(&link),
            escape_html(&name),
            &modified[..10],
            &modified[11..16],
        );
    }
    page.push_str("</tbody>\n</table>\n");
    if listing.is_truncated {
        let _ = writeln!(page, "<p>There are more: only {LISTED_MAX} entries are listed.</p>");
    } else if listing.entries.is_empty() {
        page.push_str("<p>Nothing is here.</p>\n");
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// A link to every directory above.
fn write_breadcrumb(page: &mut String, listing: &Listing) {
    let mut link = listing.prefix.clone();
    link.push('/');
    let _ = write!(page, "<a href=\"{}\">{}</a>", escape_html(&link), escape_html(&link));
    for segment in listing.path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
        let mut encoded = Vec::new();
        path::encode_path(segment, &mut encoded);
        link.pop();
        link.push_str(std::str::from_utf8(&encoded).expect("what is percent-encoded is ASCII"));
        link.push('/');
        let name = text::display_name(segment);
        let _ = write!(page, "<a href=\"{}\"><bdi>{}</bdi></a>/", escape_html(&link), escape_html(&name));
    }
}

/// A heading that sorts by its column, and the other way round when it already does.
fn write_heading(page: &mut String, column: Column, label: &str, order: Order) {
    let is_current = order.column == column;
    let (state, mark) = match (is_current, order.is_descending) {
        (true, false) => (" aria-sort=\"ascending\"", " \u{25b4}"),
        (true, true) => (" aria-sort=\"descending\"", " \u{25be}"),
        (false, _) => ("", ""),
    };
    let next = if is_current && !order.is_descending { "desc" } else { "asc" };
    let word = column.word();
    let _ = write!(page, "<th{state}><a href=\"?sort={word}&amp;order={next}\">{label}{mark}</a></th>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::DirectoryEntry;

    fn listing(path: &[u8], names: &[&[u8]]) -> Listing {
        let entry =
            |name: &&[u8]| DirectoryEntry { name: name.to_vec(), is_dir: false, len: 1, modified_s: 0 };
        Listing {
            prefix: "/p".into(),
            path: path.to_vec(),
            entries: names.iter().map(entry).collect(),
            is_truncated: false,
            order: Order::of_query(""),
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
        listing.order = Order::of_query("sort=size&order=desc");
        let page = page(&listing, "0");
        assert!(page.contains("<th aria-sort=\"descending\"><a href=\"?sort=size&amp;order=asc\">"));
        assert!(page.contains("<th><a href=\"?sort=name&amp;order=asc\">Name</a>"));
        assert!(!page.contains("href=\"../\""), "nothing is above the root");
    }
}
