//! Responses on the wire and what becomes of each: one table for the tests in `responses`. Each vector names
//! the section it follows, and where hyper's client decides otherwise, why it is decided differently here.

use crate::http::h1::RequestFacts;
use crate::http::method::Method;

/// The request that a response answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Get,
    Head,
    Connect,
    /// GET with `Upgrade: websocket`.
    Upgrade,
}

impl Asked {
    pub(super) fn facts(self) -> RequestFacts {
        let method = match self {
            Asked::Get | Asked::Upgrade => Method::Get,
            Asked::Head => Method::Head,
            Asked::Connect => Method::Connect,
        };
        RequestFacts { method, asks_upgrade: self == Asked::Upgrade }
    }
}

/// One response, after which the connection ends.
pub(super) struct Vector {
    /// The section that requires the result.
    pub(super) section: &'static str,
    /// The request.
    pub(super) asked: Asked,
    pub(super) wire: &'static [u8],
    /// As `Exchange::summary` writes it, or `!` and the error.
    pub(super) verdict: &'static str,
    /// Why hyper decides otherwise; empty if it does not.
    pub(super) hyper: &'static str,
}

const fn vector(
    section: &'static str,
    asked: Asked,
    wire: &'static [u8],
    verdict: &'static str,
    hyper: &'static str,
) -> Vector {
    Vector { section, asked, wire, verdict, hyper }
}

/// hyper decides the same.
const SAME: &str = "";
const LF: &str = "takes a lone LF for a line end, where another reader may see data";
const EMPTY: &str = "skips empty lines, which are the rest of a body longer than announced";
const SWITCH: &str = "takes any 101 for a switch; a proxy would tunnel what its client never asked for";
const FLOOD: &str = "takes interim responses without end";
const CODING: &str = "passes on a body whose coding nothing here decodes";
const UNCERTAIN: &str = "reads until close; another reader may see chunks";
const TWICE: &str = "takes repeated codings, which mean a body encoded twice";
const OLD: &str =
    "takes Transfer-Encoding from HTTP/1.0 if no body follows; the server is confused all the same";
const BOTH: &str = "lets Transfer-Encoding win, as the RFC allows; the length may have won elsewhere";
const UNUSED: &str = "does not read a length that it does not need";
const SIZE: &str = "takes white space after a size, which other readers take for another size or none";
const EXTENSION: &str = "skips extensions unread up to the line end";
const TRAILER: &str = "takes framing fields in trailers, which must not be sent there";

