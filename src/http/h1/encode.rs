//! Response heads, chunks and field lines onto the wire (RFC 9112 §4, §6, §7). Decides how a body is
//! delimited so that the peer reads exactly one response; what to answer, and when, is the caller's.

use std::num::NonZeroU64;

use crate::http::message::{RequestHead, Version};
use crate::http::method::Method;
use crate::http::status::Status;

/// The whole interim answer that asks for a body held back (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What follows the data of every chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// How long the body of a message is, as far as its sender knows. Of a response to HEAD: as for GET.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyLength {
    /// There is none.
    None,
    /// That many bytes.
    Known(u64),
    /// Unknown: in chunks, or until the connection closes if the client cannot read chunks.
    Chunked,
    /// Unknown, and ended by closing whatever the client can read.
    UntilClose,
}

/// What becomes of the connection after this response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// It waits for the next request. Only if the request's `keep_alive` said so.
    KeepAlive,
    /// It is closed.
    Close,
}

/// How the body is to be sent after the head that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyCoding {
    /// Not at all.
    None,
    /// That many bytes as they are.
    Known(u64),
    /// Each piece between [`write_chunk_header`] and [`CHUNK_END`], then [`write_last_chunk`].
    Chunked,
    /// As it is, and closing the connection is its end.
    UntilClose,
}

/// A response head to be written.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingResponse<'a> {
    /// The status.
    pub status: Status,
    /// Field lines as [`push_field`](crate::http::message::push_field) writes them, each with its CRLF;
    /// without framing fields.
    pub fields: &'a [u8],
    /// How long the body is.
    pub length: BodyLength,
    /// What the caller wants of the connection.
    pub connection: Persistence,
    /// The whole `Date` line with its CRLF, or nothing. Left out of interim responses.
    pub date_line: &'a [u8],
}

/// What the framing of a response depends on in its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestContext {
    /// HEAD gets no body, CONNECT no framing.
    pub method: Method,
    /// HTTP/1.0 gets no chunks.
    pub version: Version,
}

impl RequestContext {
    /// For answers to requests that could not be read.
    pub const UNKNOWN: RequestContext = RequestContext { method: Method::Get, version: Version::Http11 };
}

impl From<&RequestHead> for RequestContext {
    #[inline]
    fn from(head: &RequestHead) -> RequestContext {
        RequestContext { method: head.method(), version: head.version() }
    }
}

/// What follows a head that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrittenHead {
    /// How to send the body.
    pub body: BodyCoding,
    /// What the head promised; a body that ends by closing makes it [`Persistence::Close`].
    pub connection: Persistence,
}

/// More than the status line, the framing fields and the `Connection` field ever take together.
const HEAD_BYTES_OWN: usize = 192;

