//! The metadata that follows from a file's name: type, charset, cache policy, whether it is saved or shown.

use std::borrow::Cow;
use std::rc::Rc;

use super::options::FilesOptions;
use crate::http::accept_encoding::Coding;
use crate::http::media_type;
use crate::http::message::push_field;

/// Least length of a segment that counts as a hash of the content.
const HASH_BYTES_MIN: usize = 8;

/// The metadata that follows from a name.
pub(super) struct NamePolicy {
    pub(super) content_type: Cow<'static, str>,
    pub(super) cache_control: Option<Cow<'static, str>>,
    pub(super) is_attachment: bool,
    /// The coding of a type that is coded by itself, such as `.svgz`.
    pub(super) coding: Coding,
    /// `Link` lines, sent with the file and in a 103 before it.
    pub(super) links: Option<Rc<[u8]>>,
}

impl NamePolicy {
    /// Of a file by its name below the root.
    pub(super) fn of(options: &FilesOptions, name: &[u8]) -> Self {
        let name = name.strip_prefix(b"./").unwrap_or(name);
        let media_type = media_type::of_path(name);
        let rule = options.cache_control.iter().find(|rule| rule.glob.matches(name));
        let cache_control = match rule {
            Some(rule) => (!rule.value.is_empty()).then(|| Cow::Owned(rule.value.clone())),
            None => by_default(media_type, name).map(Cow::Borrowed),
        };
        let is_attachment = options.download.iter().any(|glob| glob.matches(name));
        let content_type = with_charset(media_type, &options.charset);
        let coding = media_type::coding_of_path(name);
        Self { content_type, cache_control, is_attachment, coding, links: links(options, name) }
    }
}

fn links(options: &FilesOptions, name: &[u8]) -> Option<Rc<[u8]>> {
    let mut lines = Vec::new();
    for rule in options.preload.iter().filter(|rule| rule.glob.matches(name)) {
        push_field(&mut lines, "Link", rule.link.as_bytes()).expect("links were checked with the options");
    }
    (!lines.is_empty()).then(|| lines.into())
}

/// The types of the table have utf-8.
fn with_charset(media_type: &'static str, charset: &str) -> Cow<'static, str> {
    match media_type.split_once("; charset=") {
        Some((_, said)) if said == charset => Cow::Borrowed(media_type),
        Some((essence, _)) if charset.is_empty() => Cow::Borrowed(essence),
        Some((essence, _)) => Cow::Owned(format!("{essence}; charset={charset}")),
        None => Cow::Borrowed(media_type),
    }
}

fn by_default(media_type: &str, name: &[u8]) -> Option<&'static str> {
    if media_type.starts_with("text/html") || media_type == "application/xhtml+xml" {
        Some("no-cache")
    } else if is_content_hashed(name, media_type) {
        Some("public, max-age=31536000, immutable")
    } else {
        None
    }
}

/// Whether a segment of the name behind the first is a hash of the content, as bundlers write it:
/// `app.3f2a9c1b.js`, `index-D3wrgT9a.css`.
///
/// Conservative, because a file that is immutable by mistake is stale for a year. Hexadecimal needs digits
/// and letters, which dates and words lack. Base 62 needs digits and both cases, and a type that bundlers
/// produce, because people name pictures `photo-iPhone15Pro.jpg`. Parts of a UUID identify a thing, not its
/// content.
fn is_content_hashed(name: &[u8], media_type: &str) -> bool {
    let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let Some(dot) = memchr::memrchr(b'.', base) else { return false };
    let segments: Vec<&[u8]> = base[..dot].split(|byte| b"-_.".contains(byte)).collect();
    let is_uuid = segments.windows(3).any(|three| three.iter().all(|part| part.len() == 4 && is_hex(part)));
    let bundled = ["text/css", "text/javascript", "application/json", "application/wasm", "font/"];
    let is_bundled = bundled.iter().any(|kind| media_type.starts_with(kind));
    !is_uuid && segments.iter().skip(1).any(|part| is_hash(part, is_bundled))
}

fn is_hash(part: &[u8], is_bundled: bool) -> bool {
    let has = |class: fn(&u8) -> bool| part.iter().any(class);
    let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    part.len() >= HASH_BYTES_MIN
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
        && (is_hex(part) || (is_bundled && mixed && part.iter().all(u8::is_ascii_alphanumeric)))
}

/// In one case: hashes are not written in mixed case.
fn is_hex(part: &[u8]) -> bool {
    let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let upper = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    part.iter().all(lower) || part.iter().all(upper)
}

#[cfg(test)]
mod tests {
    use super::super::glob::Glob;
    use super::*;

    fn cache_control(options: &FilesOptions, name: &str) -> Option<String> {
        NamePolicy::of(options, name.as_bytes()).cache_control.as_deref().map(str::to_owned)
    }

    #[test]
    fn names_with_a_hash_never_change() {
        let options = FilesOptions::default();
        for name in [
            "app.3f2a9c1b.js",
            "assets/app-3f2a9c1b.min.css",
            "main.3F2A9C1B.chunk.js",
            "logo.0123456789abcdef0123456789abcdef.png",
            "index-D3wrgT9a.js",
            "vendor_9aKq2LpX.css",
            "inter-4f3d2e1a.woff2",
        ] {
            let said = cache_control(&options, name);
            assert_eq!(said.as_deref(), Some("public, max-age=31536000, immutable"), "{name}");
        }
        for name in [
            "app.js",
            "3f2a9c1b.js",
            "app.3f2a9c1.js",
            "report-20240131.pdf",
            "readme-deadbeef.txt",
            "jquery-bootstrap.js",
            "photo-iPhone15Pro.jpg",
            "avatar-550e8400-e29b-41d4-a716-4466554400ab.png",
            "app-version2.js",
            "app.3f2a9c1b",
            "3f2a9c1b/app.js",
            "notes",
        ] {
            assert_eq!(cache_control(&options, name), None, "{name}");
        }
        assert_eq!(cache_control(&options, "page.3f2a9c1b.html").as_deref(), Some("no-cache"));
        assert_eq!(cache_control(&options, "./index.html").as_deref(), Some("no-cache"));
    }

    #[test]
    fn rules_come_first() {
        let rules = ["index.html=no-store", "assets/**=max-age=60", "*.html=", "*.js=private"];
        let cache_control_rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let options = FilesOptions { cache_control: cache_control_rules, ..FilesOptions::default() };
        for (name, said) in [
            ("./index.html", Some("no-store")),
            ("sub/index.html", Some("no-store")),
            ("assets/a.js", Some("max-age=60")),
            ("a.html", None),
            ("app.3f2a9c1b.js", Some("private")),
            ("a.txt", None),
        ] {
            assert_eq!(cache_control(&options, name).as_deref(), said, "{name}");
        }
    }

    #[test]
    fn charsets_and_downloads() {
        let of = |charset: &str, name: &str| {
            let download = vec![Glob::new("*.svg")];
            let options = FilesOptions { charset: charset.into(), download, ..FilesOptions::default() };
            let policy = NamePolicy::of(&options, name.as_bytes());
            (policy.content_type.to_string(), policy.is_attachment)
        };
        assert_eq!(of("utf-8", "a.txt"), ("text/plain; charset=utf-8".into(), false));
        assert_eq!(of("iso-8859-1", "a.txt"), ("text/plain; charset=iso-8859-1".into(), false));
        assert_eq!(of("", "a.txt"), ("text/plain".into(), false));
        assert_eq!(of("", "a.svg"), ("image/svg+xml".into(), true));
    }
}
