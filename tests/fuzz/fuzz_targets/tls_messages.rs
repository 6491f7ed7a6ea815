//! Handshake messages after the handshake: the same messages and the same error however the bytes are cut,
//! but for a key update, which must end its record.
//!
//! Input: the version, the receiving end, the size of the pieces, then the bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::net::tls::RecordError;
use quoit::net::tls::messages::{Message, Messages};

fn read(messages: &mut Messages, pieces: &[&[u8]]) -> (Vec<Message>, Option<RecordError>) {
    let mut all = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match messages.next(&mut rest) {
                Ok(Some(message)) => all.push(message),
                Ok(None) => break assert!(rest.is_empty()),
                Err(error) => return (all, Some(error)),
            }
        }
    }
    (all, None)
}

fuzz_target!(|input: (bool, bool, u8, &[u8])| {
    let (is_13, at_server, size, bytes) = input;
    let size = usize::from(size).max(1);
    let bytes: Vec<&[u8]> = bytes.chunks(1).collect();
    let (one_by_one, error) = read(&mut Messages::new(is_13, at_server), &bytes);
    let bytes = bytes.concat();
    let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
    let (all, cut_error) = read(&mut Messages::new(is_13, at_server), &pieces);
    if cut_error == Some(RecordError::BehindKeyUpdate) {
        return assert!(one_by_one.starts_with(&all));
    }
    assert_eq!((all, cut_error), (one_by_one, error));
});
