//! TLS streams on the ring against rustls' own, buffered connections over blocking sockets: every cipher of
//! both versions, both roles, records cut anywhere, key updates, alerts, and streams that are cut or forged.

#[path = "stream/early_data.rs"]
mod early_data;
#[path = "stream/lane.rs"]
mod lane;
#[path = "stream/misdeeds.rs"]
mod misdeeds;
#[path = "stream/raw.rs"]
mod raw;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use quoit::harness::on_core;
use quoit::net::Stream;
use quoit::net::tls::{HandshakeError, RecordError};
use quoit::ring::{Payload, Ring};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedCipherSuite,
};

const PATIENCE: Duration = Duration::from_secs(10);

struct Pair {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// Configurations for one cipher.
fn pair(suite: SupportedCipherSuite) -> Pair {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() });
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[suite.version()])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.enable_secret_extraction = true;
    server.ticketer = aws_lc_rs::Ticketer::new().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[suite.version()])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    Pair { server: Arc::new(server), client: Arc::new(client) }
}

fn suites() -> Vec<SupportedCipherSuite> {
    aws_lc_rs::ALL_CIPHER_SUITES
        .iter()
        .copied()
        .filter(|suite| !format!("{:?}", suite.suite()).contains("RSA"))
        .collect()
}

fn any_13() -> SupportedCipherSuite {
    aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256
}

fn any_12() -> SupportedCipherSuite {
    aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

fn name(suite: SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite())
}

/// A connected pair of sockets: ours, and the peer's.
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    peer.set_nodelay(true).unwrap();
    (ours, peer)
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * 7 + index / 251) as u8).collect()
}

async fn accept(ring: &Ring, socket: TcpStream, pair: &Pair) -> Result<Stream, HandshakeError> {
    let socket = ring.adopt(socket.into());
    socket.set_deadline(Some(PATIENCE));
    Stream::accept_with(socket, pair.server.clone()).await
}

/// Sends back what comes, until the end; what ended it.
async fn echo(stream: &Stream) -> io::Result<usize> {
    let mut count = 0;
    while let Some(input) = stream.recv().await? {
        count += input.len();
        stream.flush().await?;
        stream.start_send(Payload::Shared(Bytes::copy_from_slice(&input)));
    }
    stream.close_write().await?;
    Ok(count)
}

/// Runs the server's half on a core and `peer` as the client on this thread.
fn against_client<T: Send + 'static>(
    suite: SupportedCipherSuite,
    serve: impl AsyncFnOnce(Stream) -> T + Send + 'static,
    peer: impl FnOnce(StreamOwned<ClientConnection, TcpStream>),
) -> T {
    let pair = pair(suite);
    let (ours, theirs) = sockets();
    let connection = ClientConnection::new(pair.client.clone(), localhost()).unwrap();
    let server = thread::spawn(move || {
        on_core(async move |core| {
            let stream = accept(&core.ring, ours, &pair).await.expect("a sound handshake");
            serve(stream).await
        })
    });
    peer(StreamOwned::new(connection, theirs));
    server.join().unwrap()
}

#[test]
fn every_cipher_echoes_in_both_roles() {
    let suites = suites();
    assert!(suites.len() >= 6, "{suites:?}");
    for suite in suites {
        let data = bytes(300_000);
        let sent = data.clone();
        let echoed = against_client(
            suite,
            async |stream| {
                let info = stream.tls().expect("it is TLS");
                assert_eq!(info.server_name(), Some("localhost"));
                echo(&stream).await
            },
            move |mut client| {
                let mut back = vec![0; sent.len()];
                // In step, so that neither side waits for the other's full socket.
                for (sent, back) in sent.chunks(40_000).zip(back.chunks_mut(40_000)) {
                    client.write_all(sent).unwrap();
                    client.read_exact(back).unwrap();
                }
                assert_eq!(back, sent, "{}", name(suite));
                client.conn.send_close_notify();
                client.flush().unwrap();
                assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "close_notify came back");
            },
        );
        assert_eq!(echoed.unwrap(), data.len(), "{}", name(suite));
        assert_eq!(as_client(suite, &data), data, "{}", name(suite));
    }
}

