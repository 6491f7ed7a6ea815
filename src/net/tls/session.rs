//! A TLS connection after its handshake: decrypts and encrypts records, and handles alerts, key updates and
//! session tickets. What it owes the peer has a fixed size. Does no I/O; `net::stream` moves the bytes.
//!
//! rustls does the handshake and keeps the key schedule. The records are protected here, because rustls' own
//! record layer allocates and copies each record twice.

use std::rc::Rc;

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, Error, ExtractedSecrets, SupportedCipherSuite};

use super::info::TlsInfo;
use super::messages::{KEY_UPDATE, Message, Messages};
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

/// Most consecutive messages and records without data: tickets, key updates, alerts, padding. A flood of them
/// would cost this side CPU time and the peer almost nothing.
const WITHOUT_DATA_MAX: u32 = 32;

/// Most requests for a renegotiation on one connection. Each is refused, so a peer that asks again does not
/// listen; the first may be a client's that tries once.
const RENEGOTIATIONS_MAX: u32 = 4;

/// Most bytes of the records that are owed besides those of the handshake: a warning, a key update, an alert.
const OWED_BYTES_MAX: usize = 3 * (5 + OVERHEAD_BYTES_MAX);

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

/// Records without data that are to be sent before any other. They are sealed when they leave, so that what a
/// peer asks for while nothing can leave takes no memory: one key update answers any number of requests
/// (RFC 8446 §4.6.3).
struct Owed {
    /// The rest of the handshake's output, sealed by rustls.
    handshake: Vec<u8>,
    no_renegotiation: bool,
    key_update: bool,
}

enum Output {
    Open,
    /// Ends with this alert, which is still to be sent.
    Ending {
        level: u8,
        description: u8,
    },
    /// The last alert was sent, or the peer has ended the connection with one: nothing may follow
    /// (RFC 8446 §6.2).
    Ended,
}

enum Input {
    Open,
    /// The peer has sent close_notify.
    Closed,
    Failed(RecordError),
}

/// An incomplete record. It takes the memory of what was received and not that of a record, because beginning
/// many records costs a client nothing.
#[derive(Default)]
struct PartialRecord {
    bytes: Vec<u8>,
}

impl PartialRecord {
    /// `input` behind what was kept; `None` while that is still a part. It grows in place, so that a record
    /// that arrives byte by byte is not copied for each.
    fn complete(&mut self, input: RecvBuf) -> Result<Option<RecvBuf>, RecordError> {
        if self.bytes.is_empty() {
            return Ok(Some(input));
        }
        self.bytes.extend_from_slice(&input);
        let is_whole = record_length(&self.bytes)?.is_some_and(|length| length <= self.bytes.len());
        Ok(is_whole.then(|| RecvBuf::heap(std::mem::take(&mut self.bytes))))
    }

    fn keep(&mut self, rest: &[u8]) {
        self.bytes = rest.to_vec();
    }
}

/// One connection's keys, and its incomplete records and messages.
pub struct Session {
    sending: Protection,
    receiving: Protection,
    suite: SupportedCipherSuite,
    role: TlsRole,
    partial: PartialRecord,
    messages: Messages,
    owed: Owed,
    input: Input,
    output: Output,
    without_data: u32,
    renegotiations: u32,
    info: Rc<TlsInfo>,
}

impl Session {
    /// `handshake` is what is left of the handshake's output. `None` for a cipher that `record` does not
    /// support.
    pub(super) fn new(
        secrets: &ExtractedSecrets,
        suite: SupportedCipherSuite,
        role: TlsRole,
        handshake: Vec<u8>,
        info: TlsInfo,
    ) -> Option<Self> {
        let receiving = Protection::new(secrets.rx.0, &secrets.rx.1, suite)?;
        let messages = Messages::new(receiving.is_13(), matches!(role, TlsRole::Server(_)));
        Some(Self {
            sending: Protection::new(secrets.tx.0, &secrets.tx.1, suite)?,
            receiving,
            suite,
            role,
            partial: PartialRecord::default(),
            messages,
            owed: Owed { handshake, no_renegotiation: false, key_update: false },
            input: Input::Open,
            output: Output::Open,
            without_data: 0,
            renegotiations: 0,
            info: Rc::new(info),
        })
    }