/// Appends a whole response head, its empty line included, and says how its body is to be sent.
///
/// Framing follows RFC 9112 §6: HEAD gets the fields GET would get and no body; 1xx and 204 never have
/// framing fields, nor has a 2xx to CONNECT; 304 has `Content-Length` only if the length of the 200 is
/// known; a client of HTTP/1.0 is never sent chunks. No body, where one could be, is `Content-Length: 0`.
/// Interim responses and 2xx to CONNECT have no `Connection`, for after them HTTP/1.1 goes on or is over; 101
/// and 426 list `Upgrade` in it (§7.8). No other line of `fields` may be one.
#[inline]
pub fn write_head(out: &mut Vec<u8>, head: &OutgoingResponse<'_>, request: RequestContext) -> WrittenHead {
    out.reserve(HEAD_BYTES_OWN + head.date_line.len() + head.fields.len());
    head.status.write_line(out);
    let is_tunnel = request.method == Method::Connect && head.status.is_success();
    if head.status.is_informational() || is_tunnel {
        if is_tunnel {
            out.extend_from_slice(head.date_line);
        }
        if head.status == Status::SWITCHING_PROTOCOLS {
            out.extend_from_slice(b"Connection: upgrade\r\n");
        }
        out.extend_from_slice(head.fields);
        out.extend_from_slice(b"\r\n");
        return WrittenHead { body: BodyCoding::None, connection: head.connection };
    }
    out.extend_from_slice(head.date_line);
    out.extend_from_slice(head.fields);

    let is_bodiless = head.status.forbids_body() || request.method == Method::Head;
    let coding = body_coding(head.length, request.version);
    write_framing(out, coding, head.status, head.length);
    let body = if is_bodiless { BodyCoding::None } else { coding };
    let connection = if body == BodyCoding::UntilClose { Persistence::Close } else { head.connection };
    match (connection, request.version) {
        (_, Version::Http11 | Version::Http2) if head.status == Status::UPGRADE_REQUIRED => {
            let closes = connection == Persistence::Close;
            let options: &[u8] = if closes { b"close, upgrade" } else { b"upgrade" };
            for part in [b"Connection: ", options, b"\r\n\r\n"] {
                out.extend_from_slice(part);
            }
        }
        (Persistence::Close, _) => out.extend_from_slice(b"Connection: close\r\n\r\n"),
        (Persistence::KeepAlive, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n\r\n"),
        (Persistence::KeepAlive, Version::Http11 | Version::Http2) => out.extend_from_slice(b"\r\n"),
    }
    WrittenHead { body, connection }
}

#[inline]
fn body_coding(length: BodyLength, version: Version) -> BodyCoding {
    match length {
        BodyLength::None => BodyCoding::Known(0),
        BodyLength::Known(length) => BodyCoding::Known(length),
        BodyLength::Chunked if version == Version::Http11 => BodyCoding::Chunked,
        BodyLength::Chunked | BodyLength::UntilClose => BodyCoding::UntilClose,
    }
}

#[inline]
fn write_framing(out: &mut Vec<u8>, coding: BodyCoding, status: Status, length: BodyLength) {
    if status == Status::NO_CONTENT
        || status == Status::NOT_MODIFIED && !matches!(length, BodyLength::Known(_))
    {
        return;
    }
    match coding {
        BodyCoding::Known(length) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        BodyCoding::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        BodyCoding::None | BodyCoding::UntilClose => {}
    }
}

/// Appends the line that begins a chunk of `length` bytes; the data and [`CHUNK_END`] follow. A chunk of
/// nothing would end the body, so the type has none: skip empty pieces.
#[inline]
pub fn write_chunk_header(out: &mut Vec<u8>, length: NonZeroU64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut line = *b"0000000000000000\r\n";
    let mut rest = length.get();
    let mut start = DIGITS.len();
    while rest != 0 {
        start -= 1;
        line[start] = DIGITS[(rest & 0xf) as usize];
        rest >>= 4;
    }
    out.extend_from_slice(&line[start..]);
}

/// Appends the last chunk and the end of the body. `trailers` are field lines as
/// [`push_field`](crate::http::message::push_field) writes them, or nothing.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET_11: RequestContext = RequestContext::UNKNOWN;
    const GET_10: RequestContext = RequestContext { method: Method::Get, version: Version::Http10 };
    const HEAD_11: RequestContext = RequestContext { method: Method::Head, version: Version::Http11 };
    const HEAD_10: RequestContext = RequestContext { method: Method::Head, version: Version::Http10 };
    const CONNECT: RequestContext = RequestContext { method: Method::Connect, version: Version::Http11 };

    /// Writes a head with one field, checks that another parser reads it, and returns what is between status
    /// line and empty line.
    fn written(
        code: u16,
        length: BodyLength,
        connection: Persistence,
        request: RequestContext,
    ) -> (String, BodyCoding, Persistence) {
        let head = OutgoingResponse {
            status: Status::new(code).unwrap(),
            fields: b"A: b\r\n",
            length,
            connection,
            date_line: b"Date: D\r\n",
        };
        let mut out = b"before".to_vec();
        let WrittenHead { body, connection } = write_head(&mut out, &head, request);
        let out = out.strip_prefix(b"before").unwrap();

        let mut table = [httparse::EMPTY_HEADER; 8];
        let mut parsed = httparse::Response::new(&mut table);
        assert_eq!(parsed.parse(out), Ok(httparse::Status::Complete(out.len())));
        assert_eq!((parsed.code, parsed.version), (Some(code), Some(1)));

        let text = std::str::from_utf8(out).unwrap();
        let fields = text.split_once("\r\n").unwrap().1;
        (fields.strip_suffix("\r\n").unwrap().replace("\r\n", "|"), body, connection)
    }

    #[test]
    fn a_plain_answer_is_these_bytes() {
        let head = OutgoingResponse {
            status: Status::OK,
            fields: b"Content-Type: text/plain\r\n",
            length: BodyLength::Known(13),
            connection: Persistence::KeepAlive,
            date_line: b"Date: Sun, 22 Nov 2026 11:00:00 GMT\r\n",
        };
        let mut out = Vec::new();
        write_head(&mut out, &head, GET_11);
        let expected = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 11:00:00 GMT\r\n\
                        Content-Type: text/plain\r\nContent-Length: 13\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn framing_follows_status_method_and_version() {
        use BodyCoding as Coding;
        use BodyLength as Length;
        use Persistence::{Close, KeepAlive};
        let keep = "Date: D|A: b|";
        let vectors = [
            (200, Length::Known(5), KeepAlive, GET_11, "Content-Length: 5|", Coding::Known(5), KeepAlive),
            (
                200,
                Length::Known(5),
                Close,
                GET_11,
                "Content-Length: 5|Connection: close|",
                Coding::Known(5),
                Close,
            ),
            (200, Length::None, KeepAlive, GET_11, "Content-Length: 0|", Coding::Known(0), KeepAlive),
            (
                200,
                Length::Chunked,
                KeepAlive,
                GET_11,
                "Transfer-Encoding: chunked|",
                Coding::Chunked,
                KeepAlive,
            ),
            (200, Length::UntilClose, KeepAlive, GET_11, "Connection: close|", Coding::UntilClose, Close),
            (
                200,
                Length::Known(u64::MAX),
                KeepAlive,
                GET_11,
                "Content-Length: 18446744073709551615|",
                Coding::Known(u64::MAX),
                KeepAlive,
            ),
            (
                200,
                Length::Known(5),
                KeepAlive,
                GET_10,
                "Content-Length: 5|Connection: keep-alive|",
                Coding::Known(5),
                KeepAlive,
            ),
            (
                200,
                Length::Known(5),
                Close,
                GET_10,
                "Content-Length: 5|Connection: close|",
                Coding::Known(5),
                Close,
            ),
            (200, Length::Chunked, KeepAlive, GET_10, "Connection: close|", Coding::UntilClose, Close),
            (200, Length::Known(5), KeepAlive, HEAD_11, "Content-Length: 5|", Coding::None, KeepAlive),
            (
                200,
                Length::Chunked,
                KeepAlive,
                HEAD_11,
                "Transfer-Encoding: chunked|",
                Coding::None,
                KeepAlive,
            ),
            (200, Length::UntilClose, KeepAlive, HEAD_11, "", Coding::None, KeepAlive),
            (200, Length::Chunked, KeepAlive, HEAD_10, "Connection: keep-alive|", Coding::None, KeepAlive),
            (
                404,
                Length::None,
                Close,
                GET_11,
                "Content-Length: 0|Connection: close|",
                Coding::Known(0),
                Close,
            ),
            (204, Length::None, KeepAlive, GET_11, "", Coding::None, KeepAlive),
            (204, Length::Known(5), KeepAlive, GET_11, "", Coding::None, KeepAlive),
            (204, Length::Chunked, KeepAlive, GET_11, "", Coding::None, KeepAlive),
            (204, Length::UntilClose, KeepAlive, GET_11, "", Coding::None, KeepAlive),
            (205, Length::None, KeepAlive, GET_11, "Content-Length: 0|", Coding::Known(0), KeepAlive),
            (304, Length::None, KeepAlive, GET_11, "", Coding::None, KeepAlive),
            (304, Length::Known(5), KeepAlive, GET_11, "Content-Length: 5|", Coding::None, KeepAlive),
            (304, Length::Chunked, KeepAlive, GET_11, "", Coding::None, KeepAlive),
            (304, Length::UntilClose, Close, GET_10, "Connection: close|", Coding::None, Close),
            (299, Length::Known(1), KeepAlive, GET_11, "Content-Length: 1|", Coding::Known(1), KeepAlive),
            (200, Length::UntilClose, KeepAlive, CONNECT, "", Coding::None, KeepAlive),
            (
                426,
                Length::None,
                Close,
                GET_11,
                "Content-Length: 0|Connection: close, upgrade|",
                Coding::Known(0),
                Close,
            ),
            (
                426,
                Length::None,
                KeepAlive,
                GET_11,
                "Content-Length: 0|Connection: upgrade|",
                Coding::Known(0),
                KeepAlive,
            ),
            (
                405,
                Length::Known(2),
                Close,
                CONNECT,
                "Content-Length: 2|Connection: close|",
                Coding::Known(2),
                Close,
            ),
        ];
        for (code, length, wish, request, framing, coding, connection) in vectors {
            let expected = (format!("{keep}{framing}"), coding, connection);
            assert_eq!(
                written(code, length, wish, request),
                expected,
                "{code} {length:?} {wish:?} {request:?}"
            );
        }
    }

    #[test]
    fn interim_answers_have_their_own_fields_only() {
        for code in [100, 101, 103] {
            let own = if code == 101 { "Connection: upgrade|A: b|" } else { "A: b|" };
            let expected = (own.to_string(), BodyCoding::None, Persistence::KeepAlive);
            for length in [BodyLength::None, BodyLength::Known(3), BodyLength::Chunked] {
                assert_eq!(written(code, length, Persistence::KeepAlive, GET_11), expected);
            }
        }
    }

    #[test]
    fn the_reserve_covers_the_longest_head() {
        let head = OutgoingResponse {
            status: Status::NETWORK_AUTHENTICATION_REQUIRED,
            fields: b"",
            length: BodyLength::Known(u64::MAX),
            connection: Persistence::KeepAlive,
            date_line: b"",
        };
        let mut out = Vec::new();
        write_head(&mut out, &head, GET_10);
        assert!(out.len() <= HEAD_BYTES_OWN, "{}", out.len());
    }

    #[test]
    fn chunks() {
        let header = |length: u64| {
            let mut out = Vec::new();
            write_chunk_header(&mut out, NonZeroU64::new(length).unwrap());
            String::from_utf8(out).unwrap()
        };
        assert_eq!(header(1), "1\r\n");
        assert_eq!(header(0x10), "10\r\n");
        assert_eq!(header(0xabcdef), "abcdef\r\n");
        assert_eq!(header(u64::MAX), "ffffffffffffffff\r\n");

        let mut out = Vec::new();
        write_last_chunk(&mut out, b"");
        assert_eq!(out, b"0\r\n\r\n");
        out.clear();
        write_last_chunk(&mut out, b"Sum: 1\r\n");
        assert_eq!(out, b"0\r\nSum: 1\r\n\r\n");
    }
}
