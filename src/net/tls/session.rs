//! A TLS connection after its handshake: decrypts and encrypts records, and handles alerts, key updates and
//! session tickets. Does no I/O; `net::stream` moves the bytes.
//!
//! rustls does the handshake and keeps the key schedule. The records are protected here, because rustls' own
//! record layer allocates and copies each record twice.

use std::rc::Rc;

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, Error, ExtractedSecrets, SupportedCipherSuite};

use super::info::TlsInfo;
use super::record::{
    ALERT, APPLICATION_DATA, HANDSHAKE, OVERHEAD_BYTES_MAX, PLAIN_BYTES_MAX, Protection, RecordError,
    record_length,
};
use crate::ring::{Payload, RecvBuf};

const CLOSE_NOTIFY: u8 = 0;
const NO_RENEGOTIATION: u8 = 100;
const USER_CANCELED: u8 = 90;
const FATAL: u8 = 2;
const WARNING: u8 = 1;

const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

/// Most consecutive records without data: tickets, key updates, padding. A flood of them would cost the
/// server CPU time and the peer almost nothing.
const WITHOUT_DATA_MAX: u32 = 32;

/// Longest handshake message after the handshake; the largest is a ticket that holds a certificate chain.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Server or client, with the state that rustls keeps for it.
pub(super) enum TlsRole {
    /// The server's.
    Server(KernelConnection<ServerConnectionData>),
    /// The client's.
    Client(KernelConnection<ClientConnectionData>),
}

impl TlsRole {
    fn next_sending(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Self::Server(kernel) => kernel.update_tx_secret(),
            Self::Client(kernel) => kernel.update_tx_secret(),
        }
    }

    fn next_receiving(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Self::Server(kernel) => kernel.update_rx_secret(),
            Self::Client(kernel) => kernel.update_rx_secret(),
        }
    }
}

/// One connection's keys, and its incomplete records and messages.
pub struct Session {
    sending: Protection,
    receiving: Protection,
    suite: SupportedCipherSuite,
    role: TlsRole,
    /// An incomplete record.
    partial: Vec<u8>,
    /// An incomplete handshake message.
    message: Vec<u8>,
    /// Queued records that are sent before any other.
    replies: Vec<u8>,
    without_data: u32,
    peer_closed: bool,
    info: Rc<TlsInfo>,
}

impl Session {
    /// `None` for a cipher that `record` does not support.
    pub(super) fn new(
        secrets: &ExtractedSecrets,
        suite: SupportedCipherSuite,
        role: TlsRole,
        replies: Vec<u8>,
        info: TlsInfo,
    ) -> Option<Self> {
        Some(Self {
            sending: Protection::new(secrets.tx.0, &secrets.tx.1, suite)?,
            receiving: Protection::new(secrets.rx.0, &secrets.rx.1, suite)?,
            suite,
            role,
            partial: Vec::new(),
            message: Vec::new(),
            replies,
            without_data: 0,
            peer_closed: false,
            info: Rc::new(info),
        })
    }

    /// The negotiated parameters.
    pub(in crate::net) fn info(&self) -> &Rc<TlsInfo> {
        &self.info
    }

    /// Whether the peer has sent close_notify.
    pub(in crate::net) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Records a close_notify that was received in the handshake.
    pub(super) fn end_input(&mut self) {
        self.peer_closed = true;
    }