    /// The negotiated parameters.
    pub(in crate::net) fn info(&self) -> &Rc<TlsInfo> {
        &self.info
    }

    /// Whether the peer has sent close_notify.
    pub(in crate::net) fn peer_closed(&self) -> bool {
        matches!(self.input, Input::Closed)
    }

    /// Why the input cannot be read any further, if it cannot.
    pub(in crate::net) fn failure(&self) -> Option<RecordError> {
        match self.input {
            Input::Failed(error) => Some(error),
            Input::Open | Input::Closed => None,
        }
    }

    /// Whether records without data are waiting to be sent.
    pub(in crate::net) fn has_replies(&self) -> bool {
        !self.owed.handshake.is_empty() || matches!(self.output, Output::Ending { .. }) || self.owes_answer()
    }

    /// Whether the peer has asked for a record that was not sent yet. Until then no further input should be
    /// handled: a peer that does not read what it asks for is slowed down by its own unread input.
    pub(in crate::net) fn owes_answer(&self) -> bool {
        matches!(self.output, Output::Open) && (self.owed.key_update || self.owed.no_renegotiation)
    }

    /// Opens the records in `input`, in place, and returns their data, if any. An incomplete record is kept
    /// for the next call.
    ///
    /// # Errors
    /// See [`RecordError`]; its alert is the last record that is sent, and the connection must be closed.
    pub(in crate::net) fn handle_input(&mut self, input: RecvBuf) -> Result<Option<RecvBuf>, RecordError> {
        if let Input::Failed(error) = self.input {
            return Err(error);
        }
        let opened = self.open_records(input);
        if let Err(error) = opened {
            self.fail(error);
        }
        opened
    }

    fn fail(&mut self, error: RecordError) {
        self.input = Input::Failed(error);
        self.partial = PartialRecord::default();
        match (error.alert(), &self.output) {
            (None, _) => self.output = Output::Ended,
            (Some(description), Output::Open) => self.output = Output::Ending { level: FATAL, description },
            (Some(_), Output::Ending { .. } | Output::Ended) => {}
        }
    }

    fn open_records(&mut self, input: RecvBuf) -> Result<Option<RecvBuf>, RecordError> {
        let Some(mut input) = self.partial.complete(input)? else { return Ok(None) };
        let mut read = 0;
        // The first data stays in place; later data is moved to follow it.
        let mut data = 0..0;
        while !self.peer_closed() {
            let Some(length) = record_length(&input[read..])? else { break };
            let Some(record) = input.get_mut(read..read + length) else { break };
            let (kind, range) = self.receiving.open(record)?;
            let range = read + range.start..read + range.end;
            read += length;
            if self.messages.is_within() {
                self.check_interruption(kind)?;
            }
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
            match kind {
                APPLICATION_DATA => self.count_without_data()?,
                ALERT => self.handle_alert(&input[range])?,
                HANDSHAKE => self.handle_handshake(&input[range])?,
                kind => return Err(RecordError::UnexpectedType(kind)),
            }
        }
        if read < input.len() && !self.peer_closed() {
            self.partial.keep(&input[read..]);
        }
        input.truncate(data.end);
        input.advance(data.start);
        Ok((!input.is_empty()).then_some(input))
    }

    /// RFC 8446 §5.1: no other record between those of one message. An alert is read nevertheless: it may say
    /// why the rest does not come.
    fn check_interruption(&self, kind: u8) -> Result<(), RecordError> {
        match kind {
            HANDSHAKE | ALERT => Ok(()),
            kind => Err(RecordError::Interrupted(kind)),
        }
    }

    fn count_without_data(&mut self) -> Result<(), RecordError> {
        self.without_data += 1;
        if self.without_data > WITHOUT_DATA_MAX { Err(RecordError::TooManyWithoutData) } else { Ok(()) }
    }

