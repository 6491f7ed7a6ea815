//! A small blocking HTTPS/1.1 client: one connection per exchange, one deadline for all of it, and an eye on
//! the end of the server. Renewals need a dozen exchanges a month, so it keeps nothing open, follows no
//! redirect and knows no proxy.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use super::pace::Clock;
use super::transport::{Method, REPLY_BODY_BYTES_MAX, Reply, Request, Transport, TransportError};
use crate::http::h1::BodyDecoder;

use crate::http::message::BodyLimits;
use crate::http::message::Framing;

/// One exchange, from connecting to the last byte. CAs sign within seconds and answer `processing` otherwise;
/// the rest is for slow lines.
pub(super) const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a socket may keep us from seeing that the server ends.
const LOOK_UP_EVERY: Duration = Duration::from_millis(200);

/// Longest head of a reply, and most fields: several times what CAs send.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const FIELDS_MAX: usize = 64;

/// The transport for a CA's directory.
#[derive(Clone)]
pub(super) struct HttpsClient<C> {
    config: Arc<ClientConfig>,
    clock: C,
    /// For each exchange.
    time_max: Duration,
}

/// Why no CA can be trusted with a directory.
#[derive(Debug)]
pub enum RootsError {
    /// The file of `--acme-ca-root` cannot be read.
    Unreadable(PathBuf, io::Error),
    /// It has no certificate, or a broken one.
    Malformed(PathBuf, String),
    /// This machine has no store of trusted certificates.
    None,
}

impl fmt::Display for RootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, error) => write!(
                f,
                "--acme-ca-root {}: {error}; name a PEM file that this user can read",
                file.display()
            ),
            Self::Malformed(file, why) => write!(
                f,
                "--acme-ca-root {}: {why}; the file must hold the CA's certificates as PEM",
                file.display()
            ),
            Self::None => f.write_str(
                "this machine has no trusted CAs to check the ACME directory with; install ca-certificates, \
                 or name the directory's root with --acme-ca-root",
            ),
        }
    }
}

impl std::error::Error for RootsError {}

/// Whom to trust, and how to speak.
#[derive(Clone)]
pub(super) struct Roots(Arc<ClientConfig>);

impl Roots {
    /// Trusts the certificates in `file` alone, or this machine's.
    ///
    /// # Errors
    /// There are none.
    pub(super) fn load(file: Option<&Path>) -> Result<Self, RootsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots(file)?)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let mut store = RootCertStore::empty();
    let Some(file) = file else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if store.is_empty() { Err(RootsError::None) } else { Ok(store) };
    };
    let malformed = |why: String| RootsError::Malformed(file.to_owned(), why);
    let pem = fs::read(file).map_err(|error| RootsError::Unreadable(file.to_owned(), error))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| malformed(error.to_string()))?;
        store.add(certificate).map_err(|error| malformed(error.to_string()))?;
    }
    if store.is_empty() { Err(malformed("it holds no certificate".into())) } else { Ok(store) }
}

impl<C> HttpsClient<C> {
    /// A client that sees by this clock when the server ends.
    pub(super) fn new(Roots(config): &Roots, clock: C) -> Self {
        Self { config: config.clone(), clock, time_max: EXCHANGE_TIME_MAX }
    }
}

impl<C: Clock> Transport for HttpsClient<C> {
    fn exchange(&mut self, request: &Request<'_>) -> Result<Reply, TransportError> {
        let url = Url::parse(request.url)?;
        let until = Instant::now() + self.time_max;
        let socket = connect(&url, until)?;
        let tls = |error| TransportError::Tls { authority: url.authority.to_owned(), error };
        let name = ServerName::try_from(url.host.to_owned())
            .map_err(|_| TransportError::Url { url: request.url.to_owned(), why: "its host is no name" })?;
        let connection = ClientConnection::new(self.config.clone(), name).map_err(tls)?;
        let mut line = Line {
            authority: url.authority,
            connection,
            socket,
            until,
            limit: self.time_max,
            clock: &self.clock,
        };
        line.write(head(request, &url).as_bytes())?;
        line.write(request.body)?;
        receive(&mut line, request.method)
    }
}

