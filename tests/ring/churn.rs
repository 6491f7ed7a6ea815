//! Short connections by the thousand, closed by either side at any moment, with completions that come late:
//! no slot, descriptor or byte ends up at another connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;

use quoit::ring::{Listener, Payload, Ring, RingConfig, Socket, listen_unix, yield_now};

use crate::harness::*;

const CLIENTS: u64 = 10;
const CONNECTIONS: u64 = 20_000 / CLIENTS;

/// How a connection ends; the client draws it and sends it to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The server answers and drops at once, with a receive armed.
    ServerDrops,
    /// The server answers, and the close is linked to the answer.
    ServerLinksClose,
    /// The server waits for the client to end, which first reads everything.
    ClientCloses,
    /// The client goes away without reading: the server finds out, or does not.
    ClientVanishes,
    /// Both drop as soon as they have sent.
    Both,
}

const ENDS: [End; 5] =
    [End::ServerDrops, End::ServerLinksClose, End::ClientCloses, End::ClientVanishes, End::Both];

/// The request of connection `id`: its id, how it ends, and a tail of its own.
fn request(id: u64, end: usize) -> Vec<u8> {
    let tail = pattern(id ^ 0xaaaa, (id % 50) as usize);
    [&id.to_le_bytes()[..], &[end as u8, tail.len() as u8], &tail].concat()
}

fn answer(id: u64) -> Vec<u8> {
    pattern(id, 1 + (id % 300) as usize)
}

/// Reads one request and checks that every byte of it is this connection's.
async fn read_request(socket: &Socket) -> Option<(u64, End)> {
    let mut input = Vec::new();
    while input.len() < 10 || input.len() < 10 + input[9] as usize {
        let more = socket.recv().await.ok()??;
        input.extend_from_slice(&more);
    }
    let id = u64::from_le_bytes(input[..8].try_into().expect("eight bytes"));
    assert_eq!(input, request(id, input[8] as usize), "a byte of another connection");
    Some((id, ENDS[input[8] as usize]))
}

async fn serve(socket: Socket) {
    socket.set_multishot(true);
    // A plain receive for a third of them, chosen by what happens to be the descriptor.
    if format!("{socket:?}").len() % 3 == 0 {
        socket.set_multishot(false);
    }
    let Some((id, end)) = read_request(&socket).await else { return };
    match end {
        End::ServerDrops | End::ClientVanishes | End::Both => {
            let mut recv = Box::pin(socket.recv());
            assert!(!matches!(poll_once(recv.as_mut()).await, std::task::Poll::Ready(Ok(Some(_)))));
            socket.start_send(Payload::Buffer(answer(id)));
            for _ in 0..id % 3 {
                yield_now().await;
            }
        }
        End::ServerLinksClose => {
            socket.set_multishot(false);
            socket.start_last_send(Payload::Buffer(answer(id)));
            if id % 2 == 0 {
                let _ = socket.flush().await;
            }
        }
        End::ClientCloses => {
            socket.send(Payload::Buffer(answer(id))).await.expect("the client reads");
            assert!(!matches!(socket.recv().await, Ok(Some(_))), "a byte of another connection");
        }
    }
}

async fn accept(ring: Ring, listener: Rc<Listener>) {
    while let Ok(fd) = listener.accept().await {
        spawn(&ring, serve(ring.adopt(fd)));
    }
}

fn client(number: u64, connect: impl Fn() -> Box<dyn Stream>) {
    let mut rng = Rng(number + 1);
    for n in 0..CONNECTIONS {
        let id = number << 32 | n;
        let end = rng.below(ENDS.len() as u64) as usize;
        let mut stream = connect();
        stream.write_all(&request(id, end)).expect("the server reads");
        match ENDS[end] {
            End::ClientVanishes | End::Both => {}
            End::ClientCloses => {
                let mut got = vec![0; answer(id).len()];
                stream.read_exact(&mut got).expect("an answer");
                assert!(got == answer(id), "a byte of another connection");
            }
            End::ServerDrops | End::ServerLinksClose => {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).expect("an answer and a clean end");
                assert_eq!(got.len(), answer(id).len(), "an answer cut short");
                assert!(got == answer(id), "a byte of another connection");
            }
        }
    }
}

trait Stream: Read + Write {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

fn connect_tcp(to: SocketAddr) -> Box<dyn Stream> {
    let stream = TcpStream::connect(to).expect("a connection");
    stream.set_read_timeout(Some(PEER_PATIENCE)).expect("a timeout");
    Box::new(stream)
}

fn connect_unix(to: &PathBuf) -> Box<dyn Stream> {
    let stream = UnixStream::connect(to).expect("a connection");
    stream.set_read_timeout(Some(PEER_PATIENCE)).expect("a timeout");
    Box::new(stream)
}

#[test]
fn short_connections_leave_nothing_behind() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let before = holdings(&ring);
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let addr = tcp.local_addr().expect("bound");
        let unix = listen_unix(path.to_str().expect("UTF-8").as_bytes()).expect("a path");
        let listeners = [tcp.into(), unix].map(|fd| Rc::new(ring.accept_on(fd)));
        let accepting: Vec<_> = listeners
            .map(|listener| glommio::spawn_local(accept(ring.clone(), listener)))
            .into_iter()
            .collect();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let path = path.clone();
                peer(move || match number % 2 {
                    0 => client(number, || connect_tcp(addr)),
                    _ => client(number, || connect_unix(&path)),
                })
            })
            .collect();
        for client in clients {
            client.join(&ring).await;
        }
        for task in accepting {
            task.cancel().await;
        }
        back_to(&ring, before).await;
    });
}
