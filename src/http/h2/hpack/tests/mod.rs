//! The codec against the standard's examples, another implementation's blocks, and invalid input.

mod decoder;
mod encoder;
mod foreign;
mod huffman;
mod standard;
mod table;

use std::ops::ControlFlow;

use super::{Decoder, Field, HpackError, ListEnd};

/// A list too large for any of these tests.
const LIST_BYTES: u32 = 1 << 20;

type Pair = (String, String);

/// Bytes from hexadecimal digits; white space is for the reader.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn pairs(fields: &[(&str, &str)]) -> Vec<Pair> {
    fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// All fields of a block.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Pair>, HpackError> {
    let mut fields = Vec::new();
    let sink = |field: Field<'_>| {
        fields.push((text(field.name), text(field.value)));
        ControlFlow::<()>::Continue(())
    };
    let end = decoder.decode(block, LIST_BYTES, sink)?;
    assert_eq!(end, ListEnd::Whole);
    Ok(fields)
}
