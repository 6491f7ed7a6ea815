//! The authority of the tests behind real sockets: HTTPS for its clients, and validators that connect to
//! 127.0.0.1 as in RFC 8555 §8 and RFC 8737.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme,
    StreamOwned,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::authority::{Authority, Probe};

/// No socket of a test waits longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the authority looks for answers.
#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) http: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// A file for each name with records, a value per line.
    pub(crate) dns: PathBuf,
}

/// An authority that listens.
pub(crate) struct Ca {
    pub(crate) addr: SocketAddr,
    pub(crate) authority: Arc<Mutex<Authority>>,
}

impl Ca {
    pub(crate) fn start(places: Places) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let look = move |probe: &Probe| look(probe, &places);
        let authority = Authority::new(&format!("https://{addr}"), Box::new(look));
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let chain = own.signed_by(&key, &authority.issuer).unwrap().pem();
        let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
        let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        let config = Arc::new(config);
        let authority = Arc::new(Mutex::new(authority));
        let shared = authority.clone();
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (config, authority) = (config.clone(), shared.clone());
                thread::spawn(move || answer(socket, config, &authority));
            }
        });
        Self { addr, authority }
    }

    /// Accounts, orders, certificates.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let authority = self.lock();
        [authority.accounts(), authority.orders(), authority.certificates()]
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Authority> {
        self.authority.lock().unwrap()
    }
}

/// One request, one answer, the end.
fn answer(socket: TcpStream, config: Arc<ServerConfig>, authority: &Mutex<Authority>) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    let mut input = Vec::new();
    let (method, path, body_at, length, kind) = loop {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Request::new(&mut fields);
        if let Ok(httparse::Status::Complete(body_at)) = head.parse(&input) {
            let field = |name: &str| {
                let found = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
                found.map_or(String::new(), |field| String::from_utf8_lossy(field.value).into_owned())
            };
            let length: usize = field("content-length").parse().unwrap_or(0);
            let (method, path) = (head.method.unwrap_or(""), head.path.unwrap_or(""));
            break (method.to_owned(), path.to_owned(), body_at, length, field("content-type"));
        }
        read_some(&mut stream, &mut input)?;
    };
    while input.len() < body_at + length {
        read_some(&mut stream, &mut input)?;
    }
    let body = &input[body_at..body_at + length];
    if method == "POST" && kind != "application/jose+json" {
        return stream.write_all(b"HTTP/1.1 415 Unsupported\r\nContent-Length: 0\r\n\r\n");
    }
    let answer = {
        let mut authority = authority.lock().unwrap();
        authority.now = SystemTime::now();
        authority.handle(&method, &path, body)
    };
    let Some(answer) = answer else {
        // The end without close_notify.
        return stream.sock.shutdown(std::net::Shutdown::Both);
    };
    let mut reply = format!("HTTP/1.1 {} Whatever\r\nConnection: close\r\n", answer.status).into_bytes();
    for (name, value) in &answer.fields {
        write!(reply, "{name}: {value}\r\n")?;
    }
    // In chunks, as real ones may.
    write!(reply, "Transfer-Encoding: chunked\r\n\r\n")?;
    if method != "HEAD" {
        for chunk in answer.body.chunks(100) {
            write!(reply, "{:x}\r\n", chunk.len())?;
            reply.extend_from_slice(chunk);
            reply.extend_from_slice(b"\r\n");
        }
        reply.extend_from_slice(b"0\r\n\r\n");
    }
    stream.write_all(&reply)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn read_some(stream: &mut impl Read, input: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    let length = stream.read(&mut piece)?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    input.extend_from_slice(&piece[..length]);
    Ok(())
}

fn look(probe: &Probe, places: &Places) -> Result<(), String> {
    let shown = |error: &dyn std::fmt::Display| error.to_string();
    match probe.kind {
        "http-01" => look_http(probe, places.http).map_err(|error| shown(&error))?,
        "tls-alpn-01" => look_tls(probe, places.tls).map_err(|error| shown(&error))?,
        _ => {
            let name = format!("_acme-challenge.{}", probe.domain);
            let records = fs::read_to_string(places.dns.join(&name)).unwrap_or_default();
            let wanted = BASE64.encode(digest(&SHA256, probe.key_authorization.as_bytes()));
            if !records.lines().any(|record| record == wanted) {
                return Err(format!("no TXT record {wanted} at {name}: {records}"));
            }
        }
    }
    Ok(())
}

fn look_http(probe: &Probe, addr: SocketAddr) -> io::Result<()> {
    let mut socket = TcpStream::connect(addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let path = format!("/.well-known/acme-challenge/{}", probe.token);
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", probe.domain)?;
    let mut reply = String::new();
    socket.read_to_string(&mut reply)?;
    let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let good = reply.starts_with("HTTP/1.1 200 ") && body.trim_end() == probe.key_authorization;
    if good { Ok(()) } else { Err(io::Error::other(format!("wrong answer: {reply}"))) }
}

/// RFC 8737 §3: this one protocol, this name, and a certificate that holds the proof.
fn look_tls(probe: &Probe, addr: SocketAddr) -> io::Result<()> {
    let wrong = |what: &str| io::Error::other(what.to_owned());
    let mut config = client(Arc::new(Anybody(provider::default_provider())));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let connection = handshake(config, &probe.domain, addr)?;
    if connection.alpn_protocol() != Some(b"acme-tls/1") {
        return Err(wrong("acme-tls/1 was not agreed on"));
    }
    let der = &connection.peer_certificates().ok_or_else(|| wrong("no certificate"))?[0];
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| wrong("no certificate"))?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| format!("{:?}", names.value.general_names)).unwrap_or_default();
    if names != format!("[DNSName({:?})]", probe.domain) {
        return Err(wrong(&format!("it is for {names}")));
    }
    let oid = x509_parser::der_parser::oid!(1.3.6.1.5.5.7.1.31);
    let proof = certificate.extensions().iter().find(|extension| extension.oid == oid && extension.critical);
    let wanted = [&[0x04, 32], digest(&SHA256, probe.key_authorization.as_bytes()).as_ref()].concat();
    if proof.is_none_or(|proof| proof.value != wanted) {
        return Err(wrong("the proof is wrong"));
    }
    Ok(())
}

fn client(verifier: Arc<dyn ServerCertVerifier>) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth()
}

fn handshake(config: ClientConfig, name: &str, addr: SocketAddr) -> io::Result<ClientConnection> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut socket = TcpStream::connect(addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(connection)
}

/// Any certificate will do; the caller looks at it. Signatures pass too: rustls' own check refuses the
/// critical extension that such a certificate must have. Pebble checks them.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A visitor who trusts `roots` and asks `name` for its first page: the certificate's serial number.
pub(crate) fn visit(addr: SocketAddr, name: &str, roots: &str) -> io::Result<Vec<u8>> {
    let mut store = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
        store.add(root.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(store)
        .with_no_client_auth();
    let connection = handshake_on(config, name, addr)?;
    let (mut stream, serial) = connection;
    write!(stream, "GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    if reply.starts_with("HTTP/1.1 200 ") { Ok(serial) } else { Err(io::Error::other(reply)) }
}

fn handshake_on(
    config: ClientConfig,
    name: &str,
    addr: SocketAddr,
) -> io::Result<(StreamOwned<ClientConnection, TcpStream>, Vec<u8>)> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let socket = TcpStream::connect(addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let der = stream.conn.peer_certificates().expect("after the handshake")[0].clone();
    let (_, certificate) = X509Certificate::from_der(&der).map_err(io::Error::other)?;
    let serial = certificate.raw_serial().to_vec();
    Ok((stream, serial))
}