    fn handle_alert(&mut self, alert: &[u8]) -> Result<(), RecordError> {
        self.count_without_data()?;
        let (level, description) = match *alert {
            [] => return Err(RecordError::Empty(ALERT)),
            [level @ (WARNING | FATAL), description] => (level, description),
            [_, _] => return Err(RecordError::IllegalValue),
            _ => return Err(RecordError::Malformed),
        };
        let goes_on = match (level, description) {
            (_, CLOSE_NOTIFY) => {
                self.input = Input::Closed;
                return Ok(());
            }
            (_, USER_CANCELED) => true,
            // RFC 8446 §6: every other alert is an error there, whatever its level.
            (level, _) => level == WARNING && !self.receiving.is_13(),
        };
        match goes_on {
            false => Err(RecordError::PeerGaveUp(description)),
            true if self.messages.is_within() => Err(RecordError::Interrupted(ALERT)),
            true => Ok(()),
        }
    }

    fn handle_handshake(&mut self, record: &[u8]) -> Result<(), RecordError> {
        if record.is_empty() {
            return Err(RecordError::Empty(HANDSHAKE));
        }
        let mut rest = record;
        let mut count = 0;
        while let Some(message) = self.messages.next(&mut rest)? {
            count += 1;
            self.count_without_data()?;
            self.handle_message(&message)?;
        }
        // A record that ends no message counts too.
        if count == 0 { self.count_without_data() } else { Ok(()) }
    }

    fn handle_message(&mut self, message: &Message) -> Result<(), RecordError> {
        match (message, &mut self.role) {
            (Message::KeyUpdate { is_requested }, _) => {
                self.owed.key_update |= *is_requested;
                let (sequence, secrets) =
                    self.role.next_receiving().map_err(|_| RecordError::KeyExhausted)?;
                let next = Protection::new(sequence, &secrets, self.suite);
                self.receiving = next.ok_or(RecordError::KeyExhausted)?;
                Ok(())
            }
            (Message::Ticket(content), TlsRole::Client(kernel)) => {
                kernel.handle_new_session_ticket(content).map_err(|_| RecordError::Malformed)
            }
            // `messages` has refused it already.
            (Message::Ticket(_), TlsRole::Server(_)) => Err(RecordError::Malformed),
            // RFC 5746 §4.5: refused by a warning, and the connection continues.
            (Message::Renegotiation, _) => {
                self.renegotiations += 1;
                if self.renegotiations > RENEGOTIATIONS_MAX {
                    return Err(RecordError::TooManyRenegotiations);
                }
                self.owed.no_renegotiation = true;
                Ok(())
            }
        }
    }

    /// Changes the sending key; the key update was sealed under the one before.
    fn renew_sending(&mut self) -> Result<(), RecordError> {
        let (sequence, secrets) = self.role.next_sending().map_err(|_| RecordError::KeyExhausted)?;
        self.sending = Protection::new(sequence, &secrets, self.suite).ok_or(RecordError::KeyExhausted)?;
        Ok(())
    }

    /// Upper bound of the output for `data` bytes of payload and what is owed: for sizing a buffer.
    pub(in crate::net) fn sealed_bytes_max(&self, data: usize) -> usize {
        // Each of two slices may end with a record that is not full.
        self.owed_bytes_max() + data + (data / PLAIN_BYTES_MAX + 2) * OVERHEAD_BYTES_MAX
    }

    fn owed_bytes_max(&self) -> usize {
        self.owed.handshake.len() + OWED_BYTES_MAX
    }

