//! Reading responses (RFC 9112) as they come, in whatever pieces: status, framing and length are kept,
//! content is counted and forgotten. No sockets, no clock, and nothing is copied but a head that came in
//! pieces, and one head per kind of request, by which the next is known.

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::chunked::Chunked;

/// Bytes of a head at the most. Four times what servers send at their worst.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Fields of a head at the most.
const FIELDS_MAX: usize = 100;

/// Bytes of a head that is remembered; what is longer dwarfs the cost of reading it.
const KNOWN_BYTES_MAX: usize = 2048;

/// A whole response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    /// Whether the connection ends with it.
    pub(super) closes: bool,
    /// Bytes of head and content as sent, those of interim responses included.
    pub(super) bytes: u64,
}

/// What a server did that is no HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Misdeed {
    NotHttp,
    HeadTooLong,
    UnsoundLength,
    LengthAndCoding,
    UnsoundChunk,
    UnaskedSwitch,
    ClosedWithin,
    Unasked,
}

impl fmt::Display for Misdeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "what came is no HTTP/1 response",
            Self::HeadTooLong => "a response head of more than 64 KiB or 100 fields",
            Self::UnsoundLength => "a Content-Length that is no number, or several that differ",
            Self::LengthAndCoding => "a response with Content-Length and Transfer-Encoding",
            Self::UnsoundChunk => "chunked content that is not framed as RFC 9112 says",
            Self::UnaskedSwitch => "101 Switching Protocols without having been asked",
            Self::ClosedWithin => "the connection ended within a response",
            Self::Unasked => "bytes that no request asked for",
        })
    }
}

/// Reads one connection's responses.
#[derive(Debug, Default)]
pub(super) struct Reader {
    state: ResponseProgress,
    /// A head that has not come whole.
    partial: Vec<u8>,
    bytes: u64,
    status: u16,
    closes: bool,
}

#[derive(Debug, Default)]
enum ResponseProgress {
    #[default]
    Head,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// The last head that answered some request. A server answers the same request with the same head but for its
/// date, and what is the same says the same: it need not be read again. Comparing costs a tenth of reading.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Empty: none.
    bytes: Vec<u8>,
    /// Where the value of Date stands in it; empty when it has none.
    date: Range<usize>,
    head: Head,
}

/// The framing announced by a head.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    length: usize,
    status: u16,
    closes: bool,
    framing: Framing,
}

#[derive(Clone, Copy, Debug, Default)]
enum Framing {
    #[default]
    Nothing,
    Interim,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Known {
    /// The same head at the start of `input`. Any visible text may stand for the date: what it says is not
    /// asked here.
    #[inline]
    fn find(&self, input: &[u8]) -> Option<Head> {
        let (from, to) = (self.date.start, self.date.end);
        let found = input.get(..self.bytes.len()).filter(|found| !found.is_empty())?;
        let is_same = found[..from] == self.bytes[..from]
            && found[to..] == self.bytes[to..]
            // To the end in any case: so it is a few vector instructions.
            && found[from..to].iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
        is_same.then_some(self.head)
    }

    /// Remembers a head, whose fields were found in these bytes.
    fn learn(&mut self, bytes: &[u8], head: Head, date: Option<&[u8]>) {
        if head.length > KNOWN_BYTES_MAX || matches!(head.framing, Framing::Interim) {
            return;
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(&bytes[..head.length]);
        self.date = date.map_or(0..0, |date| {
            let from = date.as_ptr().addr() - bytes.as_ptr().addr();
            from..from + date.len()
        });
        self.head = head;
    }
}

impl Reader {
    /// Whether nothing of a response has come yet.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, ResponseProgress::Head) && self.partial.is_empty() && self.bytes == 0
    }

    /// Takes what came, up to the end of a response at the most: how much it took, and the response if that
    /// is whole. `is_head`: whether it answers a HEAD, and has no content. `known`: of the request that it
    /// answers.
    pub(super) fn handle_bytes(
        &mut self,
        input: &[u8],
        is_head: bool,
        known: &mut Known,
    ) -> Result<(usize, Option<Answer>), Misdeed> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let (used, whole) = match &mut self.state {
                ResponseProgress::Head => self.handle_head(rest, is_head, known)?,
                ResponseProgress::Length(left) => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= used as u64;
                    (used, *left == 0)
                }
                ResponseProgress::Chunked(chunked) => {
                    chunked.handle_bytes(rest).map_err(|()| Misdeed::UnsoundChunk)?
                }
                ResponseProgress::UntilClose => (rest.len(), false),
            };
            taken += used;
            self.bytes += used as u64;
            if whole {
                return Ok((taken, Some(self.finish())));
            }
            if taken == input.len() {
                return Ok((taken, None));
            }
        }
    }

    /// The connection ended: the response if that was its end.
    pub(super) fn handle_end(&mut self) -> Result<Option<Answer>, Misdeed> {
        match self.state {
            ResponseProgress::UntilClose => Ok(Some(self.finish())),
            _ if self.is_between() => Ok(None),
            _ => Err(Misdeed::ClosedWithin),
        }
    }

    fn finish(&mut self) -> Answer {
        self.state = ResponseProgress::Head;
        Answer { status: self.status, closes: self.closes, bytes: std::mem::take(&mut self.bytes) }
    }

    /// Reads a head; returns how much of `input` belonged to it and whether the response ends with it.
    fn handle_head(
        &mut self,
        input: &[u8],
        is_head: bool,
        known: &mut Known,
    ) -> Result<(usize, bool), Misdeed> {
        let before = self.partial.len();
        let head = if before > 0 {
            self.partial.extend_from_slice(input);
            parse_head(&self.partial, is_head, known)?
        } else if let Some(head) = known.find(input) {
            Some(head)
        } else {
            parse_head(input, is_head, known)?
        };
        let Some(head) = head else {
            if before == 0 {
                self.partial.extend_from_slice(input);
            }
            let fits = self.partial.len() <= HEAD_BYTES_MAX;
            return if fits { Ok((input.len(), false)) } else { Err(Misdeed::HeadTooLong) };
        };
        self.partial.clear();
        (self.status, self.closes) = (head.status, head.closes);
        let whole = match head.framing {
            Framing::Interim => false,
            Framing::Nothing | Framing::Length(0) => true,
            Framing::Length(length) => {
                self.state = ResponseProgress::Length(length);
                false
            }
            Framing::Chunked => {
                self.state = ResponseProgress::Chunked(Chunked::default());
                false
            }
            Framing::UntilClose => {
                (self.state, self.closes) = (ResponseProgress::UntilClose, true);
                false
            }
        };
        Ok((head.length - before, whole))
    }
}

