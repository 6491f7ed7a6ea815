//! What a client that is slow makes the server hold.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use quoit::handler::{Files, FilesOptions};
use quoit::net::Address;
use quoit::net::tls::{CertificateFiles, TlsOptions, TlsServer};
use quoit::server::Limits;
use quoit::service::{Request, Response, Service as _};
use quoit::{Running, Server};
use rustls::ClientConfig;
use socket2::SockRef;

use crate::lab::*;

const READERS: usize = 30;
const ROUNDS: usize = 40;

/// Two records.
const HELD_MAX: usize = 33 * 1024;

/// A server of the site, and of `/held`: the bytes that the core holds for sends in progress.
fn hosted(lab: &Lab, limits: Limits) -> (Running, SocketAddr) {
    let certificates = vec![CertificateFiles::new(lab.path("a.pem"), lab.path("a.key"))];
    let tls = TlsServer::new(TlsOptions { certificates, ..TlsOptions::default() }).unwrap();
    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let server = Server::new().listen_tls(any, tls).workers(1).limits(limits).quiet(true);
    let site = lab.path("site");
    let running = server.start(move |core| {
        let ring = core.ring.clone();
        let files = Files::new(core.ring.clone(), &site, FilesOptions::default()).unwrap();
        let files = Rc::new(files);
        move |request: Request| {
            let (ring, files) = (ring.clone(), files.clone());
            async move {
                match request.head().path() {
                    "/held" => Response::text(ring.send_memory().to_string()),
                    _ => files.call(request).await,
                }
            }
        }
    });
    let running = running.unwrap();
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    (running, addr)
}

/// The preface, windows of 1 GiB for all streams, and for the connection.
const H2_BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\x06\x04\0\0\0\0\0\0\x04\x3f\xff\xff\xff\
    \0\0\x04\x08\0\0\0\0\0\x3f\xff\0\0";

fn with_h2(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.into()
}

fn held(config: &Arc<ClientConfig>, addr: SocketAddr) -> usize {
    let (_, body) = get(&mut connect(config, addr), "/held").unwrap();
    String::from_utf8(body).unwrap().parse().unwrap()
}

/// Connects with a small window, asks for `big` and reads its first byte.
fn slow_reader(config: &Arc<ClientConfig>, addr: SocketAddr) -> Connection {
    let mut stream = connect(config, addr);
    SockRef::from(&stream.sock).set_recv_buffer_size(128 * 1024).unwrap();
    if config.alpn_protocols.is_empty() {
        write!(stream, "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    } else {
        let get_big = b"\0\0\x13\x01\x05\0\0\0\x01\x82\x87\x04\x04/big\x01\x09localhost";
        stream.write_all(&[H2_BEGIN, get_big].concat()).unwrap();
    }
    stream.read_exact(&mut [0; 1]).unwrap();
    stream
}

/// Records that are sealed and that the socket does not take stay in memory until the client reads.
#[test]
fn a_slow_download_holds_a_record_or_two() {
    let lab = Lab::new();
    // More than sockets hold and the readers read.
    std::fs::File::options().write(true).open(lab.path("site/big")).unwrap().set_len(20 << 20).unwrap();
    let (running, addr) = hosted(&lab, Limits::default());
    let usual = lab.client();
    for config in [usual.clone(), with_h2(&usual)] {
        let mut readers: Vec<Connection> = (0..READERS).map(|_| slow_reader(&config, addr)).collect();
        let mut most = 0;
        for _ in 0..ROUNDS {
            most = most.max(held(&usual, addr));
            for reader in &mut readers {
                reader.read_exact(&mut [0; 32 * 1024]).unwrap();
            }
        }
        assert!(most <= READERS * HELD_MAX, "{} bytes for each of {READERS}", most / READERS);
    }
    running.stop().unwrap();
}

/// Who makes room for others has not been cut off: it gets GOAWAY and close_notify.
#[test]
fn a_dismissed_connection_ends_in_order() {
    let lab = Lab::new();
    let (running, addr) = hosted(&lab, Limits { connections_max: Some(1), ..Limits::default() });
    let config = lab.client();
    let mut idle = connect(&with_h2(&config), addr);
    idle.write_all(H2_BEGIN).unwrap();
    // Its SETTINGS, and that it has read ours: it waits for a request now.
    let settings_ack = b"\0\0\0\x04\x01\0\0\0\0";
    let mut read = Vec::new();
    while !read.ends_with(settings_ack) {
        let mut piece = [0; 1024];
        let count = idle.read(&mut piece).unwrap();
        assert!(count > 0, "the connection stays: {read:?}");
        read.extend_from_slice(&piece[..count]);
    }
    assert_eq!(get(&mut connect(&config, addr), "/").unwrap().0, 200, "there is room");
    read.clear();
    idle.read_to_end(&mut read).expect("close_notify");
    assert_eq!(read, b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", "GOAWAY, NO_ERROR, no request was processed");
    running.stop().unwrap();
}