/// What a blocking server echoes when the ring's side is the client.
fn as_client(suite: SupportedCipherSuite, data: &[u8]) -> Vec<u8> {
    let pair = pair(suite);
    let (ours, theirs) = sockets();
    let connection = ServerConnection::new(pair.server.clone()).unwrap();
    let server = thread::spawn(move || {
        let mut server = StreamOwned::new(connection, theirs);
        let mut piece = vec![0; 50_000];
        loop {
            match server.read(&mut piece).unwrap() {
                0 => break,
                read => server.write_all(&piece[..read]).unwrap(),
            }
        }
        server.conn.send_close_notify();
        server.flush().unwrap();
    });
    let data = data.to_vec();
    let back = on_core(async move |core| {
        let socket = core.ring.adopt(ours.into());
        socket.set_deadline(Some(PATIENCE));
        let stream = Stream::connect(socket, pair.client.clone(), localhost()).await.expect("sound");
        let mut back = Vec::new();
        for chunk in data.chunks(40_000) {
            stream.flush().await.unwrap();
            stream.start_send(Payload::Gather(chunk[..1].to_vec(), Bytes::copy_from_slice(&chunk[1..])));
            let want = back.len() + chunk.len();
            while back.len() < want {
                back.extend_from_slice(&stream.recv().await.unwrap().expect("more comes"));
            }
        }
        stream.close_write().await.unwrap();
        assert!(stream.recv().await.unwrap().is_none(), "close_notify came back");
        back
    });
    server.join().unwrap();
    back
}

#[test]
fn a_large_payload_leaves_in_pieces_while_the_stream_waits_for_input() {
    let data = bytes(3_000_000);
    let payload = Bytes::from(data.clone());
    against_client(
        any_13(),
        async move |stream| {
            stream.start_send(Payload::Shared(payload));
            // No flush: waiting for input must drive it.
            let end = stream.recv().await;
            assert!(matches!(end, Ok(None)), "{end:?}");
        },
        move |mut client| {
            let mut back = vec![0; data.len()];
            client.read_exact(&mut back).unwrap();
            assert_eq!(back, data);
            client.conn.send_close_notify();
            client.flush().unwrap();
        },
    );
}

#[test]
fn the_last_send_ends_with_close_notify() {
    for size in [0, 100, 20_000, 500_000] {
        let data = bytes(size);
        let payload = data.clone();
        against_client(
            any_12(),
            async move |stream| {
                stream.flush().await.unwrap();
                stream.start_last_send(Payload::Buffer(payload));
                stream.flush().await
            },
            move |mut client| {
                let mut back = Vec::new();
                // An error if the stream ended without close_notify.
                client.read_to_end(&mut back).unwrap_or_else(|error| panic!("{size} bytes: {error}"));
                assert_eq!(back, data);
            },
        )
        .unwrap();
    }
}

