//! Input that is not TLS, or incomplete: plain HTTP, garbage, silence, truncation; what handlers see.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use quoit::net::Address;
use quoit::net::tls::{AlternativeName, CertificateFiles, ClientAuth, ClientCertificate, ClientTrust};
use quoit::net::tls::{TlsOptions, TlsServer};
use quoit::server::Limits;
use quoit::service::{Request, Response};
use quoit::{Running, Server};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::lab::*;
use crate::wait::until;

#[test]
fn plain_http_gets_an_answer_that_says_what_is_wrong() {
    let lab = Lab::new();
    let server = lab.serve(&[]);
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\n"]
    {
        let mut socket = TcpStream::connect(server.addr()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{request:?}: {answer}");
    }
}

/// RFC 5246 appendix E.1: a client that knows nothing newer than TLS 1.1 is told so, in a record it can read.
#[test]
fn a_client_of_an_old_version_gets_protocol_version() {
    let lab = Lab::new();
    let server = lab.serve(&[]);
    let alert_to = |version: u8, extensions: &[u8]| {
        let suites = [0, 4, 0xc0, 0x2f, 0, 0x2f];
        let body = [&[3, version][..], &[7; 32], &[0], &suites, &[1, 0], extensions].concat();
        let mut socket = TcpStream::connect(server.addr()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let (record, length) = (body.len() as u8 + 4, body.len() as u8);
        socket.write_all(&[22, 3, 1, 0, record, 1, 0, 0, length]).unwrap();
        socket.write_all(&body).unwrap();
        let mut alert = [0; 7];
        socket.read_exact(&mut alert).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(socket.read(&mut [0]).unwrap(), 0, "nothing behind it, and no reset");
        alert
    };
    for version in [0, 1, 2] {
        assert_eq!(alert_to(version, &[]), [21, 3, version, 0, 2, 2, 70]);
        assert_eq!(alert_to(version, &[0, 4, 0, 23, 0, 0]), [21, 3, version, 0, 2, 2, 70], "with extensions");
    }
    // Of TLS 1.2, which is known, something else is missing.
    assert_eq!(alert_to(3, &[])[5..], [2, 40]);
    // A list of versions counts instead of the field.
    assert_ne!(alert_to(2, &[0, 7, 0, 43, 0, 3, 2, 3, 4])[6], 70);
    assert_eq!(get(&mut connect(&lab.client(), server.addr()), "/").unwrap().0, 200);
}

#[test]
fn garbage_and_half_handshakes_disturb_nobody() {
    let lab = Lab::new();
    let server = lab.serve(&[]);
    let config = lab.client();
    let hello = client_hello(&config);
    let mut inputs: Vec<Vec<u8>> = vec![
        vec![0; 4096],
        vec![0xff; 4096],
        b"SSH-2.0-client\r\n".to_vec(),
        // A record that claims more than there may be, and one of no known kind.
        vec![22, 3, 1, 0xff, 0xff],
        vec![99, 3, 3, 0, 5, 1, 2, 3, 4, 5],
        // An alert, and data, before anything else.
        vec![21, 3, 3, 0, 2, 2, 40],
        vec![23, 3, 3, 0, 1, 0],
    ];
    inputs.extend((1..hello.len()).step_by(37).map(|end| hello[..end].to_vec()));
    inputs.extend((5..hello.len()).step_by(23).map(|at| {
        let mut changed = hello.clone();
        changed[at] ^= 0x55;
        changed
    }));
    let mut kept = connect(&config, server.addr());
    for input in &inputs {
        let mut socket = TcpStream::connect(server.addr()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(input).unwrap();
        let _ = socket.shutdown(std::net::Shutdown::Write);
        // A reset is an answer too.
        let _ = socket.read_to_end(&mut Vec::new());
        assert_eq!(get(&mut kept, "/").unwrap().0, 200);
    }
    let ended = server.stop();
    assert!(ended.stderr.contains(" 0 panics"), "{}", ended.stderr);
}

fn client_hello(config: &std::sync::Arc<ClientConfig>) -> Vec<u8> {
    let mut client = rustls::ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_end_of_a_connection_is_told() {
    let lab = Lab::new();
    let server = lab.serve(&[]);
    let mut stream = connect(&lab.client(), server.addr());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    // Without close_notify this would be an error: the response could have been cut.
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("<title>here</title>"), "{answer}");
}

/// The end of the handshake, a request and close_notify in one packet: who sends nothing more may still
/// listen (RFC 8446 §6.1).
#[test]
fn a_request_that_comes_with_the_end_of_input_is_answered() {
    let lab = Lab::new();
    let server = lab.serve(&[]);
    let mut stream = connect(&lab.client(), server.addr());
    while stream.conn.is_handshaking() {
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut stream.sock).unwrap();
        }
        stream.conn.read_tls(&mut stream.sock).unwrap();
        stream.conn.process_new_packets().unwrap();
    }
    assert!(stream.conn.wants_write(), "our Finished is still here");
    stream.conn.writer().write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    stream.conn.send_close_notify();
    let mut packet = Vec::new();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut packet).unwrap();
    }
    stream.sock.write_all(&packet).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("<title>here</title>"), "{answer}");
}

