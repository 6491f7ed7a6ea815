//! `loadgen bench` over TLS, against servers of rustls' own and blocking sockets, which share no code with
//! the engine's streams.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use support::{measure, number, refusal};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A server for `localhost` and the file of its authority.
struct Server {
    addr: SocketAddr,
    ca: tempfile::NamedTempFile,
}

impl Server {
    fn flags(&self, more: &str) -> String {
        format!("--ca {} --connect-to {} {more}", self.ca.path().display(), self.addr)
    }
}

/// Starts a server that does this with each connection, and lives as long as the test's process.
fn server(versions: &[&'static SupportedProtocolVersion], serve: fn(Tls)) -> Server {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            std::thread::spawn(move || serve(StreamOwned::new(connection, stream)));
        }
    });
    Server { addr, ca }
}

/// Reads requests without bodies, and answers each.
fn answer(mut stream: Tls) {
    let (mut held, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        held.extend_from_slice(&piece[..length]);
        while let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            let closes = held[..end].windows(17).any(|field| field == b"Connection: close");
            held.drain(..end + 4);
            if stream.write_all(OK).is_err() {
                return;
            }
            if closes {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                return;
            }
        }
    }
}

const BOTH: &[&SupportedProtocolVersion] = rustls::ALL_VERSIONS;

#[test]
fn requests_are_answered_over_tls() {
    for (versions, version) in
        [(&[&rustls::version::TLS13][..], "TLSv1.3"), (&[&rustls::version::TLS12], "TLSv1.2")]
    {
        let server = server(versions, answer);
        let flags = server.flags("-c 4 -n 200 --pipeline 2");
        let (code, result) = measure("https://localhost/", &flags);
        assert_eq!((code, number(&result["total"], "done")), (0, 200), "{result}");
        let tls = &result["connections"]["tls"];
        assert_eq!(number(&tls["full"], "count") + number(&tls["resumed"], "count"), 4, "{tls}");
        assert!(tls["suites"].as_object().unwrap().keys().all(|suite| suite.starts_with(version)), "{tls}");
        assert_eq!(result["plan"]["protocol"], "http/1.1 over TLS");
        let (_, result) = measure("https://localhost/", &server.flags("-c 4 -R 200 -d 1s"));
        assert_eq!(number(&result["total"], "done"), 200, "{result}");
    }
}

#[test]
fn connections_go_on_from_earlier_ones_unless_told_otherwise() {
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let server = server(versions, answer);
        let handshakes = |more: &str| {
            let flags = server.flags(&format!("-c 1 -n 40 --new-conn {more}"));
            let (code, result) = measure("https://localhost/", &flags);
            assert_eq!((code, number(&result["total"], "done")), (0, 40), "{result}");
            let tls = &result["connections"]["tls"];
            let counts = (number(&tls["full"], "count"), number(&tls["resumed"], "count"));
            assert_eq!(counts.0 + counts.1, number(&result["connections"], "opened"), "{tls}");
            counts
        };
        assert_eq!(handshakes("").0, 1, "the first is a full one");
        assert_eq!(handshakes("--no-resume").1, 0);
    }
}

#[test]
fn certificates_are_believed_as_told() {
    let server = server(BOTH, answer);
    let address = format!("--connect-to {} -n 4 -c 2", server.addr);
    let (code, told) = refusal("https://localhost/", &address);
    assert!(code == 5 && told.contains("UnknownIssuer") && told.contains("--ca FILE"), "{told}");
    let (code, told) = refusal("https://other.example/", &server.flags("-n 4 -c 2"));
    assert!(code == 5 && told.contains("other.example"), "{told}");
    let (code, result) = measure("https://other.example/", &format!("{address} --insecure"));
    assert_eq!((code, number(&result["total"], "done")), (0, 4));
    let (code, told) = refusal("https://localhost/", &server.flags("-n 4 --proto h2"));
    assert!(code == 5 && told.contains("--proto"), "{told}");
}

#[test]
fn what_is_no_tls_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let (code, told) = refusal(&url, "-n 4 --insecure");
    assert!(code == 5 && told.contains("does it speak TLS there?"), "{told}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let (code, told) = refusal(&url, "-n 4 -c 2 --insecure --connect-timeout 200ms");
    assert!(code == 5 && told.contains("took too long"), "{told}");
}

/// Breaks the protection of its records after the first answer.
fn corrupt(mut stream: Tls) {
    let mut piece = [0; 4096];
    if matches!(stream.read(&mut piece), Ok(1..))
        && stream.write_all(OK).is_ok()
        && matches!(stream.read(&mut piece), Ok(1..))
    {
        let record = [&[23, 3, 3, 0, 32][..], &[7; 32]].concat();
        let _ = stream.sock.write_all(&record);
    }
}

/// Ends the stream without saying so, where that is what ends the answer.
fn truncate(mut stream: Tls) {
    if matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf of it");
    }
}

/// What a handshake takes is a part of what a user waits for, also in a closed loop.
#[test]
fn a_new_connection_for_each_request_counts_with_its_handshake() {
    let slowly = |stream| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        answer(stream);
    };
    let (code, result) = measure("https://localhost/", &server(BOTH, slowly).flags("-c 1 -n 40 --new-conn"));
    let total = &result["total"];
    assert_eq!((code, number(total, "done")), (0, 40), "{result}");
    // The first connection stands before the run.
    assert!(number(&total["response"], "p50_ns") >= 50_000_000, "{total}");
}

#[test]
fn broken_records_and_cut_streams_are_errors_by_kind() {
    let (_, result) = measure("https://localhost/", &server(BOTH, corrupt).flags("-c 1 -n 40"));
    let total = &result["total"];
    assert_eq!((number(total, "done"), number(&total["errors_by_kind"], "tls")), (20, 20), "{total}");
    let (_, result) = measure("https://localhost/", &server(BOTH, truncate).flags("-c 1 -n 20"));
    let total = &result["total"];
    assert_eq!((number(total, "done"), number(&total["errors_by_kind"], "read")), (0, 20), "{total}");
}
