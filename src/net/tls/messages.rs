//! Handshake messages after the handshake (RFC 8446 §4.6, RFC 5246 §7.4.1), put together from the records
//! that carry them. A message is judged by its first four bytes, and only content that is used is kept.
//! Knows no keys and answers nothing.

use super::record::RecordError;

const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
pub(super) const KEY_UPDATE: u8 = 24;

/// Type and length (RFC 8446 §4).
const HEADER_BYTES: usize = 4;

/// Longest ticket: one that holds a certificate chain.
const TICKET_BYTES_MAX: usize = 64 * 1024;

/// Longest ClientHello that asks for a renegotiation. Its content is skipped, so the limit costs no memory.
const HELLO_BYTES_MAX: usize = 64 * 1024;

/// A whole message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// RFC 8446 §4.6.3.
    KeyUpdate {
        /// Whether it asks for one in the other direction.
        is_requested: bool,
    },
    /// RFC 8446 §4.6.1.
    Ticket(Vec<u8>),
    /// A ClientHello for a server, or a HelloRequest for a client (TLS 1.2).
    Renegotiation,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MessageKind {
    KeyUpdate,
    Ticket,
    Renegotiation,
}

enum MessageProgress {
    /// No message is incomplete.
    Between,
    /// The first `have` bytes of a header; at least one.
    Header { bytes: [u8; HEADER_BYTES], have: usize },
    /// `left` bytes of the content are to come.
    Content { kind: MessageKind, left: usize, kept: Vec<u8> },
}

/// The messages of one direction.
pub struct Messages {
    is_13: bool,
    /// Whether they come from a client.
    at_server: bool,
    state: MessageProgress,
}

impl Messages {
    /// For the version of a connection, and for the end that receives.
    pub fn new(is_13: bool, at_server: bool) -> Self {
        Self { is_13, at_server, state: MessageProgress::Between }
    }

    /// Whether a message has begun and not ended.
    pub fn is_within(&self) -> bool {
        !matches!(self.state, MessageProgress::Between)
    }

    /// The next whole message in the rest of a record, which is shortened; `None` at its end.
    ///
    /// # Errors
    /// A message that has no place after the handshake, at its first byte; a wrong length, at its fourth.
    pub fn next(&mut self, record: &mut &[u8]) -> Result<Option<Message>, RecordError> {
        loop {
            match &mut self.state {
                MessageProgress::Between => {
                    let Some(&first) = record.first() else { return Ok(None) };
                    self.kind(first)?;
                    self.state = MessageProgress::Header { bytes: [0; HEADER_BYTES], have: 0 };
                }
                MessageProgress::Header { bytes, have } => {
                    let taken = record.len().min(HEADER_BYTES - *have);
                    bytes[*have..*have + taken].copy_from_slice(&record[..taken]);
                    *record = &record[taken..];
                    *have += taken;
                    if *have < HEADER_BYTES {
                        return Ok(None);
                    }
                    let [first, high, middle, low] = *bytes;
                    let kind = self.kind(first)?;
                    let left = u32::from_be_bytes([0, high, middle, low]) as usize;
                    self.check_length(kind, left)?;
                    self.state = MessageProgress::Content { kind, left, kept: Vec::new() };
                }
                MessageProgress::Content { kind, left, kept } => {
                    let (part, rest) = record.split_at(record.len().min(*left));
                    *record = rest;
                    *left -= part.len();
                    if *kind != MessageKind::Renegotiation {
                        kept.extend_from_slice(part);
                    }
                    if *left > 0 {
                        return Ok(None);
                    }
                    let (kind, content) = (*kind, std::mem::take(kept));
                    self.state = MessageProgress::Between;
                    return whole(kind, content, rest).map(Some);
                }
            }
        }
    }

    fn kind(&self, first: u8) -> Result<MessageKind, RecordError> {
        match (first, self.is_13, self.at_server) {
            (KEY_UPDATE, true, _) => Ok(MessageKind::KeyUpdate),
            (NEW_SESSION_TICKET, true, false) => Ok(MessageKind::Ticket),
            (CLIENT_HELLO, false, true) | (HELLO_REQUEST, false, false) => Ok(MessageKind::Renegotiation),
            _ => Err(RecordError::UnexpectedMessage(first)),
        }
    }

