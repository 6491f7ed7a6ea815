//! Converts field lines to and from `http`'s `HeaderMap`. Each core keeps maps for reuse, because a new map
//! costs two allocations.

use std::cell::RefCell;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::http::message::{RequestHead, Trailers, push_field};

/// Maps kept for reuse per core, and the largest capacity of one: more would only hold memory.
const SPARE_MAPS_MAX: usize = 32;
const SPARE_FIELDS_MAX: usize = 64;

thread_local! {
    static SPARE_MAPS: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

fn take_map() -> HeaderMap {
    SPARE_MAPS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Returns a map to the core's pool.
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
        // Both are in the same head, so the offset is valid in the copy too.
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

/// The fields of a response about its connection and body, which are not sent as lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Said {
    /// `Connection: close`.
    pub(super) closes: bool,
    /// `Content-Length`.
    pub(super) length: Option<u64>,
}

/// Appends a response's fields to `lines`, without those that the server writes: framing, `Connection` and
/// the fields it names, and `Date`.
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
                // A `HeaderMap` cannot hold an invalid field.
                let _ = push_field(lines, word, value.as_bytes());
            }
        }
    }
    said
}

/// Writes `Upgrade` with the protocol of the response; the server lists it in `Connection`.
pub(super) fn write_upgrade(map: &HeaderMap, lines: &mut Vec<u8>) {
    if let Some(value) = upgrade_of(map) {
        // A `HeaderMap` cannot hold an invalid field.
        let _ = push_field(lines, "Upgrade", value);
    }
}

fn upgrade_of(map: &HeaderMap) -> Option<&[u8]> {
    map.get(header::UPGRADE).map(HeaderValue::as_bytes)
}

/// Adds trailer fields, without those that are only valid in a head (RFC 9110 §6.5.1).
pub(super) fn add_trailers(map: &HeaderMap, trailers: &mut Trailers) {
    for (name, value) in map {
        // Invalid ones are omitted.
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
