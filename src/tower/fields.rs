//! Field lines between our tables and `http`'s `HeaderMap`, both ways. Heads are built and emptied in maps
//! that each core keeps, for a new map costs two allocations.

use std::cell::RefCell;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::http::message::{RequestHead, Trailers, push_field};

/// Maps kept for reuse per core, and how many fields one may have room for: more would only hold memory.
const SPARE_MAPS_MAX: usize = 32;
const SPARE_FIELDS_MAX: usize = 64;

thread_local! {
    static SPARE_MAPS: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

fn take_map() -> HeaderMap {
    SPARE_MAPS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps the memory of a map that is not needed any more.
pub(super) fn give_map(mut map: HeaderMap) {
    if (1..=SPARE_FIELDS_MAX).contains(&map.capacity()) {
        map.clear();
        SPARE_MAPS.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAPS_MAX {
                spare.push(map);
            }
        });
    }
}

/// The fields of a request. Values share `bytes`, which is a copy of the head.
pub(super) fn from_head(head: &RequestHead, bytes: &Bytes) -> HeaderMap {
    let mut map = take_map();
    for (name, value) in head.fields() {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        // Both lie in the same head, so the distance is the value's place in the copy too.
        let start = value.as_ptr().addr() - head.as_bytes().as_ptr().addr();
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes.slice(start..start + value.len())) {
            // Fails beyond 32,768 fields, far above what a head may have.
            let _ = map.try_append(name, value);
        }
    }
    map
}

/// The fields of a trailer section, from lines with their CRLF.
pub(super) fn parse_lines(lines: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            let _ = map.try_append(name, value);
        }
    }
    map
}

/// What a response's fields say of the connection and the body, apart from the lines that are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Said {
    /// `Connection: close`.
    pub(super) closes: bool,
    /// `Content-Length`.
    pub(super) length: Option<u64>,
}

/// Writes a response's fields as lines behind `lines`, without those that are the server's: framing,
/// `Connection` and what it names, and `Date`.
pub(super) fn write_lines(map: &HeaderMap, lines: &mut Vec<u8>) -> Said {
    let mut said = Said::default();
    let connection = map.get_all(header::CONNECTION);
    for (name, value) in map {
        match name.as_str() {
            "content-length" => said.length = number(value),
            "connection" => said.closes |= has_word(value, "close"),
            "transfer-encoding" | "upgrade" | "date" | "keep-alive" | "proxy-connection" | "te" => {}
            word if connection.iter().any(|value| has_word(value, word)) => {}
            word => {
                // A `HeaderMap` cannot hold what is refused here.
                let _ = push_field(lines, word, value.as_bytes());
            }
        }
    }
    said
}

/// Writes the protocol that a response switches to, and that this concerns the connection (RFC 9110 §7.8).
pub(super) fn write_upgrade(map: &HeaderMap, lines: &mut Vec<u8>) {
    for (name, value) in [("Connection", Some("upgrade".as_bytes())), ("Upgrade", upgrade_of(map))] {
        if let Some(value) = value {
            // A `HeaderMap` cannot hold what is refused here.
            let _ = push_field(lines, name, value);
        }
    }
}

fn upgrade_of(map: &HeaderMap) -> Option<&[u8]> {
    map.get(header::UPGRADE).map(HeaderValue::as_bytes)
}

/// Adds trailer fields, without those that have to stand in a head (RFC 9110 §6.5.1).
pub(super) fn add_trailers(map: &HeaderMap, trailers: &mut Trailers) {
    for (name, value) in map {
        // What is refused is left out.
        let _ = trailers.push(name.as_str(), value.as_bytes());
    }
}

fn has_word(value: &HeaderValue, word: &str) -> bool {
    value
        .as_bytes()
        .split(|&byte| byte == b',')
        .any(|element| element.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_servers_own_fields_are_not_written() {
        let map = map(&[
            ("content-type", "text/plain"),
            ("content-length", "13"),
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("date", "Sun, 22 Nov 2026 11:00:00 GMT"),
            ("set-cookie", "a=b"),
        ]);
        let mut lines = Vec::new();
        let said = write_lines(&map, &mut lines);
        assert_eq!(String::from_utf8(lines).unwrap(), "content-type: text/plain\r\nset-cookie: a=b\r\n");
        assert_eq!(said, Said { closes: true, length: Some(13) });
    }

    #[test]
    fn lengths_are_digits() {
        for (text, length) in [("0", Some(0)), ("+1", None), ("", None), ("1, 1", None)] {
            assert_eq!(number(&HeaderValue::from_static(text)), length, "{text:?}");
        }
    }

    #[test]
    fn trailers_come_back_as_they_left() {
        let sent = map(&[("grpc-status", "0"), ("content-length", "9"), ("x-sum", "a: b")]);
        let mut trailers = Trailers::new();
        add_trailers(&sent, &mut trailers);
        assert_eq!(trailers.lines(), b"grpc-status: 0\r\nx-sum: a: b\r\n");
        assert_eq!(parse_lines(trailers.lines()), map(&[("grpc-status", "0"), ("x-sum", "a: b")]));
    }

    #[test]
    fn maps_are_used_again() {
        let mut first = HeaderMap::with_capacity(8);
        first.insert("a", HeaderValue::from_static("b"));
        let room = first.capacity();
        give_map(first);
        let second = take_map();
        assert_eq!((second.len(), second.capacity()), (0, room));
    }
}
