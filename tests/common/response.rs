//! Parses responses as strictly as the server parses requests: what two clients could interpret differently
//! is a failure. Reads from a client and never from a clock.

use std::fmt;

use super::client::{Client, End};

/// How a response's body was delimited.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    /// By status or method: there is none.
    Bodiless,
    /// By Content-Length.
    Length,
    /// In chunks of these lengths.
    Chunked(Vec<usize>),
    /// By the end of the connection.
    UntilClose,
}

/// A whole response.
#[derive(Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Status line and field lines as received, without the Date line and the empty line.
    pub(crate) head: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
    /// Field lines behind the last chunk, each with its CRLF.
    pub(crate) trailers: String,
}

/// A response that is incomplete.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection ended before its first byte.
    Silence(End),
    /// The connection ended within the head.
    InHead(End),
    /// The connection ended within the body; the bytes received of it.
    InBody(Box<Response>, End),
    /// Nothing was received within the deadline.
    TimedOut,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({:?}, {:?}, {} bytes)", self.head, self.framing, self.body.len())
    }
}

impl Response {
    /// The one value of a field.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values =
            self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice in {}", self.head);
        value
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts status and body.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, body: impl AsRef<[u8]>) -> &Self {
        assert_eq!(self.status, status, "{}\n\n{}", self.head, self.text());
        let body = body.as_ref();
        if self.body != body {
            let at = self.body.iter().zip(body).position(|(a, b)| a != b);
            let (got, want) = (self.body.len(), body.len());
            let start = &self.body[..got.min(200)].escape_ascii();
            panic!("another body: {got} bytes for {want}, first difference at {at:?}, begins {start}");
        }
        self
    }

    /// Asserts the status of a response with a text of the server's.
    #[track_caller]
    pub(crate) fn has_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}\n\n{}", self.head, self.text());
        self
    }

    /// Asserts that the response announces the end of the connection.
    #[track_caller]
    pub(crate) fn says_close(&self) -> &Self {
        assert_eq!(self.field("connection"), Some("close"), "{}", self.head);
        self
    }

    /// Asserts that the response keeps a connection of HTTP/1.1.
    #[track_caller]
    pub(crate) fn keeps(&self) -> &Self {
        assert_eq!(self.field("connection"), None, "{}", self.head);
        self
    }
}

/// Reads one response, interim ones included.
pub(crate) fn read(client: &mut Client, method: &str) -> Result<Response, Broken> {
    let head = read_head(client)?;
    let (status, fields) = parse_head(&head);
    let without_date: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with("Date: ")).collect();
    let mut response = Response {
        status,
        head: without_date.join("\r\n"),
        fields,
        framing: Framing::Bodiless,
        body: Vec::new(),
        trailers: String::new(),
    };
    check_date(&response);
    let length = response.field("content-length").map(parse_length);
    let chunked = response.field("transfer-encoding").map(|coding| assert_eq!(coding, "chunked")).is_some();
    assert!(length.is_none() || !chunked, "two framings: {head}");
    if matches!(status, 100..200 | 204) {
        assert!(length.is_none() && !chunked, "framing where there is no body: {head}");
        return Ok(response);
    }
    if status == 304 || method == "HEAD" || method == "CONNECT" && (200..300).contains(&status) {
        return Ok(response);
    }
    let done = match length {
        Some(length) => {
            response.framing = Framing::Length;
            take(client, length, &mut response.body)
        }
        None if chunked => {
            let mut chunks = Vec::new();
            let done = read_chunks(client, &mut chunks, &mut response.body, &mut response.trailers);
            response.framing = Framing::Chunked(chunks);
            done
        }
        None => {
            assert_eq!(response.field("connection"), Some("close"), "no framing, and no close: {head}");
            response.framing = Framing::UntilClose;
            while more(client)? {}
            response.body = std::mem::take(client.input());
            if client.ended() == Some(End::Clean) { Ok(()) } else { Err(Stop::Ended) }
        }
    };
    match done {
        Ok(()) => Ok(response),
        Err(Stop::Ended) => {
            Err(Broken::InBody(Box::new(response), client.ended().expect("the end was seen")))
        }
        Err(Stop::TimedOut) => Err(Broken::TimedOut),
    }
}

