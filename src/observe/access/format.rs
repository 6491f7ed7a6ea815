//! The formats of a log line. Appends to a buffer and allocates nothing else.

use std::io::Write as _;
use std::net::SocketAddr;

use super::clock::Stamp;
use super::escape::{push_json, push_text, push_word};
use super::record::{LoggedPeer, Record};
use crate::http::message::{RequestHead, Version};

/// The format of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line. Unknown values are omitted. The `reason` of a refused request is in this
    /// format and in the pretty one; the others have no place for it.
    Json,
    /// Human-readable, with colours for a terminal.
    Pretty {
        /// Whether to write the escape sequences of colours.
        coloured: bool,
    },
    /// The Common Log Format.
    Common,
    /// The Common Log Format, followed by referer and user agent.
    Combined,
}

impl Format {
    /// Appends the line of `record`, newline included.
    pub(super) fn push_line(self, out: &mut Vec<u8>, record: &Record<'_>, stamp: &Stamp) {
        match self {
            Self::Json => push_object(out, record, stamp),
            Self::Pretty { coloured } => push_pretty(out, record, stamp, coloured),
            Self::Common => push_common(out, record, stamp),
            Self::Combined => {
                push_common(out, record, stamp);
                for name in ["referer", "user-agent"] {
                    out.extend_from_slice(b" \"");
                    push_text(out, field(record, name).unwrap_or(b"-"));
                    out.push(b'"');
                }
            }
        }
        out.push(b'\n');
    }

    /// Appends the line that reports `lost` lines before it.
    pub(super) fn push_lost(self, out: &mut Vec<u8>, lost: u64, stamp: &Stamp) {
        match self {
            Self::Json => {
                out.extend_from_slice(b"{\"time\":\"");
                out.extend_from_slice(stamp.rfc3339());
                out.extend_from_slice(b"\",\"lost\":");
                push_number(out, lost);
                out.extend_from_slice(b"}\n");
            }
            Self::Pretty { .. } | Self::Common | Self::Combined => {
                out.extend_from_slice(b"# ");
                out.extend_from_slice(stamp.rfc3339());
                out.push(b' ');
                push_number(out, lost);
                out.extend_from_slice(b" lines were lost here: the log could not take them\n");
            }
        }
    }
}