/// A server in this process with the lab's certificate.
fn hosted<S>(lab: &Lab, auth: ClientAuth, limits: Limits, service: S) -> (Running, SocketAddr)
where
    S: quoit::service::Service + Clone + Send + Sync,
{
    let certificates = vec![CertificateFiles::new(lab.path("a.pem"), lab.path("a.key"))];
    let options = TlsOptions { certificates, client_auth: auth, http2: false, ..TlsOptions::default() };
    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let server = Server::new().listen_tls(any, TlsServer::new(options).unwrap());
    let running = server.workers(1).limits(limits).quiet(true).start(move |_| service.clone()).unwrap();
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    (running, addr)
}

#[test]
fn handlers_know_the_client_by_its_certificate() {
    let lab = Lab::new();
    lab.issue_client("alice", 0x77);
    let trust = ClientTrust { authorities: lab.path("ca.pem"), crls: Vec::new() };
    let service = async |request: Request| {
        let info: Rc<_> = request.context().tls().expect("it is TLS");
        assert_eq!(info.server_name(), Some("localhost"));
        let Some(client) = ClientCertificate::of(info.peer_certificates()) else {
            return Response::text("nobody");
        };
        assert_eq!(client.names, [AlternativeName::Dns("client.test".to_owned())]);
        Response::text(format!("{} {} {}", client.subject, client.serial, info.is_resumed()))
    };
    let (running, addr) = hosted(&lab, ClientAuth::Optional(trust), Limits::default(), service);
    let said = |config: &std::sync::Arc<ClientConfig>| {
        let (status, body) = get(&mut connect(config, addr), "/").unwrap();
        assert_eq!(status, 200);
        String::from_utf8(body).unwrap()
    };
    assert_eq!(said(&lab.client()), "nobody");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(lab.path("ca.pem")).unwrap()).unwrap();
    let alice = ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(lab.path("alice.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(lab.path("alice.key")).unwrap(),
        )
        .unwrap()
        .into();
    assert_eq!(said(&alice), "CN=alice 77 false");
    assert_eq!(said(&alice), "CN=alice 77 true", "a resumed session knows its client");
    running.stop().unwrap();
}

/// RFC 8737 §3: whatever a validator sends after its handshake, it gets no response.
#[test]
fn a_connection_for_a_challenge_carries_nothing_else() {
    let lab = Lab::new();
    let (running, addr) = challenged(&lab, ClientAuth::Off);
    let mut config = ClientConfig::clone(&lab.client());
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let mut stream = connect(&config.into(), addr);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("close_notify");
    assert_eq!((answer, stream.conn.alpn_protocol()), (Vec::new(), Some(&b"acme-tls/1"[..])));
    let totals = running.stop().unwrap();
    assert_eq!((totals.requests, totals.handshakes_failed, totals.panics), (0, 0, 0));
}