enum Stop {
    Ended,
    TimedOut,
}

fn more(client: &mut Client) -> Result<bool, Broken> {
    client.fill().map_err(|_| Broken::TimedOut)
}

fn read_head(client: &mut Client) -> Result<String, Broken> {
    loop {
        if let Some(end) = client.input().windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = client.input().drain(..end + 4).take(end).collect();
            return Ok(String::from_utf8(head).expect("heads of the server are ASCII"));
        }
        if !more(client)? {
            let end = client.ended().expect("the end was seen");
            return Err(if client.input().is_empty() { Broken::Silence(end) } else { Broken::InHead(end) });
        }
    }
}

fn parse_head(head: &str) -> (u16, Vec<(String, String)>) {
    let mut lines = head.split("\r\n");
    let line = lines.next().expect("split yields at least one");
    let code = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split_once(' ')).map(|(code, _)| code);
    let code = code.filter(|code| code.len() == 3).unwrap_or_else(|| panic!("no status line: {line:?}"));
    let status = code.parse().unwrap_or_else(|_| panic!("no status: {line:?}"));
    assert!((100..600).contains(&status), "{line:?}");
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?} in {head:?}"));
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        assert!(!name.is_empty() && name.bytes().all(token), "no name: {line:?}");
        let visible = value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f));
        assert!(visible && value.trim() == value, "no value: {line:?}");
        (name.to_owned(), value.to_owned())
    });
    (status, fields.collect())
}

/// RFC 9110 §6.6.1: a server with a clock sends Date with every 2xx, 3xx and 4xx.
fn check_date(response: &Response) {
    let date = response.field("date");
    if (200..500).contains(&response.status) {
        let date = date.unwrap_or_else(|| panic!("no Date: {}", response.head));
        assert!(httpdate::parse_http_date(date).is_ok() && date.ends_with(" GMT"), "{date:?}");
    }
}

fn parse_length(value: &str) -> usize {
    assert!(value.bytes().all(|b| b.is_ascii_digit()), "Content-Length: {value:?}");
    value.parse().expect("fits")
}

/// Moves `length` bytes into `out`, or fewer when the connection ends.
fn take(client: &mut Client, length: usize, out: &mut Vec<u8>) -> Result<(), Stop> {
    let mut left = length;
    loop {
        let piece = left.min(client.input().len());
        out.extend(client.input().drain(..piece));
        left -= piece;
        if left == 0 {
            return Ok(());
        }
        match client.fill() {
            Ok(true) => {}
            Ok(false) => return Err(Stop::Ended),
            Err(_) => return Err(Stop::TimedOut),
        }
    }
}

fn take_line(client: &mut Client) -> Result<String, Stop> {
    loop {
        if let Some(end) = client.input().windows(2).position(|window| window == b"\r\n") {
            let line: Vec<u8> = client.input().drain(..end + 2).take(end).collect();
            return Ok(String::from_utf8(line).expect("chunk lines are ASCII"));
        }
        match client.fill() {
            Ok(true) => {}
            Ok(false) => return Err(Stop::Ended),
            Err(_) => return Err(Stop::TimedOut),
        }
    }
}

fn read_chunks(
    client: &mut Client,
    chunks: &mut Vec<usize>,
    out: &mut Vec<u8>,
    trailers: &mut String,
) -> Result<(), Stop> {
    loop {
        let line = take_line(client)?;
        let hex = !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        assert!(hex, "no chunk size: {line:?}");
        let length = usize::from_str_radix(&line, 16).expect("fits");
        if length == 0 {
            loop {
                match take_line(client)? {
                    end if end.is_empty() => return Ok(()),
                    field => *trailers += &format!("{field}\r\n"),
                }
            }
        }
        take(client, length, out)?;
        chunks.push(length);
        let end = take_line(client)?;
        assert_eq!(end, "", "chunk data is followed by CRLF");
    }
}
