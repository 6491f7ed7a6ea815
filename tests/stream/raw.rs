//! A TLS client whose records are in the test's hand: rustls does the handshake, and what follows is sealed
//! and opened here, apart from the code under test.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ClientConfig, ConnectionTrafficSecrets, ProtocolVersion};

use super::localhost;

pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// One direction.
struct Half {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
    is_13: bool,
    /// TLS 1.2 with AES-GCM: half of the nonce is in the record (RFC 5288 §3).
    is_explicit: bool,
}

impl Half {
    fn new(sequence: u64, secrets: &ConnectionTrafficSecrets, is_13: bool) -> Self {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => panic!("no such cipher is used here"),
        };
        let is_explicit = !is_13 && algorithm != &CHACHA20_POLY1305;
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).unwrap());
        Self { key, iv: iv.as_ref().try_into().unwrap(), sequence, is_13, is_explicit }
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = self.iv;
        let number = self.sequence.to_be_bytes();
        nonce[4..].iter_mut().zip(number).for_each(|(byte, number)| *byte ^= number);
        nonce
    }

    fn additional_12(&self, kind: u8, length: usize) -> Vec<u8> {
        let [high, low] = (length as u16).to_be_bytes();
        [&self.sequence.to_be_bytes()[..], &[kind, 3, 3, high, low]].concat()
    }

    fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let inner = if self.is_13 { [content, &[kind]].concat() } else { content.to_vec() };
        self.seal_inner(if self.is_13 { DATA } else { kind }, inner)
    }

    /// A record with this plaintext, type and padding of TLS 1.3 included.
    fn seal_inner(&mut self, outer: u8, mut inner: Vec<u8>) -> Vec<u8> {
        let nonce = self.nonce();
        let explicit: &[u8] = if self.is_explicit { &nonce[4..] } else { &[] };
        let [high, low] = ((explicit.len() + inner.len() + 16) as u16).to_be_bytes();
        let header = [outer, 3, 3, high, low];
        let additional = if self.is_13 { header.to_vec() } else { self.additional_12(outer, inner.len()) };
        let sealed = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(sealed, Aad::from(additional), &mut inner).unwrap();
        self.sequence += 1;
        [&header, explicit, &inner].concat()
    }

    fn open(&mut self, record: &[u8]) -> (u8, Vec<u8>) {
        let (header, fragment) = record.split_at(5);
        let mut nonce = self.nonce();
        let mut fragment = fragment.to_vec();
        let additional = if self.is_13 {
            header.to_vec()
        } else {
            if self.is_explicit {
                nonce[4..].copy_from_slice(&fragment[..8]);
                fragment.drain(..8);
            }
            self.additional_12(header[0], fragment.len() - 16)
        };
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = self.key.open_in_place(nonce, Aad::from(additional), &mut fragment);
        let mut plain = plain.expect("the record opens").to_vec();
        self.sequence += 1;
        if !self.is_13 {
            return (header[0], plain);
        }
        while plain.last() == Some(&0) {
            plain.pop();
        }
        (plain.pop().expect("a type"), plain)
    }
}

/// The client after its handshake.
pub(crate) struct RawPeer {
    pub(crate) socket: TcpStream,
    kernel: KernelConnection<ClientConnectionData>,
    sending: Half,
    receiving: Half,
    input: Vec<u8>,
    /// The last flight, which was not sent: in TLS 1.3 with the client's Finished.
    pub(crate) held: Vec<u8>,
}

impl RawPeer {
    pub(crate) fn connect(config: Arc<ClientConfig>, mut socket: TcpStream) -> Self {
        let mut connection = UnbufferedClientConnection::new(config, localhost()).unwrap();
        let (mut input, mut output) = (Vec::new(), Vec::new());
        loop {
            let UnbufferedStatus { discard, state, .. } = connection.process_tls_records(&mut input);
            let (mut is_blocked, mut is_done) = (false, false);
            match state.unwrap() {
                ConnectionState::EncodeTlsData(mut data) => {
                    let start = output.len();
                    output.resize(start + 20_000, 0);
                    let written = data.encode(&mut output[start..]).unwrap();
                    output.truncate(start + written);
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::BlockedHandshake => is_blocked = true,
                ConnectionState::WriteTraffic(_) => is_done = true,
                state => panic!("{state:?}"),
            }
            input.drain(..discard);
            if is_done {
                break;
            }
            if is_blocked {
                socket.write_all(&std::mem::take(&mut output)).unwrap();
                read_more(&mut socket, &mut input).then_some(()).expect("the handshake goes on");
            }
        }
        let (secrets, kernel) = connection.dangerous_into_kernel_connection().unwrap();
        let is_13 = kernel.protocol_version() == ProtocolVersion::TLSv1_3;
        let [sending, receiving] =
            [&secrets.tx, &secrets.rx].map(|(sequence, secrets)| Half::new(*sequence, secrets, is_13));
        Self { socket, kernel, sending, receiving, input, held: output }
    }

    pub(crate) fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        self.sending.seal(kind, content)
    }

    /// A TLS 1.3 record with this plaintext, type and padding included.
    pub(crate) fn seal_inner(&mut self, inner: Vec<u8>) -> Vec<u8> {
        self.sending.seal_inner(DATA, inner)
    }

    /// A KeyUpdate, after which the next key is used.
    pub(crate) fn key_update(&mut self, is_requested: bool) -> Vec<u8> {
        let record = self.seal(HANDSHAKE, &[24, 0, 0, 1, u8::from(is_requested)]);
        let (sequence, secrets) = self.kernel.update_tx_secret().unwrap();
        self.sending = Half::new(sequence, &secrets, true);
        record
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// The next record; `None` at the end of the stream. A KeyUpdate changes the key.
    pub(crate) fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let [_, _, _, high, low, ..] = self.input[..] {
                let length = 5 + usize::from(u16::from_be_bytes([high, low]));
                if self.input.len() >= length {
                    let record: Vec<u8> = self.input.drain(..length).collect();
                    let (kind, content) = self.receiving.open(&record);
                    if kind == HANDSHAKE && content.first() == Some(&24) {
                        let (sequence, secrets) = self.kernel.update_rx_secret().unwrap();
                        self.receiving = Half::new(sequence, &secrets, true);
                    }
                    return Some((kind, content));
                }
            }
            if !read_more(&mut self.socket, &mut self.input) {
                assert!(self.input.is_empty(), "the last record is whole");
                return None;
            }
        }
    }

    /// The next record that is no session ticket.
    pub(crate) fn next_but_tickets(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            match self.next() {
                Some((HANDSHAKE, content)) if content.first() == Some(&4) => {}
                other => return other,
            }
        }
    }

    /// Everything up to the end of the stream, without session tickets.
    pub(crate) fn rest(&mut self) -> Vec<(u8, Vec<u8>)> {
        std::iter::from_fn(|| self.next_but_tickets()).collect()
    }
}

/// False at the end of the stream.
fn read_more(socket: &mut TcpStream, input: &mut Vec<u8>) -> bool {
    let mut piece = [0; 16 * 1024];
    match socket.read(&mut piece) {
        Ok(0) => false,
        Ok(read) => {
            input.extend_from_slice(&piece[..read]);
            true
        }
        Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
        Err(error) => panic!("nothing came: {error}"),
    }
}