    /// Seals what is owed into the start of `out`, which has room for [`Self::owed_bytes_max`]; returns the
    /// length.
    fn seal_owed(&mut self, out: &mut [u8]) -> Result<usize, RecordError> {
        // An idle connection keeps no buffer for it.
        let handshake = std::mem::take(&mut self.owed.handshake);
        let mut written = handshake.len();
        out[..written].copy_from_slice(&handshake);
        if self.owes_answer() {
            if std::mem::take(&mut self.owed.no_renegotiation) {
                written += self.sending.seal(ALERT, &[WARNING, NO_RENEGOTIATION], &mut out[written..]);
            }
            if std::mem::take(&mut self.owed.key_update) {
                written += self.sending.seal(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0], &mut out[written..]);
                self.renew_sending()?;
            }
        }
        if let Output::Ending { level, description } = self.output {
            written += self.sending.seal(ALERT, &[level, description], &mut out[written..]);
            self.output = Output::Ended;
        }
        Ok(written)
    }

    /// Fills `out` with what is owed and with records of `payload` from byte `from` on, as far as there is
    /// room: bytes written, and payload bytes sealed. After the last alert the payload is taken and dropped:
    /// the peer would not read it.
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
        let mut written = self.seal_owed(out)?;
        if matches!(self.output, Output::Ended) {
            return Ok((written, payload.len() - from));
        }
        let mut taken = 0;
        let (first, second) = payload.rest(from);
        for slice in [first, second] {
            let mut rest = slice;
            while !rest.is_empty() {
                let (data, behind) = rest.split_at(rest.len().min(PLAIN_BYTES_MAX));
                let is_worn = self.sending.is_worn();
                let owed = if is_worn { OWED_BYTES_MAX } else { 0 };
                // A record that is short only because the buffer is full costs another tag: it goes into the
                // next buffer.
                if out.len() - written < owed + data.len() + OVERHEAD_BYTES_MAX {
                    return Ok((written, taken));
                }
                if is_worn {
                    if !self.sending.is_13() {
                        return Err(RecordError::KeyExhausted);
                    }
                    self.owed.key_update = true;
                    written += self.seal_owed(&mut out[written..])?;
                }
                written += self.sending.seal(APPLICATION_DATA, data, &mut out[written..]);
                taken += data.len();
                rest = behind;
            }
        }
        Ok((written, taken))
    }

    /// Ends the output with close_notify, unless an alert ends it already.
    pub(in crate::net) fn seal_close(&mut self) {
        if matches!(self.output, Output::Open) {
            self.output = Output::Ending { level: WARNING, description: CLOSE_NOTIFY };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two records, whose content does not matter here.
    fn records() -> Vec<u8> {
        let record = |length: u16| {
            let [high, low] = length.to_be_bytes();
            [&[APPLICATION_DATA, 3, 3, high, low][..], &vec![7; usize::from(length)]].concat()
        };
        [record(16_401), record(300)].concat()
    }

    #[test]
    fn a_part_of_a_record_takes_the_memory_of_a_part() {
        for size in [1, 2, 5, 6, 100, 4096, 16_384, 16_406] {
            let bytes = records();
            let mut partial = PartialRecord::default();
            let (mut seen, mut known) = (Vec::new(), 0);
            for piece in bytes.chunks(size) {
                known += piece.len();
                let input = partial.complete(RecvBuf::heap(piece.to_vec())).unwrap();
                if let Some(input) = input {
                    let mut rest = &input[..];
                    while let Some(record) =
                        record_length(rest).unwrap().and_then(|length| rest.get(..length))
                    {
                        seen.push(record.len());
                        known -= record.len();
                        rest = &rest[record.len()..];
                    }
                    partial.keep(rest);
                }
                let capacity = partial.bytes.capacity();
                assert!(capacity <= 2 * known + 8, "{capacity} bytes for {known}, in pieces of {size}");
            }
            assert_eq!((seen, known), (vec![16_406, 305], 0), "in pieces of {size}");
        }
    }

    #[test]
    fn a_record_that_is_too_long_is_refused_at_its_header() {
        let mut partial = PartialRecord::default();
        partial.keep(&[APPLICATION_DATA, 3, 3]);
        let refused = partial.complete(RecvBuf::heap(vec![0xff, 0xff]));
        assert!(matches!(refused, Err(RecordError::TooLong)), "{refused:?}");
    }
}