fn push_object(out: &mut Vec<u8>, record: &Record<'_>, stamp: &Stamp) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(stamp.rfc3339());
    out.extend_from_slice(b"\",\"peer\":\"");
    match record.peer {
        LoggedPeer::Inet(addr) => {
            push_ip(out, addr, true);
            out.push(b':');
            push_number(out, addr.port());
        }
        LoggedPeer::Unix => out.extend_from_slice(b"unix:"),
        LoggedPeer::Unknown => out.push(b'-'),
    }
    if let Some(head) = record.head {
        if !head.authority().is_empty() {
            push_member(out, b"\",\"host\":\"", head.authority().as_bytes());
        }
        // Of a head that is refused the method may be unknown.
        if !head.method_str().is_empty() {
            out.extend_from_slice(b"\",\"method\":\"");
            push_method(out, head);
        }
        push_member(out, b"\",\"target\":\"", head.target().as_bytes());
        out.extend_from_slice(match head.version() {
            Version::Http10 => b"\",\"protocol\":\"HTTP/1.0",
            Version::Http11 => b"\",\"protocol\":\"HTTP/1.1",
            Version::Http2 => b"\",\"protocol\":\"HTTP/2.0",
        });
    }
    out.extend_from_slice(b"\",\"status\":");
    push_number(out, record.status);
    out.extend_from_slice(b",\"bytes\":");
    push_number(out, record.body_bytes);
    out.extend_from_slice(b",\"duration_us\":");
    push_number(out, micros(record));
    let fields: [(&[u8], _); 4] = [
        (b",\"user\":\"", record.user),
        (b",\"referer\":\"", field(record, "referer")),
        (b",\"user_agent\":\"", field(record, "user-agent")),
        (b",\"request_id\":\"", record.request_id),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            push_member(out, name, value);
            out.push(b'"');
        }
    }
    if let Some(word) = record.end.word() {
        push_member(out, b",\"end\":\"", word.as_bytes());
        out.push(b'"');
    }
    if let Some(reason) = record.reason {
        push_member(out, b",\"reason\":\"", reason.as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
}

#[inline]
fn push_member(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    push_json(out, value);
}

fn push_common(out: &mut Vec<u8>, record: &Record<'_>, stamp: &Stamp) {
    push_peer(out, record.peer);
    out.extend_from_slice(b" - ");
    match record.user {
        Some(user) => push_word(out, user),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" [");
    out.extend_from_slice(stamp.common());
    out.extend_from_slice(b"] \"");
    match record.head {
        Some(head) if head.method_str().is_empty() => push_text(out, head.target().as_bytes()),
        Some(head) => {
            push_method(out, head);
            out.push(b' ');
            push_text(out, head.target().as_bytes());
            out.extend_from_slice(match head.version() {
                Version::Http10 => b" HTTP/1.0",
                Version::Http11 => b" HTTP/1.1",
                Version::Http2 => b" HTTP/2.0",
            });
        }
        None => out.push(b'-'),
    }
    out.extend_from_slice(b"\" ");
    push_number(out, record.status);
    out.push(b' ');
    match record.body_bytes {
        0 => out.push(b'-'),
        bytes => push_number(out, bytes),
    }
}

/// `17:51:41.123 200 GET     /path  1234 bytes  0.042 ms  127.0.0.1`
fn push_pretty(out: &mut Vec<u8>, record: &Record<'_>, stamp: &Stamp, coloured: bool) {
    let paint = |out: &mut Vec<u8>, sequence: &[u8]| {
        if coloured {
            out.extend_from_slice(sequence);
        }
    };
    paint(out, b"\x1b[2m");
    out.extend_from_slice(stamp.time_of_day());
    paint(out, b"\x1b[0m");
    out.push(b' ');
    paint(
        out,
        match record.status {
            ..300 => b"\x1b[32m",
            300..400 => b"\x1b[36m",
            400..500 => b"\x1b[33m",
            500.. => b"\x1b[31m",
        },
    );
    push_number(out, record.status);
    paint(out, b"\x1b[0m");
    out.push(b' ');
    match record.head {
        Some(head) => {
            push_method(out, head);
            // The width of OPTIONS.
            out.resize(out.len() + 7_usize.saturating_sub(head.method_str().len()), b' ');
            out.push(b' ');
            push_text(out, head.target().as_bytes());
        }
        None => out.extend_from_slice(b"-       -"),
    }
    paint(out, b"\x1b[2m");
    out.extend_from_slice(b"  ");
    push_number(out, record.body_bytes);
    let us = micros(record);
    let _ = write!(out, " bytes  {}.{:03} ms  ", us / 1000, us % 1000);
    push_peer(out, record.peer);
    if let Some(word) = record.end.word() {
        out.extend_from_slice(b"  ");
        out.extend_from_slice(word.as_bytes());
    }
    if let Some(reason) = record.reason {
        out.extend_from_slice(b": ");
        push_text(out, reason.as_bytes());
    }
    paint(out, b"\x1b[0m");
}

/// The peer without its port.
fn push_peer(out: &mut Vec<u8>, peer: LoggedPeer) {
    match peer {
        LoggedPeer::Inet(addr) => push_ip(out, addr, false),
        LoggedPeer::Unix => out.extend_from_slice(b"unix:"),
        LoggedPeer::Unknown => out.push(b'-'),
    }
}

fn push_ip(out: &mut Vec<u8>, addr: SocketAddr, bracketed: bool) {
    match addr {
        SocketAddr::V4(addr) => {
            let (mut text, mut len) = ([b'.'; 16], 0);
            for octet in addr.ip().octets() {
                let mut digits = itoa::Buffer::new();
                let digits = digits.format(octet).as_bytes();
                text[len..len + digits.len()].copy_from_slice(digits);
                len += digits.len() + 1;
            }
            // Without the last dot.
            out.extend_from_slice(&text[..len - 1]);
        }
        // Writing to a Vec does not fail.
        SocketAddr::V6(addr) if bracketed => drop(write!(out, "[{}]", addr.ip())),
        SocketAddr::V6(addr) => drop(write!(out, "{}", addr.ip())),
    }
}

#[inline]
fn push_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn micros(record: &Record<'_>) -> u64 {
    u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX)
}

