//! What a peer may not do after the handshake, and what it is told: the alert that the RFC names, and nothing
//! behind it. What it may do, and what that may cost.

use std::io::{self, ErrorKind, Write as _};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use quoit::net::Stream;
use quoit::net::tls::RecordError;
use quoit::ring::Payload;
use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite;

use super::raw::{ALERT, DATA, HANDSHAKE, RawPeer};
use super::*;

/// Runs the server's half on a core and `peer` on this thread, before its last flight is sent.
fn against_raw<T: Send + 'static>(
    suite: SupportedCipherSuite,
    serve: impl AsyncFnOnce(Stream) -> T + Send + 'static,
    peer: impl FnOnce(RawPeer),
) -> T {
    let pair = pair(suite);
    let (ours, theirs) = sockets();
    let config = pair.client.clone();
    let server = thread::spawn(move || {
        on_core(async move |core| {
            let stream = accept(&core.ring, ours, &pair).await.expect("a sound handshake");
            serve(stream).await
        })
    });
    peer(RawPeer::connect(config, theirs));
    server.join().unwrap()
}

/// What the server does with a client's input: sends it back, and closes as a server closes.
async fn echo_and_close(stream: Stream) -> io::Result<usize> {
    let ended = echo(&stream).await;
    if ended.is_err() {
        let _ = stream.close_write().await;
        stream.discard_input().await;
    }
    ended
}

fn why(ended: &io::Result<usize>) -> Option<RecordError> {
    let error = ended.as_ref().err()?;
    error.get_ref().and_then(|error| error.downcast_ref::<RecordError>()).copied()
}

const NO_RENEGOTIATION: u8 = 100;
const UNEXPECTED_MESSAGE: u8 = 10;
const BAD_RECORD_MAC: u8 = 20;
const RECORD_OVERFLOW: u8 = 22;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;

/// What it is, the section that forbids it, the alert, and how it is made.
type Misdeed = (&'static str, &'static str, u8, fn(&mut RawPeer) -> Vec<u8>);

/// The records of `make` end the connection with their alert, whether they come with the end of the
/// handshake or after data.
fn told(suite: SupportedCipherSuite, misdeeds: &[Misdeed]) {
    for (what, section, alert, make) in misdeeds {
        for is_early in [true, false] {
            let ended = against_raw(suite, echo_and_close, |mut peer| {
                let flight = std::mem::take(&mut peer.held);
                if is_early {
                    let bytes = make(&mut peer);
                    peer.send(&[flight, bytes].concat());
                } else {
                    let data = peer.seal(DATA, b"before");
                    peer.send(&[flight, data].concat());
                    assert_eq!(peer.next_but_tickets(), Some((DATA, b"before".to_vec())), "{what}");
                    let bytes = make(&mut peer);
                    peer.send(&bytes);
                }
                let told = peer.rest();
                assert_eq!(told, [(ALERT, vec![2, *alert])], "{what} ({section})");
            });
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::InvalidData, "{what}");
        }
    }
}