    /// Whether records without data are waiting to be sent.
    pub(in crate::net) fn has_replies(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Opens the records in `input`, in place, and returns their data, if any. An incomplete record is kept
    /// for the next call.
    ///
    /// # Errors
    /// See [`RecordError`]; the alert is among the replies, and the connection must be closed.
    pub(in crate::net) fn handle_input(&mut self, input: RecvBuf) -> Result<Option<RecvBuf>, RecordError> {
        let opened = self.open_records(input);
        if let Err(error) = &opened
            && let Some(alert) = error.alert()
        {
            self.reply(ALERT, &[FATAL, alert]);
        }
        opened
    }

    fn open_records(&mut self, input: RecvBuf) -> Result<Option<RecvBuf>, RecordError> {
        let mut input = self.behind_partial(input);
        let mut read = 0;
        // The first data stays in place; later data is moved to follow it.
        let mut data = 0..0;
        while !self.peer_closed {
            let Some(length) = record_length(&input[read..])? else { break };
            let Some(record) = input.get_mut(read..read + length) else { break };
            let (kind, range) = self.receiving.open(record)?;
            let range = read + range.start..read + range.end;
            read += length;
            if kind == APPLICATION_DATA && !range.is_empty() {
                self.without_data = 0;
                if data.is_empty() {
                    data = range;
                } else {
                    let length = range.len();
                    input.copy_within(range, data.end);
                    data.end += length;
                }
                continue;
            }
            self.without_data += 1;
            if self.without_data > WITHOUT_DATA_MAX {
                return Err(RecordError::TooManyWithoutData);
            }
            match kind {
                APPLICATION_DATA => {}
                ALERT => self.handle_alert(&input[range])?,
                HANDSHAKE => self.handle_handshake(&input[range])?,
                kind => return Err(RecordError::UnexpectedType(kind)),
            }
        }
        if read < input.len() && !self.peer_closed {
            self.keep_partial(&input[read..]);
        }
        input.truncate(data.end);
        input.advance(data.start);
        Ok((!input.is_empty()).then_some(input))
    }

    fn behind_partial(&mut self, input: RecvBuf) -> RecvBuf {
        if self.partial.is_empty() {
            return input;
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(&input);
        RecvBuf::heap(whole)
    }

    pub(super) fn keep_partial(&mut self, rest: &[u8]) {
        // With room for the next buffer, so that an incomplete record is copied only once.
        let mut partial = Vec::with_capacity(rest.len() + PLAIN_BYTES_MAX);
        partial.extend_from_slice(rest);
        self.partial = partial;
    }

    fn handle_alert(&mut self, alert: &[u8]) -> Result<(), RecordError> {
        let &[level, description] = alert else { return Err(RecordError::Malformed) };
        match (level, description) {
            (_, CLOSE_NOTIFY) => {
                self.peer_closed = true;
                Ok(())
            }
            (_, USER_CANCELED) => Ok(()),
            (WARNING, _) if !self.receiving.is_13() => Ok(()),
            (_, description) => Err(RecordError::PeerGaveUp(description)),
        }
    }

    fn handle_handshake(&mut self, part: &[u8]) -> Result<(), RecordError> {
        self.message.extend_from_slice(part);
        while let Some(&[kind, high, middle, low]) = self.message.first_chunk() {
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            if length > MESSAGE_BYTES_MAX {
                return Err(RecordError::TooLong);
            }
            if self.message.len() < 4 + length {
                break;
            }
            let rest = self.message.split_off(4 + length);
            let message = std::mem::replace(&mut self.message, rest);
            self.handle_message(kind, &message[4..])?;
        }
        Ok(())
    }

    fn handle_message(&mut self, kind: u8, body: &[u8]) -> Result<(), RecordError> {
        match (kind, &mut self.role) {
            // §4.6.3: keys change at a record boundary.
            (KEY_UPDATE, _) if self.receiving.is_13() => match body {
                &[asked @ (0 | 1)] if self.message.is_empty() => self.update_keys(asked == 1),
                _ => Err(RecordError::Malformed),
            },
            (NEW_SESSION_TICKET, TlsRole::Client(kernel)) if self.receiving.is_13() => {
                kernel.handle_new_session_ticket(body).map_err(|_| RecordError::Malformed)
            }
            // Renegotiation (RFC 5746 §4.5): refused, and the connection continues.
            (CLIENT_HELLO, TlsRole::Server(_)) | (HELLO_REQUEST, TlsRole::Client(_))
                if !self.receiving.is_13() =>
            {
                self.reply(ALERT, &[WARNING, NO_RENEGOTIATION]);
                Ok(())
            }
            (kind, _) => Err(RecordError::UnexpectedMessage(kind)),
        }
    }

    fn update_keys(&mut self, asked: bool) -> Result<(), RecordError> {
        let (sequence, secrets) = self.role.next_receiving().map_err(|_| RecordError::Malformed)?;
        self.receiving = Protection::new(sequence, &secrets, self.suite).ok_or(RecordError::KeyExhausted)?;
        if asked { self.renew_sending() } else { Ok(()) }
    }

    /// Sends a key update, and changes the sending key.
    fn renew_sending(&mut self) -> Result<(), RecordError> {
        self.reply(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0]);
        let (sequence, secrets) = self.role.next_sending().map_err(|_| RecordError::KeyExhausted)?;
        self.sending = Protection::new(sequence, &secrets, self.suite).ok_or(RecordError::KeyExhausted)?;
        Ok(())
    }

    fn reply(&mut self, kind: u8, content: &[u8]) {
        let start = self.replies.len();
        self.replies.resize(start + content.len() + OVERHEAD_BYTES_MAX, 0);
        let length = self.sending.seal(kind, content, &mut self.replies[start..]);
        self.replies.truncate(start + length);
    }

    /// Upper bound of the output for `data` bytes of payload and the replies: for sizing a buffer.
    pub(in crate::net) fn sealed_bytes_max(&self, data: usize) -> usize {
        // Each of two slices may end with a record that is not full.
        self.replies.len() + data + (data / PLAIN_BYTES_MAX + 2) * OVERHEAD_BYTES_MAX
    }

    /// Moves the replies to the start of `out` and returns their length.
    ///
    /// # Panics
    /// If there is no room.
    fn take_replies(&mut self, out: &mut [u8]) -> usize {
        let length = self.replies.len();
        out[..length].copy_from_slice(&self.replies);
        // An idle connection keeps no buffer for them.
        self.replies = Vec::new();
        length
    }

    /// Fills `out` with the replies and with records of `payload` from byte `from` on, as far as there is
    /// room: bytes written, and payload bytes sealed.
    ///
    /// # Errors
    /// [`RecordError::KeyExhausted`] on a TLS 1.2 connection whose key has protected as many records as
    /// allowed.
    pub(in crate::net) fn seal(
        &mut self,
        payload: &Payload,
        from: usize,
        out: &mut [u8],
    ) -> Result<(usize, usize), RecordError> {
        let mut written = self.take_replies(out);
        let mut taken = 0;
        let (first, second) = payload.rest(from);
        for slice in [first, second] {
            let mut rest = slice;
            while !rest.is_empty() {
                if self.sending.is_worn() {
                    if !self.sending.is_13() {
                        return Err(RecordError::KeyExhausted);
                    }
                    self.renew_sending()?;
                }
                let room = (out.len() - written).saturating_sub(self.replies.len() + OVERHEAD_BYTES_MAX);
                let (data, behind) = rest.split_at(rest.len().min(PLAIN_BYTES_MAX));
                // A record that is short only because the buffer is full costs another tag: it goes into the
                // next buffer.
                if room < data.len() {
                    return Ok((written, taken));
                }
                written += self.take_replies(&mut out[written..]);
                written += self.sending.seal(APPLICATION_DATA, data, &mut out[written..]);
                taken += data.len();
                rest = behind;
            }
        }
        Ok((written, taken))
    }

    /// Appends the replies and close_notify to `out`.
    pub(in crate::net) fn seal_close(&mut self) {
        self.reply(ALERT, &[WARNING, CLOSE_NOTIFY]);
    }
}
