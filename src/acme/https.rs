//! HTTPS to a CA, by ureq: one connection per call, one deadline for the whole call, cancelled when the
//! server stops. No redirects, no proxy, no connection reuse.
//!
//! ureq blocks, so each call runs on its own thread; there are about a dozen a month.

use std::io::{self, ErrorKind};
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{fs, thread};

use rustls::RootCertStore;
use ureq::config::AutoHeaderValue;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body, Timeout};

use super::pace::Clock;
use super::transport::{AcmeReply, AcmeRequest, REPLY_BODY_BYTES_MAX, Transport, TransportError};
use crate::http::method::Method;
use crate::net::tls::pem;

/// Time limit of one call, from connecting to the last byte. CAs sign within seconds and answer `processing`
/// otherwise; the rest is for slow connections.
pub(super) const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(30);

/// The part of it that connecting may take, TLS included.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Interval at which a call checks whether the server is stopping.
const LOOK_UP_EVERY: Duration = Duration::from_millis(100);

/// Longest head of a reply: several times the size that CAs send.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// HTTPS transport to one CA.
#[derive(Clone)]
pub(super) struct HttpsClient<C> {
    agent: Agent,
    clock: C,
    /// Per call.
    time_max: Duration,
}

/// Why the trusted roots cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The file of `--acme-ca-root` cannot be read.
    #[error("--acme-ca-root {file}: {1}; name a PEM file that this user can read", file = .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// It holds no certificate, or a malformed one.
    #[error(
        "--acme-ca-root {file}: {1}; the file must hold the CA's certificates as PEM",
        file = .0.display()
    )]
    Malformed(PathBuf, String),
    /// This machine has no store of trusted certificates.
    #[error(
        "this machine has no trusted CAs to check the ACME directory with; install ca-certificates, or \
         name the directory's root with --acme-ca-root"
    )]
    None,
}

/// The trusted root certificates.
#[derive(Clone)]
pub(super) struct Roots(Arc<Vec<Certificate<'static>>>);

impl Roots {
    /// Trusts only the certificates in `file`, or by default those of this machine.
    ///
    /// # Errors
    /// There are none.
    pub(super) fn load(file: Option<&Path>) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        let certificates = match file {
            None => {
                let certificates = rustls_native_certs::load_native_certs().certs;
                store.add_parsable_certificates(certificates.iter().cloned());
                if store.is_empty() {
                    return Err(RootsError::None);
                }
                certificates
            }
            Some(file) => {
                let malformed = |why: String| RootsError::Malformed(file.to_owned(), why);
                let text = fs::read(file).map_err(|error| RootsError::Unreadable(file.to_owned(), error))?;
                let certificates = pem::certificates(&text).map_err(|error| malformed(error.to_string()))?;
                for certificate in &certificates {
                    store.add(certificate.clone()).map_err(|error| malformed(error.to_string()))?;
                }
                if certificates.is_empty() {
                    return Err(malformed("it holds no certificate".into()));
                }
                certificates
            }
        };
        let owned = certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
        Ok(Self(Arc::new(owned.collect())))
    }
}

impl<C> HttpsClient<C> {
    /// A client; `clock` signals when the server stops.
    pub(super) fn new(Roots(roots): &Roots, clock: C) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(roots.clone()))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .max_idle_connections(0)
            .max_response_header_size(HEAD_BYTES_MAX)
            .timeout_connect(Some(CONNECT_TIME_MAX))
            .user_agent(concat!("quoit/", env!("CARGO_PKG_VERSION")))
            .accept(AutoHeaderValue::None)
            .build();
        Self { agent: config.new_agent(), clock, time_max: EXCHANGE_TIME_MAX }
    }
}

impl<C: Clock> Transport for HttpsClient<C> {
    fn exchange(&mut self, request: &AcmeRequest<'_>) -> Result<AcmeReply, TransportError> {
        let exchange = HttpsCall {
            agent: self.agent.clone(),
            authority: authority(request.url)?,
            method: request.method,
            url: request.url.to_owned(),
            body: request.body.to_owned(),
            time_max: self.time_max,
        };
        let broken =
            |authority: &str, error| TransportError::Broken { authority: authority.to_owned(), error };
        let authority = exchange.authority.clone();
        let (done, outcome) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("quoit-acme-https".into())
            .spawn(move || {
                // The receiver is gone when the server stops.
                let _ = done.send(exchange.run());
            })
            .map_err(|error| broken(&authority, error))?;
        loop {
            match outcome.recv_timeout(LOOK_UP_EVERY) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Timeout) if self.clock.is_stopped() => {
                    // Closes the thread's connection. A name lookup cannot be interrupted; its result is
                    // discarded.
                    self.agent.clone().shutdown();
                    return Err(TransportError::Stopped);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(broken(&authority, io::Error::other("its thread panicked")));
                }
            }
        }
    }
}

