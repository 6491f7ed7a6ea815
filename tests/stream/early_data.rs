//! Early data (0-RTT) that a client sends with a ticket of another server of the same name: it is skipped,
//! and the connection is as good as any (RFC 8446 §4.2.10).

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::thread;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ProducesTickets, ServerSessionMemoryCache};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// Sessions are stored, because rustls allows early data with those alone.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _ticket: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// A client that has a session of another server, and may send this much early data with it.
fn client_with_session(pair: &Pair, early_data_max: u32) -> Arc<ClientConfig> {
    let mut other = ServerConfig::clone(&pair.server);
    other.max_early_data_size = early_data_max;
    other.session_storage = ServerSessionMemoryCache::new(32);
    other.ticketer = Arc::new(NoTickets);
    let mut client = ClientConfig::clone(&pair.client);
    client.enable_early_data = true;
    let client = Arc::new(client);
    let (ours, theirs) = sockets();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let other = thread::spawn(move || {
        let mut server = StreamOwned::new(ServerConnection::new(other.into()).unwrap(), ours);
        server.write_all(b"tickets").unwrap();
        server.conn.send_close_notify();
        server.flush().unwrap();
    });
    let mut first = StreamOwned::new(ClientConnection::new(client.clone(), localhost()).unwrap(), theirs);
    first.read_to_end(&mut Vec::new()).unwrap();
    other.join().unwrap();
    client
}

/// The early data that is sent in pieces of `size`, and the handshake that follows; then an echo.
fn echoes_behind(pair: Pair, client: Arc<ClientConfig>, count: usize, size: usize) -> Option<HandshakeKind> {
    let (ours, theirs) = sockets();
    let server = thread::spawn(move || {
        on_core(async move |core| match accept(&core.ring, ours, &pair).await {
            Ok(stream) => echo(&stream).await.map(Some).expect("sound records"),
            Err(_) => None,
        })
    });
    let mut client = StreamOwned::new(ClientConnection::new(client, localhost()).unwrap(), theirs);
    for _ in 0..count {
        let written = client.conn.early_data().expect("the ticket allows it").write(&bytes(size)).unwrap();
        assert_eq!(written, size);
        client.conn.write_tls(&mut client.sock).unwrap();
    }
    let mut back = [0; 7];
    let answered = client.write_all(b"request").and_then(|()| client.read_exact(&mut back));
    let kind = client.conn.handshake_kind();
    if answered.is_ok() {
        assert!(&back == b"request" && !client.conn.is_early_data_accepted());
        client.conn.send_close_notify();
        client.flush().unwrap();
    }
    drop(client);
    let echoed = server.join().unwrap();
    assert_eq!(echoed, answered.is_ok().then_some(7), "{count} pieces of {size}");
    kind.filter(|_| answered.is_ok())
}

#[test]
fn early_data_is_skipped_however_it_is_cut() {
    for (count, size) in [(1, 1), (1, 16_384), (3, 16_384), (300, 20)] {
        let pair = pair(any_13());
        let client = client_with_session(&pair, 200_000);
        assert_eq!(echoes_behind(pair, client, count, size), Some(HandshakeKind::Full));
    }
}

#[test]
fn early_data_is_skipped_before_a_second_client_hello_too() {
    for (count, size) in [(1, 16_384), (100, 20)] {
        let Pair { server, client } = pair(any_13());
        let client = client_with_session(&Pair { server: server.clone(), client }, 200_000);
        // The client offers no share for this group at first.
        let provider = CryptoProvider {
            kx_groups: vec![aws_lc_rs::kx_group::SECP384R1],
            ..aws_lc_rs::default_provider()
        };
        let mut retrying = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(server.cert_resolver.clone());
        retrying.enable_secret_extraction = true;
        let pair = Pair { server: retrying.into(), client: client.clone() };
        let kind = echoes_behind(pair, client, count, size);
        assert_eq!(kind, Some(HandshakeKind::FullWithHelloRetryRequest));
    }
}

#[test]
fn what_is_skipped_is_bounded() {
    let pair = pair(any_13());
    let client = client_with_session(&pair, 1_000_000);
    assert_eq!(echoes_behind(pair, client, 9, 16_384), None);
}
