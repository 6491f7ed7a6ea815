//! Connecting and listening by every kind of address, and datagrams.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use quoit::ring::{Payload, Ring, RingConfig, Socket, bound_addr, listen, listen_unix};

use crate::harness::*;

const LOCALHOSTS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Asks a blocking echo at the other end, and receives the end of the stream after it.
async fn converse(socket: Socket) {
    let question = pattern(1, 3000);
    socket.send(Payload::Buffer(question.clone())).await.expect("room");
    socket.flush().await.expect("room");
    socket.shutdown_write();
    recv_all(&socket, question).await;
}

fn echo_until_end(mut stream: impl Read + Write) {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an end");
    stream.write_all(&all).expect("room");
}

#[test]
fn connects_to_internet_addresses() {
    on_ring(RingConfig::default(), |ring| async move {
        let before = ring.usage();
        for ip in LOCALHOSTS {
            let listener = TcpListener::bind((ip, 0)).expect("a port");
            let addr = listener.local_addr().expect("bound");
            let server = peer(move || echo_until_end(listener.accept().expect("a connection").0));
            let socket = ring.connect(addr).await.expect("it listens");
            assert_eq!(socket.peer_addr(), Some(addr));
            assert_eq!(socket.local_addr().map(|addr| addr.ip()), Some(ip));
            converse(socket).await;
            server.join(&ring).await;
            // The listener is closed now.
            let error = ring.connect(addr).await.map(drop).expect_err("nobody listens");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        usage_back_to(&ring, before).await;
    });
}

#[test]
fn listens_on_internet_addresses() {
    on_ring(RingConfig::default(), |ring| async move {
        for ip in LOCALHOSTS {
            let fd = listen(SocketAddr::new(ip, 0)).expect("a port");
            let addr = bound_addr(&fd).expect("an internet address");
            let again = listen(addr).expect("shared with another core");
            drop(again);
            let listener = ring.accept_on(fd);
            let client = ring.connect(addr).await.expect("it listens");
            // TCP_DEFER_ACCEPT: handed over with the first bytes.
            client.send(Payload::Buffer(b"hello".to_vec())).await.expect("room");
            let accepted = listener.accept().await.expect("a connection");
            // A peer that vanishes is found.
            assert!(socket2::SockRef::from(&accepted).keepalive().expect("an option"));
            let server = ring.adopt(accepted);
            assert_eq!(server.peer_addr(), client.local_addr());
            assert_eq!(server.recv().await.expect("no error").as_deref(), Some(&b"hello"[..]));
            spawn(&ring, echo(server));
            converse(client).await;
        }
    });
}

#[test]
fn unix_paths_work_both_ways() {
    on_ring(RingConfig::default(), |ring| async move {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();

        let listener = UnixListener::bind(path("theirs")).expect("a path");
        let server = peer(move || echo_until_end(listener.accept().expect("a connection").0));
        let socket = ring.connect_unix(path("theirs").as_bytes()).await.expect("it listens");
        assert_eq!(socket.peer_addr(), None);
        converse(socket).await;
        server.join(&ring).await;

        let fd = listen_unix(path("ours").as_bytes()).expect("a path");
        assert_eq!(bound_addr(&fd), None);
        let listener = ring.accept_on(fd);
        let socket = ring.connect_unix(path("ours").as_bytes()).await.expect("it listens");
        spawn(&ring, echo(ring.adopt(listener.accept().await.expect("a connection"))));
        converse(socket).await;

        let taken = listen_unix(path("ours").as_bytes()).expect_err("the path exists");
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        for (bad, kind) in [
            (path("absent").into_bytes(), ErrorKind::NotFound),
            (vec![b'x'; 108], ErrorKind::InvalidInput),
            (b"a\0b".to_vec(), ErrorKind::InvalidInput),
            (Vec::new(), ErrorKind::InvalidInput),
        ] {
            let error = ring.connect_unix(&bad).await.map(drop).expect_err("no such socket");
            assert_eq!(error.kind(), kind, "{bad:?}");
        }
    });
}

/// Sockets from elsewhere may be O_NONBLOCK; in the ring they wait all the same.
#[test]
fn an_adopted_nonblocking_socket_waits() {
    on_ring(RingConfig::default(), |ring| async move {
        let (ours, theirs) = tcp_streams(Some(32 * 1024));
        ours.set_nonblocking(true).expect("an option");
        let socket = ring.adopt(ours.into());
        let server = peer(move || {
            let mut theirs = theirs;
            let mut got = vec![0; 1 << 20];
            std::thread::sleep(Duration::from_millis(20));
            theirs.write_all(b"go").expect("room");
            theirs.read_exact(&mut got).expect("all of it");
            assert!(got == pattern(2, 1 << 20));
        });
        let go = socket.recv().await;
        socket.send(Payload::Buffer(pattern(2, 1 << 20))).await.expect("room");
        let sent = socket.flush().await;
        assert_eq!((go.expect("no error").as_deref(), sent.is_ok()), (Some(&b"go"[..]), true));
        server.join(&ring).await;
        assert!(ring.stats().enters < 1000, "it spins: {:?}", ring.stats());
    });
}

#[test]
fn datagrams_are_echoed_and_cut() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let before = holdings(&ring);
        for ip in LOCALHOSTS {
            datagrams(&ring, ip).await;
        }
        back_to(&ring, before).await;
    });
}

async fn datagrams(ring: &Ring, ip: IpAddr) {
    let ours = ring.bind_datagram((ip, 0).into()).expect("a port");
    let addr = ours.local_addr().expect("bound");
    let theirs = UdpSocket::bind((ip, 0)).expect("a port");
    theirs.set_read_timeout(Some(PEER_PATIENCE)).expect("a timeout");
    let from = theirs.local_addr().expect("bound");
    let client = peer(move || {
        let mut answer = [0; 70_000];
        for n in [0, 1, 500, 1400, 9000, 60_000] {
            theirs.send_to(&pattern(n as u64, n), addr).expect("sent");
            let (len, sender) = theirs.recv_from(&mut answer).expect("an answer");
            assert_eq!(sender, addr);
            assert!(answer[..len] == pattern(n as u64, n)[..n.min(9000)], "{n}: {len} came back");
        }
    });
    for n in [0, 1, 500, 1400, 9000, 60_000] {
        // Dirty and of another capacity each time: only what was received may come out.
        let mut buffer = Vec::with_capacity(9000);
        buffer.extend_from_slice(b"old");
        let room = buffer.capacity();
        let (got, sender) = ours.recv_from(buffer).await.expect("a datagram");
        assert_eq!((got.len(), sender), (n.min(room), Some(from)));
        let back = ours.send_to(got, from).await.expect("sent");
        assert_eq!(back.capacity(), room, "the buffer comes back");
    }
    client.join(ring).await;
    // A refusal (ICMP) or an unreachable family is an error or nothing, never a hang.
    let gone = SocketAddr::new(ip, 9);
    let _ = ours.send_to(vec![1], gone).await;
}