#[test]
fn what_tls_13_forbids_is_answered_with_the_alert_that_it_names() {
    told(
        any_13(),
        &[
            ("request_update 2", "RFC 8446 §4.6.3", ILLEGAL_PARAMETER, |p| {
                p.seal(HANDSHAKE, &[24, 0, 0, 1, 2])
            }),
            ("a KeyUpdate of two bytes", "§6.2", DECODE_ERROR, |p| p.seal(HANDSHAKE, &[24, 0, 0, 2])),
            ("a KeyUpdate of none", "§6.2", DECODE_ERROR, |p| p.seal(HANDSHAKE, &[24, 0, 0, 0])),
            ("a message behind a KeyUpdate", "§5.1", UNEXPECTED_MESSAGE, |p| {
                p.seal(HANDSHAKE, &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0])
            }),
            ("a Certificate unasked for", "§4", UNEXPECTED_MESSAGE, |p| p.seal(HANDSHAKE, &[11])),
            ("a ClientHello", "§4.1.2", UNEXPECTED_MESSAGE, |p| p.seal(HANDSHAKE, &[1, 0, 255, 255])),
            ("a ticket from a client", "§4.6.1", UNEXPECTED_MESSAGE, |p| p.seal(HANDSHAKE, &[4, 0, 0, 0])),
            ("an unknown message", "§4", UNEXPECTED_MESSAGE, |p| p.seal(HANDSHAKE, &[99, 0, 0, 0])),
            ("data within a message", "§5.1", UNEXPECTED_MESSAGE, |p| {
                [p.seal(HANDSHAKE, &[24, 0]), p.seal(DATA, b"x")].concat()
            }),
            ("an empty data record within a message", "§5.1", UNEXPECTED_MESSAGE, |p| {
                [p.seal(HANDSHAKE, &[24, 0]), p.seal(DATA, b"")].concat()
            }),
            ("a warning within a message", "§5.1", UNEXPECTED_MESSAGE, |p| {
                [p.seal(HANDSHAKE, &[24, 0]), p.seal(ALERT, &[1, 90])].concat()
            }),
            ("an empty handshake record", "§5.4", UNEXPECTED_MESSAGE, |p| p.seal(HANDSHAKE, b"")),
            ("an empty alert record", "§5.4", UNEXPECTED_MESSAGE, |p| p.seal(ALERT, b"")),
            ("an alert of one byte", "§6", DECODE_ERROR, |p| p.seal(ALERT, &[1])),
            ("an alert of three bytes", "§6", DECODE_ERROR, |p| p.seal(ALERT, &[1, 0, 0])),
            ("an alert of level 3", "§6", ILLEGAL_PARAMETER, |p| p.seal(ALERT, &[3, 0])),
            ("a protected change_cipher_spec", "§5", UNEXPECTED_MESSAGE, |p| p.seal(20, &[1])),
            ("a change_cipher_spec", "§5", UNEXPECTED_MESSAGE, |_| vec![20, 3, 3, 0, 1, 1]),
            ("a handshake record in clear", "§5.1", UNEXPECTED_MESSAGE, |_| {
                vec![22, 3, 3, 0, 5, 24, 0, 0, 1, 0]
            }),
            ("a heartbeat", "§5", UNEXPECTED_MESSAGE, |p| p.seal(24, &[1, 0, 0])),
            ("zeros and no type", "§5.4", UNEXPECTED_MESSAGE, |p| p.seal_inner(vec![0; 9])),
            ("too much plaintext", "§5.4", RECORD_OVERFLOW, |p| p.seal(DATA, &[7; 16_385])),
            ("too much padding", "§5.4", RECORD_OVERFLOW, |p| {
                let mut inner = vec![0; 16_386];
                (inner[0], inner[1]) = (7, DATA);
                p.seal_inner(inner)
            }),
            ("too long a record", "§5.2", RECORD_OVERFLOW, |_| {
                [&[23, 3, 3, 65, 1][..], &[0; 16_641]].concat()
            }),
            ("a changed record", "§5.2", BAD_RECORD_MAC, |p| {
                let mut record = p.seal(DATA, b"request");
                record[7] ^= 1;
                record
            }),
        ],
    );
}

#[test]
fn what_tls_12_forbids_is_answered_with_the_alert_that_it_names() {
    for suite in [any_12(), cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256] {
        told(
            suite,
            &[
                ("a HelloRequest from a client", "RFC 5246 §7.4.1.1", UNEXPECTED_MESSAGE, |p| {
                    p.seal(HANDSHAKE, &[0, 0, 0, 0])
                }),
                ("a KeyUpdate", "§7.4", UNEXPECTED_MESSAGE, |p| p.seal(HANDSHAKE, &[24, 0, 0, 1, 0])),
                ("a Certificate", "§7.4", UNEXPECTED_MESSAGE, |p| p.seal(HANDSHAKE, &[11, 0, 255, 255])),
                ("too long a ClientHello", "§7.2.2", DECODE_ERROR, |p| p.seal(HANDSHAKE, &[1, 1, 0, 1])),
                ("data within a message", "§6.2.1", UNEXPECTED_MESSAGE, |p| {
                    [p.seal(HANDSHAKE, &[1, 0]), p.seal(DATA, b"x")].concat()
                }),
                ("an empty handshake record", "§6.2.1", UNEXPECTED_MESSAGE, |p| p.seal(HANDSHAKE, b"")),
                ("an empty alert record", "§6.2.1", UNEXPECTED_MESSAGE, |p| p.seal(ALERT, b"")),
                ("a change_cipher_spec", "§7.1", UNEXPECTED_MESSAGE, |p| p.seal(20, &[1])),
                ("too much plaintext", "§6.2.1", RECORD_OVERFLOW, |p| p.seal(DATA, &[7; 16_385])),
                ("a changed record", "§7.2.2", BAD_RECORD_MAC, |p| {
                    let mut record = p.seal(DATA, b"request");
                    let last = record.len() - 1;
                    record[last] ^= 1;
                    record
                }),
            ],
        );
    }
}

#[test]
fn nothing_follows_the_fatal_alert_of_a_peer() {
    for suite in [any_13(), any_12()] {
        let ended = against_raw(suite, echo_and_close, |mut peer| {
            let flight = std::mem::take(&mut peer.held);
            let alert = peer.seal(ALERT, &[2, 80]);
            peer.send(&[flight, alert].concat());
            assert_eq!(peer.rest(), [], "no close_notify either (RFC 8446 §6.2)");
        });
        assert_eq!(why(&ended), Some(RecordError::PeerGaveUp(80)));
    }
}

/// RFC 8446 §4.6.3: rustls would change the sending key here, and the message that says so would be lost.
#[test]
fn a_key_update_in_the_segment_of_finished_is_answered() {
    for is_requested in [false, true] {
        let ended = against_raw(any_13(), echo_and_close, |mut peer| {
            let flight = std::mem::take(&mut peer.held);
            let update = peer.key_update(is_requested);
            let data = peer.seal(DATA, b"request");
            let close = peer.seal(ALERT, &[1, 0]);
            peer.send(&[flight, update, data, close].concat());
            let answered = if is_requested { vec![(HANDSHAKE, vec![24, 0, 0, 1, 0])] } else { Vec::new() };
            let echoed = vec![(DATA, b"request".to_vec()), (ALERT, vec![1, 0])];
            assert_eq!(peer.rest(), [answered, echoed].concat());
        });
        assert_eq!(ended.unwrap(), 7);
    }
}