#[rustfmt::skip] // one vector, one entry
pub(super) const VECTORS: &[Vector] = &[
    vector(
        "RFC 9112 §4", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "200 5 keep [hello]", SAME,
    ),
    vector(
        "RFC 9112 §4", Asked::Get,
        b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        "200 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §4", Asked::Get,
        b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        "200 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §4", Asked::Get,
        b"HTTP/1.1 200 All is  well \t!\r\nContent-Length: 0\r\n\r\n",
        "200 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §4", Asked::Get,
        b"HTTP/1.1 200 \xe9t\xe9\r\nContent-Length: 0\r\n\r\n",
        "200 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §4", Asked::Get,
        b"HTTP/1.1 299 X\r\nContent-Length: 0\r\n\r\n",
        "299 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §4", Asked::Get,
        b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
        "999 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §4", Asked::Get,
        b"HTTP/1.1 600\r\nContent-Length: 0\r\n\r\n",
        "600 0 keep []", SAME,
    ),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 099 X\r\n\r\n", "!StatusMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 000 X\r\n\r\n", "!StatusMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 20 X\r\n\r\n", "!StatusMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 20\r\n\r\n", "!StatusMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 2000 X\r\n\r\n", "!StatusMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 2x0 X\r\n\r\n", "!StatusMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 +20 X\r\n\r\n", "!StatusMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 -20 X\r\n\r\n", "!StatusMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1  200 OK\r\n\r\n", "!StatusMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 200\tOK\r\n\r\n", "!StatusMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1\t200 OK\r\n\r\n", "!VersionMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 \r\n\r\n", "!StatusMissing", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1\r\n\r\n", "!StatusMissing", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 OK\r\n\r\n", "!StatusMalformed", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 200 O\0K\r\n\r\n", "!ReasonCharacter(0)", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 200 O\x7fK\r\n\r\n", "!ReasonCharacter(127)", SAME),
    vector("RFC 9112 §4", Asked::Get, b"HTTP/1.1 200 O\x1bK\r\n\r\n", "!ReasonCharacter(27)", SAME),
    vector(
        "RFC 9112 §2.3", Asked::Get,
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
        "200 1 close [a]", SAME,
    ),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/0.9 200 OK\r\n\r\n", "!VersionHttp0", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/2 200 OK\r\n\r\n", "!VersionHttp2", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/2.0 200 OK\r\n\r\n", "!VersionHttp2", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/3 200 OK\r\n\r\n", "!VersionUnsupported", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/1.2 200 OK\r\n\r\n", "!VersionUnsupported", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/1.9 200 OK\r\n\r\n", "!VersionUnsupported", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/1 200 OK\r\n\r\n", "!VersionMalformed", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/1.10 200 OK\r\n\r\n", "!VersionMalformed", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/11.1 200 OK\r\n\r\n", "!VersionMalformed", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/1,1 200 OK\r\n\r\n", "!VersionMalformed", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/x.1 200 OK\r\n\r\n", "!VersionMalformed", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTP/1.1\r\n", "!StatusMissing", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"http/1.1 200 OK\r\n\r\n", "!StatusLineMissing(104)", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTTPS/1.1 200 OK\r\n\r\n", "!StatusLineMissing(83)", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"HTT\r\n\r\n", "!StatusLineMissing(13)", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"ICY 200 OK\r\n\r\n", "!StatusLineMissing(73)", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b"<html>hello</html>\r\n", "!StatusLineMissing(60)", SAME),
    vector("RFC 9112 §2.3", Asked::Get, b" HTTP/1.1 200 OK\r\n\r\n", "!StatusLineMissing(32)", SAME),
    vector("RFC 9113 §3.4", Asked::Get, b"\0\0\x12\x04\0\0\0\0\0", "!StatusLineMissing(0)", SAME),
    vector("RFC 5246 §6.2", Asked::Get, b"\x15\x03\x01\0\x02\x02\x46", "!StatusLineMissing(21)", SAME),
    vector(
        "RFC 9112 §2.2", Asked::Get,
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "!EmptyLine", EMPTY,
    ),
    vector(
        "RFC 9112 §2.2", Asked::Get,
        b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "!EmptyLine", EMPTY,
    ),
    vector(
        "RFC 9112 §2.2", Asked::Get,
        b"\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "!EmptyLine", EMPTY,
    ),
    vector(
        "RFC 9112 §2.2", Asked::Get,
        b"\rHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "!EmptyLine", SAME,
    ),
    vector("RFC 9112 §2.2", Asked::Get, b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "!BareLf", LF),
    vector("RFC 9112 §2.2", Asked::Get, b"HTTP/1.1 200\nContent-Length: 0\r\n\r\n", "!BareLf", LF),
    vector("RFC 9112 §2.2", Asked::Get, b"HTTP/1.1 200 OK\n\n", "!BareLf", LF),
    vector(
        "RFC 9112 §2.2", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
        "!Field(BareLf)", LF,
    ),
    vector("RFC 9112 §2.2", Asked::Get, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", "!BareLf", LF),
    vector(
        "RFC 9112 §2.2", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
        "!Field(BareLf)", LF,
    ),
    vector(
        "RFC 9112 §2.2", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA: b\rContent-Length: 0\r\n\r\n",
        "!Field(BareCr)", SAME,
    ),
    vector("RFC 9112 §2.2", Asked::Get, b"HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n", "!BareCr", SAME),
    vector(
        "RFC 9112 §2.2", Asked::Get,
        b"HTTP/1.1 200 OK\r\r\nContent-Length: 0\r\n\r\n",
        "!BareCr", SAME,
    ),
    vector(
        "RFC 9112 §2.2", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\rX\r\n\r\n",
        "!BareCr", SAME,
    ),
    vector(
        "RFC 9112 §5", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length:1\r\nA:  b\tc \t\r\n\r\nx",
        "200 1 keep [x]", SAME,
    ),
    vector(
        "RFC 9112 §5", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA:\r\nB: \r\nContent-Length: 0\r\n\r\n",
        "200 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §5", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA: \x80\xff\r\nContent-Length: 0\r\n\r\n",
        "200 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §5", Asked::Get,
        b"HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~9aZ: x\r\nContent-Length: 0\r\n\r\n",
        "200 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §5.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "!Field(SpaceBeforeColon)", SAME,
    ),
    vector(
        "RFC 9112 §5.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length\t: 0\r\n\r\n",
        "!Field(SpaceBeforeColon)", SAME,
    ),
    vector(
        "RFC 9112 §5.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA B: c\r\n\r\n",
        "!Field(SpaceBeforeColon)", SAME,
    ),
    vector("RFC 9112 §5.1", Asked::Get, b"HTTP/1.1 200 OK\r\n: a\r\n\r\n", "!Field(NameEmpty)", SAME),
    vector("RFC 9112 §5.1", Asked::Get, b"HTTP/1.1 200 OK\r\nA\r\n\r\n", "!Field(ColonMissing)", SAME),
    vector(
        "RFC 9112 §5.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA(b): c\r\n\r\n",
        "!Field(NameCharacter(40))", SAME,
    ),
    vector(
        "RFC 9112 §5.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\n\xe9: c\r\n\r\n",
        "!Field(NameCharacter(233))", SAME,
    ),
    vector(
        "RFC 9112 §5.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA\0: c\r\n\r\n",
        "!Field(NameCharacter(0))", SAME,
    ),
    vector(
        "RFC 9112 §5.2", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "!Field(Folded)", SAME,
    ),
    vector(
        "RFC 9112 §5.2", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n\r\n",
        "!Field(Folded)", SAME,
    ),
    vector("RFC 9112 §5.2", Asked::Get, b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "!Field(Folded)", SAME),
    vector(
        "RFC 9112 §5.2", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\nhello",
        "!Field(Folded)", SAME,
    ),
    vector(
        "RFC 9110 §5.5", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
        "!Field(ValueCharacter(0))", SAME,
    ),
    vector(
        "RFC 9110 §5.5", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA: b\x7fc\r\n\r\n",
        "!Field(ValueCharacter(127))", SAME,
    ),
    vector(
        "RFC 9110 §5.5", Asked::Get,
        b"HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n",
        "!Field(ValueCharacter(1))", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (1)", Asked::Head,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "200 none keep []", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (1)", Asked::Head,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "200 none keep []", SAME,
    ),
    vector("RFC 9112 §6.3 (1)", Asked::Head, b"HTTP/1.1 200 OK\r\n\r\n", "200 none keep []", SAME),
    vector(
        "RFC 9112 §6.3 (1)", Asked::Head,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "200 none keep [] +5", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (1)", Asked::Head,
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
        "404 none close []", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (1)", Asked::Get,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        "204 none keep []", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (1)", Asked::Get,
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "204 none keep []", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (1)", Asked::Get,
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        "204 none close [] +5", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (1)", Asked::Get,
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "204 none close [] +5", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (1)", Asked::Get,
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        "304 none keep []", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (1)", Asked::Get,
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        "304 none keep []", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (1)", Asked::Get,
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        "304 none keep []", SAME,
    ),
    vector(
        "RFC 9110 §15.3.6", Asked::Get,
        b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
        "205 0 keep []", SAME,
    ),
    vector("RFC 9112 §6.3 (2)", Asked::Connect, b"HTTP/1.1 200 OK\r\n\r\n", "200 tunnel close []", SAME),
    vector(
        "RFC 9112 §6.3 (2)", Asked::Connect,
        b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01",
        "200 tunnel close [] +3", SAME,
    ),
    vector("RFC 9112 §6.3 (2)", Asked::Connect, b"HTTP/1.1 299 X\r\n\r\n", "299 tunnel close []", SAME),
    vector(
        "RFC 9112 §6.3 (2)", Asked::Connect,
        b"HTTP/1.0 200 Connection established\r\n\r\nSSH-2.0",
        "200 tunnel close [] +7", SAME,
    ),
    vector(
        "RFC 9110 §9.3.6", Asked::Connect,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "200 tunnel close [] +5", SAME,
    ),
    vector(
        "RFC 9110 §9.3.6", Asked::Connect,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\nhi",
        "200 tunnel close [] +2", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (2)", Asked::Connect,
        b"HTTP/1.1 407 X\r\nContent-Length: 2\r\n\r\nno",
        "407 2 keep [no]", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (2)", Asked::Connect,
        b"HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n",
        "302 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (2)", Asked::Connect,
        b"HTTP/1.1 100 X\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx",
        "100, 200 tunnel close [] +1", SAME,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Upgrade,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
          Upgrade: websocket\r\n\r\n",
        "101 tunnel close []", SAME,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Upgrade,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: keep-alive, upgrade\r\n\
          Upgrade: websocket\r\n\r\n\x81\x01a",
        "101 tunnel close [] +3", SAME,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Upgrade,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "!UpgradeMissing", SWITCH,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Upgrade,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        "!UpgradeMissing", SWITCH,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Upgrade,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade:\r\n\r\n",
        "!UpgradeMissing", SWITCH,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Upgrade,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "!UpgradeMissing", SWITCH,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Get,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
          Upgrade: websocket\r\n\r\n",
        "!UpgradeUnasked", SWITCH,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Head,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
          Upgrade: websocket\r\n\r\n",
        "!UpgradeUnasked", SWITCH,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Upgrade,
        b"HTTP/1.0 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "!UpgradeInHttp10", SWITCH,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Upgrade,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
          Upgrade: websocket\r\nContent-Length: 5\r\n\r\nhello",
        "!InterimWithBody", SWITCH,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Upgrade,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        "200 2 keep [no]", SAME,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Upgrade,
        b"HTTP/1.1 100 X\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\
          Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "100, 101 tunnel close []", SAME,
    ),
    vector(
        "RFC 9110 §7.8", Asked::Get,
        b"HTTP/1.1 426 X\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\
          Content-Length: 0\r\n\r\n",
        "426 0 keep []", SAME,
    ),
    vector(
        "RFC 9110 §15.2", Asked::Get,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
        "100, 200 1 keep [a]", SAME,
    ),
    vector(
        "RFC 9110 §15.2", Asked::Get,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
          HTTP/1.1 102 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "100, 103, 102, 200 0 keep []", SAME,
    ),
    vector(
        "RFC 9110 §15.2", Asked::Get,
        b"HTTP/1.1 199 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "199, 200 0 keep []", SAME,
    ),
    vector(
        "RFC 9110 §15.2", Asked::Get,
        b"HTTP/1.0 100 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "100, 200 0 keep []", SAME,
    ),
    vector(
        "RFC 9110 §15.2", Asked::Head,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
        "100, 200 none keep []", SAME,
    ),
    vector(
        "RFC 9110 §15.2", Asked::Get,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\
          Content-Length: 0\r\n\r\n",
        "100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 200 0 keep []", SAME,
    ),
    vector(
        "RFC 9110 §15.2", Asked::Get,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
          HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "!TooManyInterims", FLOOD,
    ),
    vector("RFC 9110 §15.2", Asked::Get, b"HTTP/1.1 100 Continue\r\n\r\n", "!Truncated", SAME),
    vector(
        "RFC 9110 §8.6", Asked::Get,
        b"HTTP/1.1 100 X\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\
          Content-Length: 0\r\n\r\n",
        "100, 200 0 keep []", SAME,
    ),
    vector(
        "RFC 9110 §8.6", Asked::Get,
        b"HTTP/1.1 100 X\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\
          Content-Length: 0\r\n\r\n",
        "!InterimWithBody", SAME,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "!InterimWithBody", SAME,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "200 chunked keep [hello]", SAME,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING:\tChunked \r\n\r\n0\r\n\r\n",
        "200 chunked keep []", SAME,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: 1\r\n\r\n",
        "200 chunked keep [a] T=1", SAME,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP",
        "200 chunked keep [] +4", SAME,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "!Framing(CodingUnsupported)", CODING,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\na",
        "!Framing(ChunkedNotLast)", UNCERTAIN,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\na",
        "!Framing(ChunkedNotLast)", UNCERTAIN,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\na",
        "!Framing(ChunkedNotLast)", UNCERTAIN,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "!Framing(ChunkedNotLast)", TWICE,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\
          \r\n0\r\n\r\n",
        "!Framing(CodingRepeated)", TWICE,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "!Framing(ChunkedNotLast)", UNCERTAIN,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
        "!Framing(CodingMalformed)", UNCERTAIN,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
        "!Framing(CodingMalformed)", UNCERTAIN,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "!Field(ValueCharacter(11))", SAME,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        "!Framing(CodingMalformed)", UNCERTAIN,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Get,
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "!Framing(CodingInHttp10)", SAME,
    ),
    vector(
        "RFC 9112 §6.1", Asked::Head,
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "!Framing(CodingInHttp10)", OLD,
    ),
    vector(
        "RFC 9112 §6.3 (3)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "!Framing(LengthAndChunked)", BOTH,
    ),
    vector(
        "RFC 9112 §6.3 (3)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "!Framing(LengthAndChunked)", BOTH,
    ),
    vector(
        "RFC 9112 §6.3 (3)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        "!Framing(LengthAndChunked)", BOTH,
    ),
    vector(
        "RFC 9112 §6.3 (3)", Asked::Head,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "!Framing(LengthAndChunked)", BOTH,
    ),
    vector(
        "RFC 9112 §6.3 (3)", Asked::Get,
        b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "!Framing(LengthAndChunked)", BOTH,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "200 5 keep [hello]", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "!Framing(LengthRepeated)", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        "200 5 keep [hello]", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
        "!Framing(LengthRepeated)", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "!Framing(LengthMalformed)", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        "!Framing(LengthMalformed)", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
        "!Framing(LengthMalformed)", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\nhello",
        "!Framing(LengthMalformed)", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello",
        "!Framing(LengthMalformed)", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        "!Framing(LengthMalformed)", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "!Framing(LengthOverflow)", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Head,
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
        "200 none keep []", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Head,
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "!Framing(LengthMalformed)", UNUSED,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 000005\r\n\r\nhello",
        "200 5 keep [hello]", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (5)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhello",
        "200 3 keep [hel] +2", SAME,
    ),
    vector(
        "RFC 9112 §8", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "!Body(Truncated)", SAME,
    ),
    vector(
        "RFC 9112 §8", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "!Body(Truncated)", SAME,
    ),
    vector(
        "RFC 9112 §8", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
        "!Body(Truncated)", SAME,
    ),
    vector(
        "RFC 9112 §8", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "!Body(Truncated)", SAME,
    ),
    vector(
        "RFC 9112 §8", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "!Body(Truncated)", SAME,
    ),
    vector(
        "RFC 9112 §8", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "!Body(Truncated)", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (8)", Asked::Get,
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        "200 until-close close [hello]", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (8)", Asked::Get,
        b"HTTP/1.1 200 OK\r\n\r\n",
        "200 until-close close []", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (8)", Asked::Get,
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nhello",
        "200 until-close close [hello]", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (8)", Asked::Get,
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        "200 until-close close [hello]", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (8)", Asked::Get,
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello",
        "200 until-close close [hello]", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (8)", Asked::Get,
        b"HTTP/1.1 205 Reset Content\r\n\r\n",
        "205 until-close close []", SAME,
    ),
    vector(
        "RFC 9112 §6.3 (8)", Asked::Upgrade,
        b"HTTP/1.1 500 X\r\n\r\nno",
        "500 until-close close [no]", SAME,
    ),
    vector(
        "RFC 9112 §9.3", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "200 0 close []", SAME,
    ),
    vector(
        "RFC 9112 §9.3", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Foo, CLOSE\r\n\r\n",
        "200 0 close []", SAME,
    ),
    vector(
        "RFC 9112 §9.3", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: a\r\nConnection: close\r\n\r\n",
        "200 0 close []", SAME,
    ),
    vector(
        "RFC 9112 §9.3", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close, keep-alive\r\n\r\n",
        "200 0 close []", SAME,
    ),
    vector(
        "RFC 9112 §9.3", Asked::Get,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: closed\r\n\r\n",
        "200 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §9.3", Asked::Get,
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
        "200 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §9.3", Asked::Get,
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive, a\r\n\r\n",
        "200 0 keep []", SAME,
    ),
    vector(
        "RFC 9112 §9.3", Asked::Get,
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "200 0 close []", SAME,
    ),
    vector("RFC 9112 §9.3", Asked::Get, b"HTTP/1.0 204 X\r\n\r\n", "204 none close []", SAME),
    vector("RFC 9112 §8", Asked::Get, b"", "!ClosedBeforeResponse", SAME),
    vector("RFC 9112 §8", Asked::Get, b"H", "!Truncated", SAME),
    vector("RFC 9112 §8", Asked::Get, b"HTTP/1.1 200 O", "!Truncated", SAME),
    vector("RFC 9112 §8", Asked::Get, b"HTTP/1.1 200 OK\r\n", "!Truncated", SAME),
    vector("RFC 9112 §8", Asked::Get, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r", "!Truncated", SAME),
    vector(
        "RFC 9112 §7.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "!Body(ChunkBareLf)", SAME,
    ),
    vector(
        "RFC 9112 §7.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        "!Body(ChunkSizeCharacter(120))", SAME,
    ),
    vector(
        "RFC 9112 §7.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
        "!Body(ChunkSizeCharacter(32))", SAME,
    ),
    vector(
        "RFC 9112 §7.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        "!Body(ChunkSizeCharacter(32))", SIZE,
    ),
    vector(
        "RFC 9112 §7.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
        "!Body(ChunkSizeMissing)", SAME,
    ),
    vector(
        "RFC 9112 §7.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        "!Body(ChunkUnterminated)", SAME,
    ),
    vector(
        "RFC 9112 §7.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        "!Body(ChunkUnterminated)", SAME,
    ),
    vector(
        "RFC 9112 §7.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\n",
        "!Body(ChunkSizeTooLong)", SAME,
    ),
    vector(
        "RFC 9112 §7.1.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
          1;a=b;c=\"d\\\"e\" ; f = g\r\nx\r\n0;z\r\n\r\n",
        "200 chunked keep [x]", SAME,
    ),
    vector(
        "RFC 9112 §7.1.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\"x\r\nx\r\n0\r\n\r\n",
        "!Body(ExtensionMalformed)", EXTENSION,
    ),
    vector(
        "RFC 9112 §7.1.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;bad[=x\r\nx\r\n0\r\n\r\n",
        "!Body(ExtensionMalformed)", EXTENSION,
    ),
    vector(
        "RFC 9112 §7.1.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\r\nx\r\n0\r\n\r\n",
        "!Body(ExtensionMalformed)", EXTENSION,
    ),
    vector(
        "RFC 9112 §7.1.1", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n",
        "!Body(ChunkBareLf)", SAME,
    ),
    vector(
        "RFC 9112 §7.1.2", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT : 1\r\n\r\n",
        "!Body(Trailer(SpaceBeforeColon))", SAME,
    ),
    vector(
        "RFC 9112 §7.1.2", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
        "!Body(TrailerForbidden)", TRAILER,
    ),
    vector(
        "RFC 9112 §7.1.2", Asked::Get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT:1\r\nU:  2 3\t\r\n\r\n",
        "200 chunked keep [] T=1 U=2 3", SAME,
    ),
];