/// Host and port of an `https` URL.
///
/// RFC 8555 §6.1 requires HTTPS: without integrity, nonces and keys give no protection.
fn authority(url: &str) -> Result<String, TransportError> {
    let wrong = |why| TransportError::Url { url: url.to_owned(), why };
    if !url.starts_with("https://") {
        return Err(wrong("it must begin with https://"));
    }
    if url.contains('#') {
        return Err(wrong("it must have no #"));
    }
    let uri: Uri = url.parse().map_err(|_| wrong("it is malformed"))?;
    let authority = uri.authority().ok_or_else(|| wrong("it needs a host"))?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(wrong("it needs a host, and no user before it"));
    }
    let port = &authority.as_str()[authority.host().len()..];
    if !port.is_empty() && authority.port_u16().is_none() {
        return Err(wrong("its port is no number"));
    }
    Ok(authority.to_string())
}

/// One request and its reply, on its own thread.
struct HttpsCall {
    agent: Agent,
    authority: String,
    method: Method,
    url: String,
    body: Vec<u8>,
    time_max: Duration,
}

impl HttpsCall {
    fn run(&self) -> Result<AcmeReply, TransportError> {
        let request = ureq::http::Request::builder()
            .method(self.method.as_str())
            .uri(&self.url)
            .header("Connection", "close");
        let response = match self.method {
            Method::Post => {
                let request = request.header("Content-Type", "application/jose+json");
                request.body(&self.body[..]).map(|request| self.send(request))
            }
            _ => request.body(()).map(|request| self.send(request)),
        };
        let response = response.map_err(ureq::Error::Http).flatten();
        let (head, body) = response.map_err(|error| self.explain(error))?.into_parts();
        let status = head.status.as_u16();
        let has_body = self.method != Method::Head && !matches!(status, 204 | 304);
        let fields = head.headers.iter();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Ok(AcmeReply {
            status,
            fields: fields.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            body: if has_body { self.read(&head.headers, body)? } else { Vec::new() },
        })
    }

    fn send(&self, request: ureq::http::Request<impl AsSendBody>) -> Result<Response<Body>, ureq::Error> {
        let request = self.agent.configure_request(request).timeout_global(Some(self.time_max)).build();
        self.agent.run(request)
    }

    fn read(&self, fields: &HeaderMap, body: Body) -> Result<Vec<u8>, TransportError> {
        // A body that ends with the connection could be truncated: ureq accepts an end without close_notify.
        let coding = fields.get("transfer-encoding").map(|coding| coding.as_bytes());
        match coding {
            None if !fields.contains_key("content-length") => {
                return Err(self.malformed("its body has no length"));
            }
            Some(coding) if !coding.eq_ignore_ascii_case(b"chunked") => {
                return Err(self.malformed("its transfer coding is unknown"));
            }
            _ => {}
        }
        if body.content_length().is_some_and(|length| length > REPLY_BODY_BYTES_MAX as u64) {
            return Err(self.malformed(TOO_LARGE));
        }
        let limited = body.into_with_config().limit(REPLY_BODY_BYTES_MAX as u64);
        limited.read_to_vec().map_err(|error| self.explain(error))
    }

    fn malformed(&self, why: &'static str) -> TransportError {
        TransportError::Malformed { authority: self.authority.clone(), why }
    }

    fn explain(&self, error: ureq::Error) -> TransportError {
        let authority = self.authority.clone();
        match error {
            ureq::Error::Timeout(Timeout::Connect) => {
                TransportError::Connect { authority, error: ErrorKind::TimedOut.into() }
            }
            ureq::Error::Timeout(_) => TransportError::TooSlow { authority, limit: self.time_max },
            ureq::Error::Rustls(error) => TransportError::Tls { authority, error },
            ureq::Error::HostNotFound => {
                TransportError::Resolve { host: self.host(), error: ErrorKind::NotFound.into() }
            }
            ureq::Error::Io(error) => self.explain_io(error),
            ureq::Error::BodyExceedsLimit(_) => self.malformed(TOO_LARGE),
            ureq::Error::LargeResponseHeader(..) => self.malformed("its head is too long"),
            ureq::Error::Protocol(_) | ureq::Error::Http(_) => self.malformed("it is malformed"),
            error => TransportError::Broken { authority, error: error.into_io() },
        }
    }

    fn explain_io(&self, error: io::Error) -> TransportError {
        let authority = self.authority.clone();
        let error = match error.downcast::<rustls::Error>() {
            Ok(error) => return TransportError::Tls { authority, error },
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable => TransportError::Connect { authority, error },
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                TransportError::Broken { authority, error }
            }
            // Only a separate lookup shows whether name resolution failed.
            _ => match format!("{}:443", self.host()).to_socket_addrs() {
                Err(error) => TransportError::Resolve { host: self.host(), error },
                Ok(_) => TransportError::Broken { authority, error },
            },
        }
    }

    /// The host without its port.
    fn host(&self) -> String {
        let uri: Option<Uri> = self.url.parse().ok();
        uri.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default()
    }
}

const TOO_LARGE: &str = "its body is too large";

#[cfg(test)]
#[path = "https_tests.rs"]
mod socket_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host_by_https() {
        let of = |url| authority(url).unwrap();
        assert_eq!(of("https://ca.example/acme/dir?x=1"), "ca.example");
        assert_eq!(of("https://[::1]:14000"), "[::1]:14000");
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
            assert!(authority(wrong).is_err(), "{wrong}");
        }
    }
}