fn parse_head(bytes: &[u8], is_head: bool, known: &mut Known) -> Result<Option<Head>, Misdeed> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut fields,
    );
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Misdeed::HeadTooLong),
        Err(_) => return Err(Misdeed::NotHttp),
    };
    let status = response.code.filter(|status| *status >= 100).ok_or(Misdeed::NotHttp)?;
    let mut closes = response.version == Some(0);
    let (mut content_length, mut coded, mut chunked, mut date) = (None, false, false, None);
    for field in response.headers.iter() {
        match field.name.len() {
            4 if field.name.eq_ignore_ascii_case("date") => date = Some(field.value),
            10 if field.name.eq_ignore_ascii_case("connection") => {
                closes = has_token(field.value, b"close") || closes && !has_token(field.value, b"keep-alive");
            }
            14 if field.name.eq_ignore_ascii_case("content-length") => {
                let length = decimal(field.value).ok_or(Misdeed::UnsoundLength)?;
                if content_length.replace(length).is_some_and(|before| before != length) {
                    return Err(Misdeed::UnsoundLength);
                }
            }
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                (coded, chunked) = (true, last_token(field.value).eq_ignore_ascii_case(b"chunked"));
            }
            _ => {}
        }
    }
    // RFC 9112, section 6.3, in its order.
    let framing = match status {
        101 => return Err(Misdeed::UnaskedSwitch),
        100..200 => Framing::Interim,
        _ if is_head || matches!(status, 204 | 304) => Framing::Nothing,
        _ if coded && content_length.is_some() => return Err(Misdeed::LengthAndCoding),
        _ if chunked => Framing::Chunked,
        _ if coded => Framing::UntilClose,
        _ => content_length.map_or(Framing::UntilClose, Framing::Length),
    };
    let head = Head { length, status, closes, framing };
    known.learn(bytes, head, date);
    Ok(Some(head))
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

fn tokens(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(|token| token.trim_ascii())
}

fn has_token(value: &[u8], wanted: &[u8]) -> bool {
    tokens(value).any(|token| token.eq_ignore_ascii_case(wanted))
}