    fn check_length(&self, kind: MessageKind, length: usize) -> Result<(), RecordError> {
        let is_right = match kind {
            MessageKind::KeyUpdate => length == 1,
            MessageKind::Ticket => length <= TICKET_BYTES_MAX,
            MessageKind::Renegotiation if self.at_server => length <= HELLO_BYTES_MAX,
            MessageKind::Renegotiation => length == 0,
        };
        if is_right { Ok(()) } else { Err(RecordError::Malformed) }
    }
}

fn whole(kind: MessageKind, content: Vec<u8>, rest: &[u8]) -> Result<Message, RecordError> {
    match kind {
        MessageKind::Ticket => Ok(Message::Ticket(content)),
        MessageKind::Renegotiation => Ok(Message::Renegotiation),
        // RFC 8446 §5.1: keys change at a record boundary.
        MessageKind::KeyUpdate if !rest.is_empty() => Err(RecordError::BehindKeyUpdate),
        MessageKind::KeyUpdate => match content[..] {
            [0] => Ok(Message::KeyUpdate { is_requested: false }),
            [1] => Ok(Message::KeyUpdate { is_requested: true }),
            _ => Err(RecordError::IllegalValue),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All messages of these records, or the error and the index of its record.
    fn read(messages: &mut Messages, records: &[&[u8]]) -> Result<Vec<Message>, (usize, RecordError)> {
        let mut all = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let mut rest = *record;
            while let Some(message) = messages.next(&mut rest).map_err(|error| (index, error))? {
                all.push(message);
            }
            assert!(rest.is_empty());
        }
        Ok(all)
    }

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        let ticket = Message::Ticket(vec![7; 300]);
        let update = Message::KeyUpdate { is_requested: true };
        let bytes = [&[4, 0, 1, 44][..], &[7; 300], &[4, 0, 1, 44], &[7; 300], &[24, 0, 0, 1, 1]].concat();
        for size in 1..=bytes.len() {
            let records: Vec<&[u8]> = bytes.chunks(size).collect();
            let mut messages = Messages::new(true, false);
            assert_eq!(
                read(&mut messages, &records).unwrap(),
                [ticket.clone(), ticket.clone(), update.clone()]
            );
            assert!(!messages.is_within(), "in pieces of {size}");
        }
    }

    #[test]
    fn type_and_length_are_judged_as_soon_as_they_are_known() {
        use RecordError::{BehindKeyUpdate, IllegalValue, Malformed, UnexpectedMessage};
        /// The version is 1.3, the receiver is a server, the records, and the error with its record.
        type Case = (bool, bool, &'static [&'static [u8]], (usize, RecordError));
        let cases: [Case; 13] = [
            // A certificate, unasked for: at its first byte.
            (true, true, &[&[11], &[0]], (0, UnexpectedMessage(11))),
            (true, true, &[&[4]], (0, UnexpectedMessage(4))),
            (true, true, &[&[1]], (0, UnexpectedMessage(1))),
            (true, false, &[&[13]], (0, UnexpectedMessage(13))),
            (false, true, &[&[0, 0, 0, 0]], (0, UnexpectedMessage(0))),
            (false, true, &[&[24]], (0, UnexpectedMessage(24))),
            (false, false, &[&[1]], (0, UnexpectedMessage(1))),
            // Lengths: at the fourth byte.
            (true, true, &[&[24], &[0, 0], &[2]], (2, Malformed)),
            (true, false, &[&[4, 1, 0, 1]], (0, Malformed)),
            (false, true, &[&[1, 1, 0, 1]], (0, Malformed)),
            (false, false, &[&[0, 0, 0, 1]], (0, Malformed)),
            (true, true, &[&[24, 0, 0, 1], &[2]], (1, IllegalValue)),
            (true, true, &[&[24, 0, 0, 1, 0, 24]], (0, BehindKeyUpdate)),
        ];
        for (is_13, at_server, records, expected) in cases {
            let read = read(&mut Messages::new(is_13, at_server), records);
            assert_eq!(read, Err(expected), "{records:?}");
        }
    }

    #[test]
    fn what_is_refused_anyway_is_not_kept() {
        let mut messages = Messages::new(false, true);
        assert_eq!(read(&mut messages, &[&[1, 1, 0, 0], &[9; 60_000]]), Ok(Vec::new()));
        let MessageProgress::Content { left, kept, .. } = &messages.state else {
            panic!("it is within a message")
        };
        assert_eq!((*left, kept.capacity()), (65_536 - 60_000, 0));
        assert_eq!(
            read(&mut messages, &[&[9; 5536], &[1, 0, 0, 0]]).unwrap(),
            [Message::Renegotiation, Message::Renegotiation]
        );
    }
}