/// Passes what comes from `from` on to `to` in pieces of `size` bytes.
fn relay(mut from: TcpStream, mut to: TcpStream, size: usize) {
    let mut piece = vec![0; size];
    while let Ok(read) = from.read(&mut piece) {
        if read == 0 || to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn records_may_come_in_pieces_of_any_size() {
    for (suite, size) in [(any_13(), 1), (any_12(), 1), (any_13(), 7), (any_13(), 16_385), (any_12(), 33)] {
        let pair = pair(suite);
        let (ours, far) = sockets();
        let (near, theirs) = sockets();
        far.set_read_timeout(None).unwrap();
        let relays = [(near.try_clone().unwrap(), far.try_clone().unwrap(), size), (far, near, 65_536)]
            .map(|(from, to, size)| thread::spawn(move || relay(from, to, size)));
        let connection = ClientConnection::new(pair.client.clone(), localhost()).unwrap();
        let server = thread::spawn(move || {
            on_core(async move |core| echo(&accept(&core.ring, ours, &pair).await.expect("sound")).await)
        });
        let mut client = StreamOwned::new(connection, theirs);
        let data = bytes(if size == 1 { 5_000 } else { 60_000 });
        client.write_all(&data).unwrap();
        let mut back = vec![0; data.len()];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, data, "in pieces of {size}");
        client.conn.send_close_notify();
        client.flush().unwrap();
        assert_eq!(server.join().unwrap().unwrap(), data.len());
        drop(client);
        relays.into_iter().for_each(|relay| relay.join().unwrap());
    }
}

#[test]
fn keys_are_updated_when_the_peer_asks() {
    against_client(
        any_13(),
        async |stream| echo(&stream).await,
        |mut client| {
            let mut back = [0; 5];
            for round in 0..4 {
                client.write_all(b"hello").unwrap();
                client.read_exact(&mut back).unwrap();
                assert_eq!(&back, b"hello", "round {round}");
                client.conn.refresh_traffic_keys().unwrap();
            }
            client.conn.send_close_notify();
            client.flush().unwrap();
        },
    )
    .unwrap();
}

#[test]
fn a_flood_of_key_updates_ends_the_connection() {
    let ended = against_client(
        any_13(),
        async |stream| {
            let ended = echo(&stream).await;
            let _ = stream.flush().await;
            ended
        },
        |mut client| {
            client.write_all(b"x").unwrap();
            client.read_exact(&mut [0; 1]).unwrap();
            for _ in 0..200 {
                client.conn.refresh_traffic_keys().unwrap();
                if client.conn.write_tls(&mut client.sock).is_err() {
                    break;
                }
            }
            // What of the flood was not read may reset the alert away.
            assert!(client.read(&mut [0; 1]).is_err());
        },
    );
    let error = ended.unwrap_err();
    let why = error.get_ref().and_then(|error| error.downcast_ref::<RecordError>());
    assert_eq!(why, Some(&RecordError::TooManyWithoutData), "{error}");
}

#[test]
fn a_stream_that_is_cut_is_not_one_that_ended() {
    for suite in [any_13(), any_12()] {
        let ended = against_client(
            suite,
            async |stream| echo(&stream).await,
            |mut client| {
                client.write_all(b"half a mess").unwrap();
                client.read_exact(&mut [0; 11]).unwrap();
                client.sock.shutdown(Shutdown::Write).unwrap();
                let _ = client.sock.read(&mut [0; 1]);
            },
        );
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn forged_records_are_refused_with_the_alert_for_that() {
    let forged: [&[u8]; 4] = [
        &[
            23, 3, 3, 0, 40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
            23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
        ],
        &[23, 3, 3, 0, 0],
        &[23, 3, 3, 0xff, 0xff],
        &[99, 3, 3, 0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
    ];
    for suite in [any_13(), any_12()] {
        for (record, alerts) in forged.iter().zip([
            ["BadRecordMac"; 2],
            ["BadRecordMac"; 2],
            ["DecodeError", "Overflow"],
            ["UnexpectedMessage", "BadRecordMac"],
        ]) {
            let ended = against_client(
                suite,
                async |stream| {
                    let ended = echo(&stream).await;
                    let _ = stream.flush().await;
                    ended
                },
                |mut client| {
                    client.write_all(b"sound").unwrap();
                    client.read_exact(&mut [0; 5]).unwrap();
                    client.sock.write_all(record).unwrap();
                    let told = client.read(&mut [0; 1]).unwrap_err().to_string();
                    assert!(alerts.iter().any(|alert| told.contains(alert)), "{record:?}: {told}");
                },
            );
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}

#[test]
fn handshakes_that_fail_say_why() {
    // A client that trusts another CA.
    let (ours, theirs) = sockets();
    let server = thread::spawn(move || {
        on_core(async move |core| {
            accept(&core.ring, ours, &pair(any_13())).await.err().map(|e| e.to_string())
        })
    });
    let connection = ClientConnection::new(pair(any_13()).client, localhost()).unwrap();
    let mut client = StreamOwned::new(connection, theirs);
    assert!(client.write_all(b"x").is_err());
    let _ = client.flush();
    let told = server.join().unwrap().expect("it failed");
    assert!(told.contains("received fatal alert"), "{told}");

    // No version in common: the client receives the alert.
    let (ours, theirs) = sockets();
    let server = thread::spawn(move || {
        on_core(async move |core| accept(&core.ring, ours, &pair(any_13())).await.is_err())
    });
    let connection = ClientConnection::new(pair(any_12()).client, localhost()).unwrap();
    let told = StreamOwned::new(connection, theirs).read(&mut [0; 1]).unwrap_err().to_string();
    assert!(told.contains("ProtocolVersion"), "{told}");
    assert!(server.join().unwrap());

    // HTTP without TLS.
    let (ours, mut theirs) = sockets();
    let server = thread::spawn(move || {
        on_core(async move |core| {
            matches!(accept(&core.ring, ours, &pair(any_13())).await, Err(HandshakeError::PlainHttp(_)))
        })
    });
    theirs.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(server.join().unwrap());

    // Neither side sends.
    let (ours, theirs) = sockets();
    let silent = on_core(async move |core| {
        let socket = core.ring.adopt(ours.into());
        socket.set_deadline(Some(Duration::from_millis(50)));
        matches!(Stream::accept_with(socket, pair(any_13()).server).await, Err(HandshakeError::TimedOut))
    });
    assert!(silent);
    drop(theirs);
}

#[test]
fn data_behind_the_handshake_is_not_lost() {
    // Everything the client sends after the server's flight, the request with it, in one write.
    let received = against_client(
        any_13(),
        async |stream| stream.recv().await.unwrap().expect("the request").to_vec(),
        |mut client| {
            let StreamOwned { conn, sock, .. } = &mut client;
            conn.writer().write_all(b"GET / at once").unwrap();
            while conn.is_handshaking() {
                if conn.wants_write() && !conn.wants_read() {
                    conn.write_tls(sock).unwrap();
                }
                conn.write_tls(sock).unwrap();
                conn.read_tls(sock).unwrap();
                conn.process_new_packets().unwrap();
            }
            let mut flight = Vec::new();
            while conn.wants_write() {
                conn.write_tls(&mut flight).unwrap();
            }
            sock.write_all(&flight).unwrap();
            // Its end is not to be seen before the request.
            let _ = sock.read_to_end(&mut Vec::new());
        },
    );
    assert_eq!(received, b"GET / at once");
}