fn field<'a>(record: &Record<'a>, name: &str) -> Option<&'a [u8]> {
    record.head?.field(name)
}

/// The method: a token (RFC 9110 §5.6.2), in which nothing has to be escaped.
fn push_method(out: &mut Vec<u8>, head: &RequestHead) {
    out.extend_from_slice(head.method_str().as_bytes());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::record::{CLIENT_GONE, ExchangeEnd};
    use super::*;
    use crate::http::h1::{HeadProgress, RequestDecoder};

    use crate::http::message::HeadLimits;

    fn head(text: &[u8]) -> RequestHead {
        let mut head = RequestHead::new();
        let progress = RequestDecoder::new().handle_bytes(text, &HeadLimits::default(), &mut head);
        assert!(matches!(progress, Ok(HeadProgress::Complete { .. })), "{progress:?}");
        head
    }

    fn record(head: Option<&RequestHead>) -> Record<'_> {
        Record {
            peer: LoggedPeer::Inet("192.0.2.7:40112".parse().unwrap()),
            head,
            status: 200,
            body_bytes: 13,
            duration: Duration::from_nanos(42_999),
            user: None,
            request_id: None,
            end: ExchangeEnd::Complete,
            reason: None,
        }
    }

    fn line(format: Format, record: &Record<'_>) -> String {
        let mut out = b"before\n".to_vec();
        format.push_line(&mut out, record, &Stamp::new(784_111_777));
        String::from_utf8(out.split_off(7)).unwrap()
    }

    const BROWSER: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: example.com:80\r\nReferer: http://x/\"y\r\n\
        User-Agent: \x1b[31m\\evil\xff\r\n\r\n";

    // A control byte in a field is refused before there is a head, so this is the worst case.
    const REAL: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: example.com:80\r\nReferer: http://x/\"y\r\n\
        User-Agent: \\evil\xff\xc2\x9b\r\n\r\n";

    #[test]
    fn json() {
        let head = head(REAL);
        let told = line(Format::Json, &Record { request_id: Some(b"a\"1"), ..record(Some(&head)) });
        assert_eq!(
            told,
            concat!(
                r#"{"time":"1994-11-06T08:49:37.000Z","peer":"192.0.2.7:40112","host":"example.com:80","#,
                r#""method":"GET","target":"/a?b=c","protocol":"HTTP/1.1","status":200,"bytes":13,"#,
                r#""duration_us":42,"referer":"http://x/\"y","user_agent":"\\evil\ufffd\u009b","#,
                r#""request_id":"a\"1"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn json_of_what_is_hardly_known() {
        let none = Record { status: 408, body_bytes: 0, end: ExchangeEnd::Refused, ..record(None) };
        let told = line(Format::Json, &Record { peer: LoggedPeer::Unix, ..none });
        assert_eq!(
            told,
            "{\"time\":\"1994-11-06T08:49:37.000Z\",\"peer\":\"unix:\",\"status\":408,\"bytes\":0,\
             \"duration_us\":42,\"end\":\"refused\"}\n"
        );
        let told = line(Format::Json, &Record { peer: LoggedPeer::Inet("[::1]:9".parse().unwrap()), ..none });
        assert!(told.contains(r#""peer":"[::1]:9""#), "{told}");
    }

    #[test]
    fn a_refused_request_says_what_and_why() {
        let mut head = RequestHead::new();
        let wire = b"GET /a b HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\nBad line\r\nReferer: y\r\n\r\n";
        let error = RequestDecoder::new().handle_bytes(wire, &HeadLimits::default(), &mut head).unwrap_err();
        let reason = error.to_string();
        let refused =
            Record { status: 400, end: ExchangeEnd::Refused, reason: Some(&reason), ..record(Some(&head)) };
        let told = line(Format::Json, &refused);
        for part in [
            r#""host":"a.example","method":"GET","target":"/a%20b""#,
            r#""user_agent":"x","end":"refused","reason":"the request line must end with HTTP/1.1"#,
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert!(!told.contains("referer"), "what follows the error is not read: {told}");
        let told = line(Format::Pretty { coloured: false }, &refused);
        assert!(told.contains("400 GET     /a%20b  13 bytes"), "{told}");
        assert!(
            told.ends_with("  refused: the request line must end with HTTP/1.1 after one single space\n")
        );
        assert!(line(Format::Common, &refused).contains("\"GET /a%20b HTTP/1.1\" 400"));

        // Another protocol.
        let hello = b"\x16\x03\x01\x02\x00\x01\xfc\n\"";
        let error = RequestDecoder::new().handle_bytes(hello, &HeadLimits::default(), &mut head).unwrap_err();
        let reason = error.to_string();
        let refused = Record { reason: Some(&reason), ..record(Some(&head)) };
        let told = line(Format::Json, &refused);
        assert!(told.contains(r#","target":"%16%03%01%02%00%01%FC","#), "{told}");
        assert!(!told.contains("method\"") && told.contains("TLS?"), "{told}");
        assert!(line(Format::Common, &refused).contains("] \"%16%03%01%02%00%01%FC\" 200"));
    }

    #[test]
    fn common_and_combined() {
        let head = head(REAL);
        let common = "192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b=c HTTP/1.1\" 200 13";
        assert_eq!(line(Format::Common, &record(Some(&head))), format!("{common}\n"));
        assert_eq!(
            line(Format::Combined, &record(Some(&head))),
            format!("{common} \"http://x/\\x22y\" \"\\x5cevil\\xff\\xc2\\x9b\"\n")
        );
        let none = Record { status: CLIENT_GONE, body_bytes: 0, peer: LoggedPeer::Unknown, ..record(None) };
        assert_eq!(
            line(Format::Combined, &none),
            "- - - [06/Nov/1994:08:49:37 +0000] \"-\" 499 - \"-\" \"-\"\n"
        );
        let user = Record { user: Some(b"a b\x20\"\n"), ..none };
        assert!(line(Format::Common, &user).starts_with("- - a\\x20b\\x20\\x22\\x0a ["));
        assert!(line(Format::Json, &user).contains(r#""user":"a b \"\u000a""#));
        let ip = Record { peer: LoggedPeer::Inet("[2001:db8::1]:9".parse().unwrap()), ..none };
        assert!(line(Format::Common, &ip).starts_with("2001:db8::1 - - ["));
    }

    #[test]
    fn pretty_paints_by_itself_alone() {
        let head = head(REAL);
        let plain = line(Format::Pretty { coloured: false }, &record(Some(&head)));
        assert_eq!(plain, "08:49:37.000 200 GET     /a?b=c  13 bytes  0.042 ms  192.0.2.7\n");
        let gone = Record { status: CLIENT_GONE, end: ExchangeEnd::ClientGone, ..record(Some(&head)) };
        let painted = line(Format::Pretty { coloured: true }, &gone);
        assert!(painted.contains("\x1b[33m499\x1b[0m"), "{painted:?}");
        assert!(painted.ends_with("192.0.2.7  client_gone\x1b[0m\n"), "{painted:?}");
    }

    #[test]
    fn control_bytes_do_not_get_this_far() {
        let mut head = RequestHead::new();
        assert!(RequestDecoder::new().handle_bytes(BROWSER, &HeadLimits::default(), &mut head).is_err());
    }

    #[test]
    fn lost_lines_are_told_in_every_format() {
        for (format, words) in [
            (Format::Json, "\"lost\":7}\n"),
            (Format::Common, " 7 lines were lost"),
            (Format::Pretty { coloured: true }, " 7 lines were lost"),
        ] {
            let mut out = Vec::new();
            format.push_lost(&mut out, 7, &Stamp::new(0));
            let told = String::from_utf8(out).unwrap();
            assert!(told.contains(words) && told.ends_with('\n'), "{told}");
        }
    }
}