/// A validator needs no certificate: a validator in its first ClientHello must be one in the second.
#[test]
fn a_second_hello_without_the_challenges_protocol_is_refused() {
    let lab = Lab::new();
    let trust = ClientTrust { authorities: lab.path("ca.pem"), crls: Vec::new() };
    let (running, addr) = challenged(&lab, ClientAuth::Required(trust));
    // The first has the key share, and is none of the server's.
    let kx_groups = vec![kx_group::MLKEM768, kx_group::X25519];
    let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let mut stream = connect(&config.into(), addr);
    stream.conn.write_tls(&mut stream.sock).unwrap();
    while !stream.conn.wants_write() {
        assert!(stream.conn.read_tls(&mut stream.sock).unwrap() > 0, "a HelloRetryRequest");
        stream.conn.process_new_packets().unwrap();
    }
    let mut second = Vec::new();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut second).unwrap();
    }
    // ALPN becomes an unknown extension.
    let alpn = b"\x00\x10\x00\x0d\x00\x0b\x0aacme-tls/1";
    let at = second.windows(alpn.len()).position(|part| part == alpn).expect("ALPN is offered again");
    second[at] = 0xfa;
    stream.sock.write_all(&second).unwrap();
    stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.sock.read_to_end(&mut answer);
    // The record that changes the cipher may still come first.
    let answer = answer.strip_prefix(&[20, 3, 3, 0, 1, 1]).unwrap_or(&answer);
    assert_eq!(answer.first(), Some(&21), "an alert and no ServerHello: {answer:?}");
    let totals = running.stop().unwrap();
    assert_eq!((totals.requests, totals.handshakes_failed, totals.panics), (0, 1, 0));
}

/// A server that answers a challenge for `localhost`.
fn challenged(lab: &Lab, client_auth: ClientAuth) -> (Running, SocketAddr) {
    let certificates = vec![CertificateFiles::new(lab.path("a.pem"), lab.path("a.key"))];
    let options = TlsOptions { certificates, client_auth, acme_tls_alpn: true, ..TlsOptions::default() };
    let tls = TlsServer::new(options).unwrap();
    let key = PrivateKeyDer::from_pem_file(lab.path("a.key")).unwrap();
    let chain = vec![CertificateDer::from_pem_file(lab.path("a.pem")).unwrap()];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let challenge = rustls::sign::CertifiedKey::from_der(chain, key, &provider).unwrap();
    tls.challenges().put_certificate("localhost", challenge.into());
    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let server = Server::new().listen_tls(any, tls).workers(1).quiet(true);
    let running = server.start(|_| async |_request: Request| Response::text("served")).unwrap();
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    (running, addr)
}

#[test]
fn a_cut_upload_is_no_whole_one() {
    let lab = Lab::new();
    let (seen, outcome) = std::sync::mpsc::channel();
    let service = move |request: Request| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            let whole = body.read_all(1000).await.is_ok();
            let _ = seen.send(whole);
            Response::text("read")
        }
    };
    let (running, addr) = hosted(&lab, ClientAuth::Off, Limits::default(), service);
    let config = lab.client();
    for framing in ["Content-Length: 6", "Transfer-Encoding: chunked"] {
        for polite in [true, false] {
            let mut stream = connect(&config, addr);
            let part = if framing.ends_with("chunked") { "5\r\nwhole\r\n" } else { "whole" };
            write!(stream, "POST / HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{part}").unwrap();
            stream.flush().unwrap();
            if polite {
                stream.conn.send_close_notify();
                stream.conn.write_tls(&mut stream.sock).unwrap();
            }
            stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(outcome.recv_timeout(PATIENCE), Ok(false), "{framing}, close_notify: {polite}");
        }
    }
    let mut stream = connect(&config, addr);
    write!(stream, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nwhole").unwrap();
    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(true));
    running.stop().unwrap();
}