fn head(request: &Request<'_>, url: &Url<'_>) -> String {
    let mut head =
        format!("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method.as_str(), url.path, url.authority);
    head.push_str(concat!("User-Agent: quoit/", env!("CARGO_PKG_VERSION"), "\r\nConnection: close\r\n"));
    if request.method == Method::Post {
        let length = request.body.len();
        let _ = write!(head, "Content-Type: application/jose+json\r\nContent-Length: {length}\r\n");
    }
    head.push_str("\r\n");
    head
}

fn connect(url: &Url<'_>, until: Instant) -> Result<TcpStream, TransportError> {
    let resolve = |error| TransportError::Resolve { host: url.host.to_owned(), error };
    let refused = |error| TransportError::Connect { authority: url.authority.to_owned(), error };
    let addresses = (url.host, url.port).to_socket_addrs().map_err(resolve)?;
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in addresses {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left.min(EXCHANGE_TIME_MAX / 3)) {
            Ok(socket) => {
                let set = socket.set_read_timeout(Some(LOOK_UP_EVERY));
                set.and(socket.set_write_timeout(Some(LOOK_UP_EVERY))).map_err(refused)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(refused(last))
}

/// A connection with its deadline.
struct Line<'a, C> {
    authority: &'a str,
    connection: ClientConnection,
    socket: TcpStream,
    until: Instant,
    limit: Duration,
    clock: &'a C,
}

impl<C: Clock> Line<'_, C> {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), TransportError> {
        while !bytes.is_empty() {
            let written = self.attempt(|stream| stream.write(bytes))?;
            bytes = &bytes[written..];
        }
        self.attempt(|stream| stream.flush())
    }

    /// Some bytes; none at the end that TLS vouches for.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, TransportError> {
        self.attempt(|stream| stream.read(into))
    }

    /// Does it, again and again while the socket only says that it would wait.
    fn attempt<T>(
        &mut self,
        mut action: impl FnMut(&mut Stream<'_, ClientConnection, TcpStream>) -> io::Result<T>,
    ) -> Result<T, TransportError> {
        loop {
            if self.clock.is_stopped() {
                return Err(TransportError::Stopped);
            }
            if Instant::now() >= self.until {
                let authority = self.authority.to_owned();
                return Err(TransportError::TooSlow { authority, limit: self.limit });
            }
            match action(&mut Stream::new(&mut self.connection, &mut self.socket)) {
                Err(error) if waits(&error) => {}
                Err(error) => return Err(self.explain(error)),
                Ok(done) => return Ok(done),
            }
        }
    }

    fn explain(&self, error: io::Error) -> TransportError {
        let authority = self.authority.to_owned();
        match error.downcast::<rustls::Error>() {
            Ok(error) => TransportError::Tls { authority, error },
            Err(error) => TransportError::Broken { authority, error },
        }
    }

    fn malformed(&self, why: &'static str) -> TransportError {
        TransportError::Malformed { authority: self.authority.to_owned(), why }
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn receive<C: Clock>(line: &mut Line<'_, C>, method: Method) -> Result<Reply, TransportError> {
    let mut input = Vec::new();
    loop {
        if let Some((mut reply, body_at)) = parse_head(&input).map_err(|why| line.malformed(why))? {
            input.drain(..body_at);
            if (100..200).contains(&reply.status) {
                continue;
            }
            let none = method == Method::Head || matches!(reply.status, 204 | 304);
            reply.body = if none { Vec::new() } else { receive_body(line, &reply, input)? };
            return Ok(reply);
        }
        if input.len() > HEAD_BYTES_MAX {
            return Err(line.malformed("its head is too long"));
        }
        if !receive_more(line, &mut input)? {
            return Err(line.malformed("it ended within the head"));
        }
    }
}

/// Appends what comes next; false at the end.
fn receive_more<C: Clock>(line: &mut Line<'_, C>, input: &mut Vec<u8>) -> Result<bool, TransportError> {
    let mut piece = [0; 8 * 1024];
    let length = line.read(&mut piece)?;
    input.extend_from_slice(&piece[..length]);
    Ok(length > 0)
}

/// The head and where the body begins, once it is whole.
fn parse_head(input: &[u8]) -> Result<Option<(Reply, usize)>, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    match head.parse(input) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(length)) => {
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let fields =
                head.headers.iter().map(|field| (field.name.to_owned(), text(field.value))).collect();
            let reply = Reply { status: head.code.unwrap_or(0), fields, body: Vec::new() };
            Ok(Some((reply, length)))
        }
        Err(_) => Err("its head is malformed"),
    }
}