#[test]
fn one_key_update_answers_all_that_came_before_it() {
    let ended = against_raw(any_13(), echo_and_close, |mut peer| {
        let mut bytes = std::mem::take(&mut peer.held);
        for _ in 0..20 {
            bytes.extend(peer.key_update(true));
        }
        bytes.extend(peer.seal(DATA, b"x"));
        bytes.extend(peer.seal(ALERT, &[1, 0]));
        peer.send(&bytes);
        let answer = (HANDSHAKE, vec![24, 0, 0, 1, 0]);
        assert_eq!(peer.rest(), [answer, (DATA, b"x".to_vec()), (ALERT, vec![1, 0])]);
    });
    assert_eq!(ended.unwrap(), 1);
}

/// RFC 5246 §7.2.2: a renegotiation may be refused by a warning, and the connection continues.
#[test]
fn a_renegotiation_is_refused_and_a_flood_of_them_ends_the_connection() {
    for suite in [any_12(), cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256] {
        // Each in a record of its own or all in one; with data between them or not.
        for (count, per_record, with_data) in
            [(1, 1, true), (4, 4, true), (5, 1, true), (5, 5, false), (4096, 4096, false)]
        {
            let ended = against_raw(suite, echo_and_close, |mut peer| {
                let mut bytes = std::mem::take(&mut peer.held);
                for _ in 0..count / per_record {
                    bytes.extend(peer.seal(HANDSHAKE, &[1, 0, 0, 0].repeat(per_record)));
                    if with_data {
                        bytes.extend(peer.seal(DATA, b"x"));
                    }
                }
                bytes.extend(peer.seal(ALERT, &[1, 0]));
                peer.send(&bytes);
                let told = peer.rest();
                let warning = (ALERT, vec![1, NO_RENEGOTIATION]);
                if count < 5 {
                    assert_eq!(told, [warning, (DATA, b"x".to_vec()), (ALERT, vec![1, 0])], "{count}");
                } else {
                    assert_eq!(told.last(), Some(&(ALERT, vec![2, UNEXPECTED_MESSAGE])), "{count}");
                }
            });
            let refused = (count > 4).then_some(RecordError::TooManyRenegotiations);
            assert_eq!(why(&ended), refused, "{count}");
        }
    }
}

/// A peer that asks for answers and reads none is not read either: without that, or with an answer kept for
/// each request, memory would grow for as long as it sends.
#[test]
fn nothing_is_read_while_an_answer_cannot_leave() {
    /// More than the buffers of both sockets hold: those of the kernel grow to some ten megabytes.
    const SIZE: usize = 16_000_000;
    /// As much, in the other direction.
    const SENT_MAX: usize = 24_000_000;
    let payload = Bytes::from(bytes(SIZE));
    let expected = payload.clone();
    let mut data = 0;
    let received = against_raw(
        any_13(),
        async move |stream| {
            stream.start_send(Payload::Shared(payload));
            let mut received = 0;
            while let Some(input) = stream.recv().await.expect("sound records") {
                received += input.len();
            }
            stream.close_write().await.unwrap();
            received
        },
        |mut peer| {
            let flight = std::mem::take(&mut peer.held);
            peer.send(&flight);
            peer.socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            let mut sent = 0;
            let unsent = loop {
                let mut records: Vec<u8> = (0..20).flat_map(|_| peer.key_update(true)).collect();
                records.extend(peer.seal(DATA, &[1; 16_000]));
                data += 16_000;
                match write_some(&mut peer, &records) {
                    Ok(()) => sent += records.len(),
                    Err(unsent) => break unsent,
                }
                assert!(sent < SENT_MAX, "the server reads on, and its answers wait somewhere");
            };
            // As soon as the peer reads, everything goes on.
            let mut back = Vec::new();
            let mut answers = 0;
            while back.len() < SIZE {
                match peer.next_but_tickets().expect("more comes") {
                    (DATA, piece) => back.extend_from_slice(&piece),
                    (HANDSHAKE, _) => answers += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert!(back == expected && answers >= 1, "{answers} answers");
            peer.socket.set_write_timeout(Some(PATIENCE)).unwrap();
            let close = peer.seal(ALERT, &[1, 0]);
            peer.send(&[unsent, close].concat());
            peer.rest();
        },
    );
    assert_eq!(received, data);
}

/// Writes `bytes`, or returns those that the socket did not take in time.
fn write_some(peer: &mut RawPeer, bytes: &[u8]) -> Result<(), Vec<u8>> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match peer.socket.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(rest.to_vec()),
            Err(error) => panic!("{error}"),
        }
    }
    Ok(())
}
