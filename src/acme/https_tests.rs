//! The HTTPS client against servers with scripted replies, over real sockets.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::pace::SystemClock;
use super::*;
use crate::http::method::Method;

/// How the server closes the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// With close_notify.
    Clean,
    /// Without.
    Cut,
    /// Not at all.
    Never,
}

/// A server for one call that sends these bytes: its URL, and the root certificate to trust.
fn server(reply: Vec<u8>, end: End) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(Vec::<String>::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "root");
    let pem = root.self_signed(&key).unwrap().pem();
    let own = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&own, &Issuer::new(root, key)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(own.serialize_der().into()))
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/dir", listener.local_addr().unwrap());
    thread::spawn(move || -> io::Result<()> {
        let (socket, _) = listener.accept()?;
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), socket);
        let mut input = [0; 4096];
        let _ = stream.read(&mut input)?;
        stream.write_all(&reply)?;
        stream.flush()?;
        match end {
            End::Clean => {
                stream.conn.send_close_notify();
                stream.flush()
            }
            End::Cut => stream.sock.shutdown(std::net::Shutdown::Both),
            // Until the client closes the connection.
            End::Never => stream.read(&mut input).map(drop),
        }
    });
    (url, pem)
}

fn client(root: &str) -> HttpsClient<SystemClock> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("root.pem");
    fs::write(&file, root).unwrap();
    HttpsClient::new(&Roots::load(Some(&file)).unwrap(), SystemClock::default())
}

fn get(reply: impl Into<Vec<u8>>, end: End) -> Result<AcmeReply, TransportError> {
    let (url, root) = server(reply.into(), end);
    client(&root).exchange(&AcmeRequest { method: Method::Get, url: &url, body: &[] })
}

#[test]
fn replies_are_read_whatever_delimits_them() {
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early\r\nX-A: c\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let got = get(reply, End::Clean).unwrap();
        assert_eq!((got.status, &*got.body, got.field("x-a")), (200, &b"hello"[..], Some("b")), "{reply}");
    }
    let none = get("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", End::Clean).unwrap();
    assert_eq!((none.status, none.body.len()), (204, 0));
    let known = get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", End::Cut).unwrap();
    assert_eq!(known.body, b"hello", "a complete body needs no close_notify");
}

#[test]
fn what_is_cut_or_endless_is_no_reply() {
    let told = |reply: &[u8], end| get(reply, end).unwrap_err().to_string();
    let cut = told(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", End::Clean);
    assert!(cut.contains("broke"), "{cut}");
    let cut = told(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", End::Cut);
    assert!(cut.contains("broke"), "{cut}");
    let cut = told(b"HTTP/1.1 200 OK\r\n\r\nhello", End::Cut);
    assert!(cut.contains("its body has no length"), "an attacker could have cut it: {cut}");
    let coded = told(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\nhello", End::Clean);
    assert!(coded.contains("its transfer coding is unknown"), "{coded}");
    let cut = told(b"HTTP/1.1 200 OK\r\nContent-Le", End::Clean);
    assert!(cut.contains("broke"), "{cut}");
    let chunk =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", REPLY_BODY_BYTES_MAX + 1);
    let large = [chunk.as_bytes(), &vec![b'x'; REPLY_BODY_BYTES_MAX + 1]].concat();
    assert!(told(&large, End::Clean).contains("too large"));
    assert!(told(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", End::Never).contains("too large"));
    let head = [&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; HEAD_BYTES_MAX]].concat();
    assert!(told(&head, End::Never).contains("its head is too long"));
    assert!(told(b"220 mail.example ESMTP\r\n\r\n", End::Never).contains("it is malformed"));
}

#[test]
fn silence_ends_in_time_and_with_the_server() {
    let (url, root) = server(Vec::new(), End::Never);
    let mut client = client(&root);
    client.time_max = Duration::from_millis(300);
    let request = AcmeRequest { method: Method::Get, url: &url, body: &[] };
    assert!(matches!(client.exchange(&request), Err(TransportError::TooSlow { .. })));

    let (url, root) = server(Vec::new(), End::Never);
    let mut client = self::client(&root);
    let clock = client.clock.clone();
    let ending = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        clock.stop();
    });
    let request = AcmeRequest { method: Method::Get, url: &url, body: &[] };
    assert!(matches!(client.exchange(&request), Err(TransportError::Stopped)));
    ending.join().unwrap();
}

#[test]
fn servers_are_trusted_by_the_root_alone() {
    let (url, _) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(), End::Clean);
    let (_, other) = server(Vec::new(), End::Clean);
    let request = AcmeRequest { method: Method::Get, url: &url, body: &[] };
    let told = client(&other).exchange(&request).unwrap_err().to_string();
    assert!(told.contains("TLS with 127.0.0.1:") && told.contains("--acme-ca-root"), "{told}");
    let unreachable = AcmeRequest { url: "https://127.0.0.1:1/dir", ..request };
    let told = client(&other).exchange(&unreachable).unwrap_err().to_string();
    assert!(told.starts_with("cannot connect to 127.0.0.1:1: "), "{told}");
}
