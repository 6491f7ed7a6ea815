//! Endpoints behind rustls' own server, which record what the handshakes were about.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::certs::Certs;
use crate::common::PATIENCE;

/// One handshake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Greeting {
    pub(crate) server_name: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) has_certificate: bool,
    pub(crate) is_resumed: bool,
}

pub(crate) type Secured = StreamOwned<ServerConnection, TcpStream>;

/// A server of threads.
pub(crate) struct SecureEndpoint {
    pub(crate) addr: SocketAddr,
    pub(crate) greetings: Arc<Mutex<Vec<Greeting>>>,
    stops: Arc<AtomicBool>,
}

/// What it asks of its clients.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    Nothing,
    Certificate,
}

pub(crate) fn config(certs: &Certs, name: &str, protocols: &[&str], asks: Asks) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certs.root()).unwrap();
    let verifier = match asks {
        Asks::Nothing => WebPkiClientVerifier::no_client_auth(),
        Asks::Certificate => {
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap()
        }
    };
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.unwrap().with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(certs.chain(name), certs.key(name)).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

impl SecureEndpoint {
    /// `script` gets each connection after its handshake.
    pub(crate) fn new(config: ServerConfig, script: impl Fn(&mut Secured) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (greetings, stops) = (Arc::<Mutex<Vec<Greeting>>>::default(), Arc::new(AtomicBool::new(false)));
        let (script, config) = (Arc::new(script), Arc::new(config));
        let (seen, stop) = (greetings.clone(), stops.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (script, config, seen) = (script.clone(), config.clone(), seen.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let connection = ServerConnection::new(config).unwrap();
                    let mut secured = StreamOwned::new(connection, stream);
                    while secured.conn.is_handshaking() {
                        if secured.conn.complete_io(&mut secured.sock).is_err() {
                            return;
                        }
                    }
                    let connection = &secured.conn;
                    seen.lock().unwrap().push(Greeting {
                        server_name: connection.server_name().map(str::to_owned),
                        protocol: connection.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
                        has_certificate: connection.peer_certificates().is_some(),
                        is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
                    });
                    script(&mut secured);
                });
            }
        });
        Self { addr, greetings, stops }
    }

    pub(crate) fn greetings(&self) -> Vec<Greeting> {
        self.greetings.lock().unwrap().clone()
    }
}

impl Drop for SecureEndpoint {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
    }
}

/// Answers GETs of HTTP/1.1 with `ok`, and closes after as many.
pub(crate) fn answers(count: usize) -> impl Fn(&mut Secured) {
    move |stream| {
        let mut input = Vec::new();
        for _ in 0..count {
            while !input.windows(4).any(|window| window == b"\r\n\r\n") {
                let mut buffer = [0; 4096];
                let Ok(length @ 1..) = stream.read(&mut buffer) else { return };
                input.extend_from_slice(&buffer[..length]);
            }
            input.clear();
            stream.write_all(crate::lab::OK.as_bytes()).unwrap();
            stream.flush().unwrap();
        }
    }
}
