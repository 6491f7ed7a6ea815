//! `multipart/byteranges` (RFC 9110 §14.6): the delimiters and fields around the parts of a response with
//! several ranges. Writes bytes; the source of the parts and the random number of the boundary are the
//! caller's.

use std::ops::Range;

use super::range::write_content_range;

/// The delimiter of the parts. It must not occur in them: made of 128 unpredictable bits.
#[derive(Clone, Copy, Debug)]
pub struct Boundary([u8; Boundary::BYTES]);

impl Boundary {
    /// Its length: 128 bits in hexadecimal.
    pub const BYTES: usize = 32;

    /// A boundary from a random number.
    pub fn new(number: u128) -> Self {
        let mut digits = [0; Self::BYTES];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (4 * place)) as usize & 0xF];
        }
        Self(digits)
    }

    /// The Content-Type of the response.
    pub fn write_content_type(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"multipart/byteranges; boundary=");
        out.extend_from_slice(&self.0);
    }

    /// The bytes before one part: the delimiter and the part's fields.
    pub fn write_part_head(&self, out: &mut Vec<u8>, content_type: &str, range: &Range<u64>, length: u64) {
        out.extend_from_slice(b"\r\n--");
        out.extend_from_slice(&self.0);
        out.extend_from_slice(b"\r\nContent-Type: ");
        out.extend_from_slice(content_type.as_bytes());
        out.extend_from_slice(b"\r\nContent-Range: ");
        write_content_range(out, range, length);
        out.extend_from_slice(b"\r\n\r\n");
    }

    /// The bytes after the last part.
    pub fn write_end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n--");
        out.extend_from_slice(&self.0);
        out.extend_from_slice(b"--\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_two_parts() {
        let boundary = Boundary::new(0xab);
        let digits = "000000000000000000000000000000ab";
        let mut out = Vec::new();
        boundary.write_content_type(&mut out);
        assert_eq!(out, format!("multipart/byteranges; boundary={digits}").into_bytes());
        out.clear();
        boundary.write_part_head(&mut out, "text/plain", &(0..2), 9);
        out.extend_from_slice(b"ab");
        boundary.write_part_head(&mut out, "text/plain", &(7..9), 9);
        out.extend_from_slice(b"hi");
        boundary.write_end(&mut out);
        let expected = format!(
            "\r\n--{digits}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/9\r\n\r\nab\
             \r\n--{digits}\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-8/9\r\n\r\nhi\
             \r\n--{digits}--\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn every_bit_of_the_number_counts() {
        let boundary = Boundary::new(u128::MAX << 64 | 0x0123_4567_89ab_cdef);
        assert_eq!(&boundary.0, b"ffffffffffffffff0123456789abcdef");
    }
}
