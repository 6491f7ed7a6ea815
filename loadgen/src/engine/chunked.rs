//! The chunked transfer coding (RFC 9112, section 7.1), skipped over: only its end matters.

/// Digits of a chunk's size at the most: 60 bits of length.
const DIGITS_MAX: u8 = 15;

/// Bytes of extensions and trailers at the most.
const TEXT_BYTES_MAX: u32 = 64 * 1024;

/// Where in a chunked content the reader stands.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    place: Place,
    left: u64,
    digits: u8,
    text: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Size,
    Extension,
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    TrailerStart,
    Trailer,
    TrailerEnd,
    LastEnd,
}

impl Chunked {
    /// Takes what came: how much of it belongs to this content, and whether that is over.
    pub(super) fn handle_bytes(&mut self, input: &[u8]) -> Result<(usize, bool), ()> {
        let mut at = 0;
        while at < input.len() {
            if let Place::Data = self.place {
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                (at, self.left) = (at + skipped, self.left - skipped as u64);
                if self.left == 0 {
                    self.place = Place::DataReturn;
                }
                continue;
            }
            let byte = input[at];
            at += 1;
            if let (Place::LastEnd, b'\n') = (self.place, byte) {
                return Ok((at, true));
            }
            self.place = self.handle_byte(byte)?;
        }
        Ok((at, false))
    }

    fn handle_byte(&mut self, byte: u8) -> Result<Place, ()> {
        Ok(match (self.place, byte) {
            (Place::Size, digit) if digit.is_ascii_hexdigit() && self.digits < DIGITS_MAX => {
                let value = (digit as char).to_digit(16).ok_or(())?;
                (self.left, self.digits) = (self.left << 4 | u64::from(value), self.digits + 1);
                Place::Size
            }
            (Place::Size, b';' | b' ' | b'\t') if self.digits > 0 => Place::Extension,
            (Place::Size, b'\r') if self.digits > 0 => Place::SizeEnd,
            (Place::Extension | Place::Trailer, b'\r') => {
                if let Place::Trailer = self.place {
                    Place::TrailerEnd
                } else {
                    Place::SizeEnd
                }
            }
            (Place::Extension | Place::Trailer | Place::TrailerStart, byte)
                if byte != b'\n' && byte != b'\r' && self.text < TEXT_BYTES_MAX =>
            {
                self.text += 1;
                if let Place::Extension = self.place { Place::Extension } else { Place::Trailer }
            }
            (Place::SizeEnd, b'\n') => {
                self.digits = 0;
                if self.left == 0 { Place::TrailerStart } else { Place::Data }
            }
            (Place::DataReturn, b'\r') => Place::DataEnd,
            (Place::DataEnd, b'\n') => Place::Size,
            (Place::TrailerStart, b'\r') => Place::LastEnd,
            (Place::TrailerEnd, b'\n') => Place::TrailerStart,
            _ => return Err(()),
        })
    }
}