/// Reads the body whose first bytes are in `input` (RFC 9112 §6.3).
fn receive_body<C: Clock>(
    line: &mut Line<'_, C>,
    reply: &Reply,
    mut input: Vec<u8>,
) -> Result<Vec<u8>, TransportError> {
    let Some(framing) = framing(reply).map_err(|why| line.malformed(why))? else {
        while receive_more(line, &mut input)? {
            if input.len() > REPLY_BODY_BYTES_MAX {
                return Err(line.malformed("its body is too large"));
            }
        }
        return Ok(input);
    };
    let limits = BodyLimits { body_bytes_max: Some(REPLY_BODY_BYTES_MAX as u64), ..BodyLimits::DEFAULT };
    let wrong = "its body is malformed or too large";
    let mut decoder = BodyDecoder::new(framing, &limits).map_err(|_| line.malformed(wrong))?;
    let mut body = Vec::new();
    while !decoder.is_done() {
        if input.is_empty() && !receive_more(line, &mut input)? {
            return Err(line.malformed("it ended within the body"));
        }
        let step = decoder.handle_bytes(&input).map_err(|_| line.malformed(wrong))?;
        body.extend_from_slice(&input[step.data]);
        input.drain(..step.consumed);
    }
    Ok(body)
}

/// How the body is delimited; by the end of the connection if there is nothing else.
fn framing(reply: &Reply) -> Result<Option<Framing>, &'static str> {
    if let Some(coding) = reply.field("transfer-encoding") {
        let chunked = coding.trim().eq_ignore_ascii_case("chunked");
        return if chunked { Ok(Some(Framing::Chunked)) } else { Err("its transfer coding is unknown") };
    }
    let Some(length) = reply.field("content-length") else { return Ok(None) };
    let length = length.trim().parse().map_err(|_| "its Content-Length is no number")?;
    Ok(Some(Framing::Length(length)))
}

/// The parts of an `https` URL that a request needs.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    authority: &'a str,
    /// An address of IPv6 without its brackets.
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Self, TransportError> {
        let wrong = |why| TransportError::Url { url: url.to_owned(), why };
        // RFC 8555 §6.1: HTTPS alone; nonces and keys are worth nothing on a line that others can write to.
        let rest = url.strip_prefix("https://").ok_or_else(|| wrong("it must begin with https://"))?;
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("it has characters that a URL must encode"));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        if !path.starts_with('/') || path.contains('#') {
            return Err(wrong("it needs a path after the host, and no #"));
        }
        let bracket = authority.rfind(']').unwrap_or(0);
        let (host, port) = match authority[bracket..].find(':') {
            None => (authority, 443),
            Some(colon) => {
                let (host, port) = authority.split_at(bracket + colon);
                (host, port[1..].parse().map_err(|_| wrong("its port is no number"))?)
            }
        };
        if host.is_empty() || host.contains('@') {
            return Err(wrong("it needs a host, and no user before it"));
        }
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        Ok(Self { authority, host: address.unwrap_or(host), port, path })
    }
}

#[cfg(test)]
#[path = "https_tests.rs"]
mod socket_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("https://ca.example/acme/dir?x=1").unwrap();
        assert_eq!((url.authority, url.host, url.port), ("ca.example", "ca.example", 443));
        assert_eq!(url.path, "/acme/dir?x=1");
        let url = Url::parse("https://[::1]:14000").unwrap();
        assert_eq!((url.authority, url.host, url.port, url.path), ("[::1]:14000", "::1", 14000, "/"));
        for wrong in [
            "http://ca.example/",
            "https:///dir",
            "https://ca.example:port/",
            "https://a@ca.example/",
            "https://ca.example/a b",
            "https://ca.example/\r\nX: y",
            "https://ca.example/dir#x",
            "",
        ] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn heads_say_how_bodies_end() {
        let of = |head: &str| parse_head(head.as_bytes()).unwrap().map(|(reply, _)| framing(&reply));
        assert_eq!(of("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n"), None, "not whole");
        assert_eq!(of("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n"), Some(Ok(Some(Framing::Length(12)))));
        assert_eq!(
            of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Some(Ok(Some(Framing::Chunked)))
        );
        assert_eq!(of("HTTP/1.1 200 OK\r\n\r\n"), Some(Ok(None)));
        assert!(of("HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n").unwrap().is_err());
        assert!(of("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").unwrap().is_err());
        assert!(parse_head(b"SSH-2.0-x\r\n\r\n").is_err());
    }

    #[test]
    fn requests_are_written() {
        let url = "https://ca.example:14000/new-order";
        let request = Request { method: Method::Post, url, body: b"{}" };
        let head = head(&request, &Url::parse(url).unwrap());
        assert!(
            head.starts_with("POST /new-order HTTP/1.1\r\nHost: ca.example:14000\r\nUser-Agent: quoit/"),
            "{head}"
        );
        assert!(head.ends_with("Content-Type: application/jose+json\r\nContent-Length: 2\r\n\r\n"), "{head}");
    }
}