fn last_token(value: &[u8]) -> &[u8] {
    tokens(value).next_back().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `wire` when it arrives in these pieces, and of the end behind it.
    fn read(pieces: &[&[u8]], is_head: bool) -> Result<Vec<Answer>, Misdeed> {
        let (mut reader, mut known, mut answers) = (Reader::default(), Known::default(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (used, answer) = reader.handle_bytes(rest, is_head, &mut known)?;
                assert!(used > 0, "it goes on");
                rest = &rest[used..];
                answers.extend(answer);
            }
        }
        answers.extend(reader.handle_end()?);
        Ok(answers)
    }

    /// The same, whole, byte by byte, and split at every point.
    fn read_all_ways(wire: &[u8], is_head: bool) -> Result<Vec<Answer>, Misdeed> {
        let whole = read(&[wire], is_head);
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(read(&bytes, is_head), whole, "byte by byte: {}", wire.escape_ascii());
        for at in 1..wire.len() {
            let split = read(&[&wire[..at], &wire[at..]], is_head);
            assert_eq!(split, whole, "split at {at}: {}", wire.escape_ascii());
        }
        whole
    }

    fn answer(status: u16, closes: bool, wire: &[u8]) -> Answer {
        Answer { status, closes, bytes: wire.len() as u64 }
    }

    #[test]
    fn each_framing_is_read() {
        let wires: [(&[u8], u16, bool); 8] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, false),
            (b"HTTP/1.1 404 No\r\ncontent-length: 0\r\nConnection: x, Close\r\n\r\n", 404, true),
            (b"HTTP/1.1 204 No Content\r\n\r\n", 204, false),
            (b"HTTP/1.1 304 x\r\nContent-Length: 99\r\n\r\n", 304, false),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5;a=b\r\n\
              hello\r\n0\r\nT: x\r\n\r\n",
                200,
                false,
            ),
            (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, true),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, true),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx", 200, false),
        ];
        for (wire, status, closes) in wires {
            assert_eq!(read_all_ways(wire, false), Ok(vec![answer(status, closes, wire)]));
        }
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(read_all_ways(head, true), Ok(vec![answer(200, false, head)]));
        let interim = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read_all_ways(interim, false), Ok(vec![answer(200, false, interim)]));
    }

    #[test]
    fn pipelined_answers_are_told_apart() {
        let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\
                     Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 204 x\r\n\r\n";
        let statuses: Vec<u16> = read_all_ways(wire, false).unwrap().iter().map(|a| a.status).collect();
        assert_eq!(statuses, [200, 200, 204]);
    }

    #[test]
    fn a_known_head_is_the_same_but_for_its_date() {
        let answer = |date: &str, length| {
            format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {length}\r\n\r\n12345").into_bytes()
        };
        let (mut reader, mut known) = (Reader::default(), Known::default());
        let first = answer("Sun, 06 Nov 1994 08:49:37 GMT", 5);
        let read = reader.handle_bytes(&first, false, &mut known);
        assert!(matches!(read, Ok((_, Some(_)))));
        for (next, is_known) in [
            (answer("Sun, 06 Nov 1994 08:49:38 GMT", 5), true),
            (answer("Sun, 06 Nov 1994 08:49:38 GMT", 4), false),
            (answer("Sun, 06 Nov 1994 08:49:38 UTC\t", 5), false),
            // Of the same length, and another field where the date ends.
            (answer("Sun, 06 Nov 1994\r\nX: 9:37 GMT", 5), false),
            (first[..first.len() - 6].to_vec(), false),
        ] {
            assert_eq!(known.find(&next).is_some(), is_known, "{}", next.escape_ascii());
        }
        // What differs is read, and known from then on.
        let other = answer("Mon, 07 Nov 1994 08:49:37 GMT", 4);
        let (used, read) = reader.handle_bytes(&other, false, &mut known).unwrap();
        assert_eq!((used, read.unwrap().bytes), (other.len() - 1, other.len() as u64 - 1));
        assert!(known.find(&other).is_some() && known.find(&first).is_none());
    }

    #[test]
    fn misdeeds_are_named() {
        let wires: [(&[u8], Misdeed); 9] = [
            (b"SSH-2.0-x\r\n", Misdeed::NotHttp),
            (b"HTTP/1.1 099 x\r\n\r\n", Misdeed::NotHttp),
            (b"HTTP/1.1 101 x\r\n\r\n", Misdeed::UnaskedSwitch),
            (b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", Misdeed::UnsoundLength),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Misdeed::UnsoundLength),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                Misdeed::LengthAndCoding,
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Misdeed::UnsoundChunk),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", Misdeed::ClosedWithin),
            (b"HTTP/1.1 20", Misdeed::ClosedWithin),
        ];
        for (wire, misdeed) in wires {
            assert_eq!(read_all_ways(wire, false), Err(misdeed), "{}", wire.escape_ascii());
        }
        let mut long = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
        long.resize(HEAD_BYTES_MAX + 1, b'a');
        assert_eq!(read(&[&long], false), Err(Misdeed::HeadTooLong));
    }
}
