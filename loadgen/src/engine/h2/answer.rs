//! What came of an answer in HTTP/2 (RFC 9113, section 8.1): its status and how much of its content. Knows
//! no frames and no streams.

use std::ops::ControlFlow;

use quoit::http::h2::ConnectionError;
use quoit::http::h2::hpack::{Decoder, ListEnd};

/// Bytes of a list of fields at the most, as of a head in HTTP/1.
const LIST_BYTES_MAX: u32 = 64 * 1024;

/// First indexes of names in HPACK's static table (RFC 7541, appendix A).
const STATUS: u8 = 8;
const CONTENT_LENGTH: u8 = 28;

/// The relevant contents of a field block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Fields {
    status: Option<u16>,
    content_length: Option<u64>,
    /// A malformed status or length, or too many fields.
    is_unsound: bool,
}

/// Reads a whole block.
///
/// # Errors
/// What costs the connection: a block that cannot be decoded leaves both ends with different tables.
pub(super) fn read_block(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, ConnectionError> {
    let mut fields = Fields::default();
    let sink = |field: quoit::http::h2::hpack::Field<'_>| {
        let number =
            || std::str::from_utf8(field.value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        match (field.name_index, field.name) {
            (STATUS, _) | (0, b":status") => {
                let status =
                    number().and_then(|text| text.parse().ok()).filter(|code| (100..1000).contains(code));
                fields.is_unsound |= status.is_none() || fields.status.is_some();
                fields.status = status;
            }
            (CONTENT_LENGTH, _) | (0, b"content-length") => {
                let length = number().and_then(|text| text.parse().ok());
                fields.is_unsound |= length.is_none();
                fields.is_unsound |= fields.content_length.is_some_and(|before| Some(before) != length);
                fields.content_length = length;
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    };
    let end = decoder.decode(block, LIST_BYTES_MAX, sink).map_err(ConnectionError::Compression)?;
    fields.is_unsound |= matches!(end, ListEnd::TooLarge);
    Ok(fields)
}

/// An answer as far as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    /// The status; 0 before it is known.
    pub(super) status: u16,
    /// Bytes of its frames.
    pub(super) bytes: u64,
    is_head: bool,
    /// Content that is to come, where it was said.
    left: Option<u64>,
}

impl Came {
    /// Nothing of an answer; `is_head` if it answers a HEAD.
    pub(super) fn new(is_head: bool) -> Self {
        Self { status: 0, bytes: 0, is_head, left: None }
    }

    /// Fields: of an interim answer, of the answer, or trailers; `ends` if nothing follows them.
    pub(super) fn handle_fields(&mut self, fields: Fields, ends: bool) -> Result<(), ()> {
        if fields.is_unsound {
            return Err(());
        }
        if self.status > 0 {
            // Trailers: the last, without a status, and behind all that was promised.
            let is_sound = ends && fields.status.is_none() && !self.is_short();
            return if is_sound { Ok(()) } else { Err(()) };
        }
        match fields.status {
            None | Some(101) => return Err(()),
            Some(100..200) => return if ends { Err(()) } else { Ok(()) },
            Some(status) => self.status = status,
        }
        // RFC 9110, section 6.4.1: these announce a length and have no content.
        let has_content = !self.is_head && !matches!(self.status, 204 | 304);
        self.left = if has_content { fields.content_length } else { Some(0) };
        if ends && self.is_short() { Err(()) } else { Ok(()) }
    }

    /// Content: not before the fields, and not more than they said.
    pub(super) fn handle_data(&mut self, bytes: u64) -> Result<(), ()> {
        if self.status == 0 {
            return Err(());
        }
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes).ok_or(())?;
        }
        Ok(())
    }

    /// Whether content is missing.
    pub(super) fn is_short(&self) -> bool {
        self.left.is_some_and(|left| left > 0)
    }
}

#[cfg(test)]
mod tests {
    use quoit::http::h2::hpack::Encoder;

    use super::*;

    fn fields(lines: &str) -> Fields {
        let mut block = Vec::new();
        Encoder::new().begin(&mut block).lines(lines.as_bytes());
        read_block(&mut Decoder::new(), &block).unwrap()
    }

    #[test]
    fn answers_are_as_long_as_they_say() {
        for (head, is_head, ends, content, is_sound) in [
            (":status: 200\r\ncontent-length: 5\r\n", false, false, 5, true),
            (":status: 200\r\ncontent-length: 5\r\n", false, false, 4, false),
            (":status: 200\r\ncontent-length: 5\r\n", false, true, 0, false),
            (":status: 200\r\ncontent-length: 5\r\n", true, true, 0, true),
            (":status: 304\r\ncontent-length: 5\r\n", false, true, 0, true),
            (":status: 200\r\n", false, false, 9, true),
            (":status: 204\r\n", false, false, 1, false),
            (":status: 99\r\n", false, true, 0, false),
            (":status: 101\r\n", false, true, 0, false),
            (":status: 200\r\n:status: 200\r\n", false, true, 0, false),
            (":status: 200\r\ncontent-length: +5\r\n", false, false, 5, false),
            (":status: 200\r\ncontent-length: 5\r\ncontent-length: 6\r\n", false, false, 5, false),
            ("content-length: 5\r\n", false, false, 5, false),
        ] {
            let mut came = Came::new(is_head);
            let mut read = came.handle_fields(fields(head), ends);
            if content > 0 {
                read = read.and_then(|()| came.handle_data(content));
            }
            assert_eq!(read.is_ok() && !came.is_short(), is_sound, "{head:?} and {content} bytes");
        }
    }

    #[test]
    fn interim_answers_come_before_and_trailers_behind() {
        let mut came = Came::new(false);
        assert!(came.handle_data(1).is_err(), "content before the fields");
        came.handle_fields(fields(":status: 103\r\nlink: x\r\n"), false).unwrap();
        assert!(
            came.handle_fields(fields(":status: 100\r\n"), true).is_err(),
            "an interim answer is not the last"
        );
        came.handle_fields(fields(":status: 200\r\ncontent-length: 1\r\n"), false).unwrap();
        assert!(came.handle_fields(fields("a: b\r\n"), true).is_err(), "before the content");
        came.handle_data(1).unwrap();
        assert!(came.handle_fields(fields("a: b\r\n"), false).is_err(), "trailers end it");
        assert!(came.handle_fields(fields(":status: 200\r\n"), true).is_err(), "trailers have no status");
        came.handle_fields(fields("a: b\r\n"), true).unwrap();
        assert_eq!(came.status, 200);
    }
}
