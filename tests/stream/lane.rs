//! The order of handshakes on a core: what is established is answered first.

use std::io::{ErrorKind, Read as _, Write as _};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use quoit::net::tls::{Lane, TlsOptions, TlsServer};
use quoit::ring::Waits;

use super::*;

/// Handshakes that wait for their first computation.
const HANDSHAKES: usize = 40;

/// One computes per turn of the ring: those of the turns in which the request is received and its response is
/// sent, and one that had its turn already.
const COMPUTED_MAX: usize = 5;

/// What handshakes in one row would hold up is a request that came after all of them.
#[test]
fn an_established_connection_does_not_wait_for_handshakes() {
    let pair = pair(any_13());
    let (ours, theirs) = sockets();
    let (begun, handshakes): (Vec<TcpStream>, Vec<TcpStream>) = (0..HANDSHAKES).map(|_| sockets()).unzip();
    let connection = ClientConnection::new(pair.client.clone(), localhost()).unwrap();
    // The core stands still while it waits for these, so that what the client sends is there at once.
    let (all_sent, when_all_sent) = mpsc::channel();
    let (counted, when_counted) = mpsc::channel();
    let (standing, when_standing) = mpsc::channel();
    let server = thread::spawn(move || {
        on_core(async move |core| {
            let stream = accept(&core.ring, ours, &pair).await.expect("a sound handshake");
            // All that came with the handshake.
            stream.start_send(Payload::Buffer(b"ready".to_vec()));
            stream.flush().await.unwrap();
            let options = TlsOptions { self_signed: vec!["localhost".to_owned()], ..TlsOptions::default() };
            let tls = TlsServer::new(options).unwrap();
            let lane = Rc::new(Lane::default());
            for socket in begun {
                let socket = core.ring.adopt(socket.into());
                socket.set_deadline(Some(PATIENCE));
                let (tls, lane) = (tls.clone(), lane.clone());
                let accepting = async move { drop(Stream::accept(socket, tls, &lane).await) };
                core.ring.spawn(accepting, |_| {});
            }
            // Every task has begun to receive.
            core.ring.next_turn().await;
            core.ring.next_turn().await;
            standing.send(()).unwrap();
            when_all_sent.recv().unwrap();
            let request = stream.recv().await.unwrap().expect("the request");
            stream.start_send(Payload::Shared(Bytes::copy_from_slice(&request)));
            stream.flush().await.unwrap();
            when_counted.recv().unwrap();
        });
    });
    let mut client = StreamOwned::new(connection, theirs);
    client.read_exact(&mut [0; 5]).unwrap();
    when_standing.recv().unwrap();
    let config = client_without_trust();
    for mut socket in &handshakes {
        let mut hello = ClientConnection::new(config.clone(), localhost()).unwrap();
        hello.write_tls(&mut socket).unwrap();
    }
    client.write_all(b"request").unwrap();
    all_sent.send(()).unwrap();
    client.read_exact(&mut [0; 7]).unwrap();
    let computed = handshakes.iter().filter(|socket| has_answer(socket)).count();
    counted.send(()).unwrap();
    assert!(computed <= COMPUTED_MAX, "{computed} of {HANDSHAKES} handshakes went before the request");
    drop(handshakes);
    server.join().unwrap();
}

/// A handshake that waits for this core is not its client's delay: those that wait for their clients make
/// room.
#[test]
fn a_handshake_that_waits_for_its_turn_is_not_dismissed() {
    let (begun, mut clients): (Vec<TcpStream>, Vec<TcpStream>) = (0..HANDSHAKES).map(|_| sockets()).unzip();
    let config = client_without_trust();
    for mut socket in &clients {
        let mut hello = ClientConnection::new(config.clone(), localhost()).unwrap();
        hello.write_tls(&mut socket).unwrap();
    }
    // These have left: nothing is computed for them.
    let left = clients.split_off(HANDSHAKES - 5);
    left.iter().for_each(|socket| socket.shutdown(Shutdown::Write).unwrap());
    on_core(async move |core| {
        let options = TlsOptions { self_signed: vec!["localhost".to_owned()], ..TlsOptions::default() };
        let tls = TlsServer::new(options).unwrap();
        let lane = Rc::new(Lane::default());
        for socket in begun {
            let socket = core.ring.adopt(socket.into());
            socket.set_deadline(Some(PATIENCE));
            socket.set_waits(Waits::Handshake);
            let (tls, lane) = (tls.clone(), lane.clone());
            let accepting = async move { drop(Stream::accept(socket, tls, &lane).await) };
            core.ring.spawn(accepting, |_| {});
        }
        // Every ClientHello is received.
        core.ring.next_turn().await;
        core.ring.next_turn().await;
        let dismissed = (0..HANDSHAKES).take_while(|_| core.ring.dismiss_waiting(Waits::Handshake)).count();
        assert!(dismissed <= COMPUTED_MAX, "{dismissed} of {HANDSHAKES} made room");
        for _ in 0..4 * HANDSHAKES {
            core.ring.next_turn().await;
        }
    });
    assert!(clients.iter().all(has_answer));
    assert!(!left.iter().any(has_answer), "computed for nobody");
}

fn client_without_trust() -> Arc<ClientConfig> {
    ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
        .into()
}

fn has_answer(mut socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    match socket.read(&mut [0; 1]) {
        Ok(read) => read > 0,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}