/// A close_notify ends the client's direction whether a FIN follows it or not.
#[test]
fn a_handler_ends_when_its_client_has_closed() {
    struct DropSignal(std::sync::mpsc::Sender<()>);
    impl Drop for DropSignal {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let lab = Lab::new();
    let (sender, dropped) = std::sync::mpsc::channel();
    let service = move |request: Request| {
        let signal = DropSignal(sender.clone());
        async move {
            if request.head().path() == "/wait" {
                std::future::pending::<()>().await;
            }
            std::mem::forget(signal);
            Response::text("served")
        }
    };
    let (running, addr) = hosted(&lab, ClientAuth::Off, Limits::default(), service);
    let config = lab.client();
    for warm in [false, true] {
        for (notify, fin, behind) in [
            (true, false, ""),
            (false, true, ""),
            (true, true, ""),
            (true, true, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ] {
            let mut stream = connect(&config, addr);
            if warm {
                assert_eq!(get(&mut stream, "/").unwrap().1, b"served");
            }
            write!(stream, "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n{behind}").unwrap();
            stream.flush().unwrap();
            assert!(dropped.recv_timeout(Duration::from_millis(100)).is_err(), "it waits");
            let began = Instant::now();
            if notify {
                stream.conn.send_close_notify();
                stream.conn.write_tls(&mut stream.sock).unwrap();
            }
            if fin {
                stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
            }
            dropped.recv_timeout(PATIENCE).expect("the handler is dropped");
            assert!(began.elapsed() < Duration::from_millis(1800), "{:?}", began.elapsed());
        }
    }
    running.stop().unwrap();
}

#[test]
fn handshakes_end_in_time_and_are_bounded() {
    // Long enough for two connections and a third on a loaded machine.
    const TIMEOUT: Duration = Duration::from_millis(2000);
    let lab = Lab::new();
    let limits = Limits { handshake_timeout: TIMEOUT, handshakes_max: 2, ..Limits::default() };
    let service = async |_request: Request| Response::text("served");
    let (running, addr) = hosted(&lab, ClientAuth::Off, limits, service);
    let hello = client_hello(&lab.client());
    let begin = |part: &[u8]| {
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(part).unwrap();
        socket
    };
    let began = Instant::now();
    let mut slow = [begin(&hello[..10]), begin(&hello[..10])];
    until("both are there", || (running.totals().totals.accepted == 2).then_some(()));
    // Both places are taken; the first, which has waited longest, makes room for a third.
    assert_eq!(get(&mut connect(&lab.client(), addr), "/").unwrap().1, b"served");
    let _ = slow[0].read_to_end(&mut Vec::new());
    assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
    let _ = slow[1].read_to_end(&mut Vec::new());
    // Deadlines are kept in ticks of 16 ms.
    assert!(began.elapsed() >= TIMEOUT - Duration::from_millis(16), "{:?}", began.elapsed());
    assert_eq!(get(&mut connect(&lab.client(), addr), "/").unwrap().1, b"served");
    let totals = running.stop().unwrap();
    assert_eq!((totals.requests, totals.over_capacity, totals.panics), (2, 0, 0));
}

/// RFC 8446 §5.1: a message may come in several records, and what it asks for is the same.
#[test]
fn the_records_of_a_hello_do_not_choose_the_cipher() {
    const HEADER_BYTES: usize = 5;
    let lab = Lab::new();
    let service = async |_request: Request| Response::text("served");
    let (running, addr) = hosted(&lab, ClientAuth::Off, Limits::default(), service);
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| !format!("{:?}", suite.suite()).contains("CHACHA20"));
    let config: std::sync::Arc<_> = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
        .into();
    let hello = client_hello(&config);
    let message = &hello[HEADER_BYTES..];
    let record = |part: &[u8]| [&[22, 3, 1], &(part.len() as u16).to_be_bytes()[..], part].concat();
    // Every cut is tested where the records are read; a handshake for each would load the machine.
    let cuts = (1..message.len()).filter(|at| *at < 50 || at % 37 == 0);
    let cuts = cuts.map(|at| [&message[..at], &message[at..]].map(record).concat());
    let by_byte = message.chunks(1).flat_map(record).collect::<Vec<u8>>();
    for input in cuts.chain([hello.clone(), by_byte]) {
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&input).unwrap();
        // Header, type and length, version, random, then the session that the client has named.
        let mut answer = [0; HEADER_BYTES + 4 + 2 + 32 + 1 + 32 + 2];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!((answer[0], answer[HEADER_BYTES]), (22, 2), "a ServerHello");
        assert_eq!(answer[answer.len() - 2..], [0x13, 0x03], "the cipher that the client prefers");
    }
    running.stop().unwrap();
}

/// A handler that is made without a plan knows the server's keys all the same.
#[test]
fn a_key_below_a_root_is_served_by_no_handler() {
    let lab = Lab::new();
    let certificates = vec![CertificateFiles::new(lab.path("a.pem"), lab.path("a.key"))];
    let tls = TlsServer::new(TlsOptions { certificates, ..TlsOptions::default() }).unwrap();
    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let root = lab.path("");
    let running = Server::new().listen_tls(any, tls).workers(1).quiet(true);
    let running = running.start(move |core| {
        quoit::handler::Files::new(core.ring.clone(), &root, Default::default()).expect("it opens")
    });
    let running = running.unwrap();
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    let mut client = connect(&lab.client(), addr);
    assert_eq!(get(&mut client, "/a.pem").unwrap().0, 200);
    assert_eq!(get(&mut client, "/a.key").unwrap().0, 404);
    running.stop().unwrap();
}
