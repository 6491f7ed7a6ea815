//! The Huffman code: every symbol, every padding, every error.

use super::*;
use crate::http::h2::hpack::huffman;

/// All 256 bytes in order, as the PyPI package `hpack` 4.2.0 encodes them.
const ALL: &str = "
    ffc7fffd8fffffe2fffffe3fffffe4fffffe5fffffe6fffffe7fffffe8ffffeafffffff3fffffa7fffffabffffffdfff
    ffebfffffecfffffedfffffeefffffefffffff0ffffff1ffffff2fffffffbfffffcffffffd3fffffd7fffffdbfffffdf
    fffffe3fffffe7fffffebfffffed4fe3f9ffaffcabf1febfafefe7fdfd2cbb00089969b71d79fb9f7fff20ffbff3ff50
    ddbd7f061c58f265cd9f469d5af66dddbf871e5f9cff7ff7fffc3ff9ffe45fff4719242cb34e6e9d68a6a3d7dac426de
    fe3cfaf7fffbfe7ffbffdffffffcfffe6ffff4bfff9ffffa3fffd3ffff53fffd5ffffb3fffeb7fffdaffffb7ffff73ff
    feeffffdeffffebffffbfffffd9ffffdbfffebffffe0ffffeeffffc3ffff8bffff1ffffe4fffee7fffb1ffff97fffd9f
    fffcdffff9fffffbffffdafffeeffff4ffffb7fffee7fffe8ffffd3fffdeffffd5fffeeffffbdffffe1fffdfffff7fff
    ff5ffffecffff07fff87fffe0ffff17fffedffff87ffff77fffeffffeaffff8bfffe3ffff93ffff87fffcbffff37ffff
    1fffff83ffffe1fffebfffe3ffff3fffff2ffffa3ffffd9fffff17ffffc7fffff27ffffdefffffbffffff2fffff8ffff
    fb7fff97fff8fffffe6fffffc1fffff87ffffe7fffffc5ffffe5fffe4ffff2fffffd1fffff4ffffffefffffe3fffffc9
    fffff97fffb3ffffcffffb7fffcdffff4ffff9ffffd1ffffcffffeaffffafffffddffffeffffff4fffff5fffffabffff
    a7ffffd7fffff9bffffecfffffb7fffff3fffffe8fffffd3fffffabfffff5fffffff7ffffecfffffdbfffffbbfffff7f
    fffff0fffffbbf";

fn decoded(coded: &[u8]) -> Result<Vec<u8>, HpackError> {
    let mut out = Vec::new();
    huffman::decode(coded, &mut out).map(|()| out)
}

/// Bits of a string under construction, one per byte.
fn packed(bits: &[u8]) -> Vec<u8> {
    bits.chunks(8)
        .map(|byte| byte.iter().enumerate().fold(0, |all, (at, bit)| all | bit << (7 - at)))
        .collect()
}

/// The code of each byte as bits, taken from `ALL` by its lengths alone: it is a prefix code.
fn codes() -> Vec<Vec<u8>> {
    let all: Vec<u8> = hex(ALL).iter().flat_map(|byte| (0..8).map(move |at| byte >> (7 - at) & 1)).collect();
    let mut at = 0;
    (0..256)
        .map(|symbol| {
            let code = all[at..at + usize::from(huffman::LENGTHS[symbol])].to_vec();
            at += code.len();
            code
        })
        .collect()
}

#[test]
fn every_symbol() {
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(decoded(&hex(ALL)), Ok(bytes));
    assert_eq!(decoded(b""), Ok(Vec::new()));
}

/// Each pair of symbols in whatever alignment it brings, and then every padding there is.
#[test]
fn every_pair_and_every_padding() {
    let codes = codes();
    for first in 0..=255u8 {
        for second in 0..=255u8 {
            let mut bits = [&codes[usize::from(first)][..], &codes[usize::from(second)]].concat();
            let padding = bits.len().next_multiple_of(8) - bits.len();
            bits.resize(bits.len() + padding, 1);
            assert_eq!(decoded(&packed(&bits)), Ok(vec![first, second]));
        }
        let code = &codes[usize::from(first)];
        let padding = code.len().next_multiple_of(8) - code.len();
        for zero in 0..padding {
            let mut bits = code.clone();
            bits.resize(code.len() + padding, 1);
            bits[code.len() + zero] = 0;
            // The padding is now another symbol's code, or is none; what it may not be is nothing.
            let result = decoded(&packed(&bits));
            assert!(result == Err(HpackError::HuffmanPadding) || result.is_ok_and(|out| out.len() == 2));
        }
        // A whole byte of ones is too much (RFC 7541 §5.2).
        let mut bits = code.clone();
        bits.resize(code.len() + padding + 8, 1);
        assert_eq!(decoded(&packed(&bits)), Err(HpackError::HuffmanPadding));
    }
}

#[test]
fn end_of_string_symbol() {
    assert_eq!(decoded(&[0xff; 4]), Err(HpackError::HuffmanEos));
    assert_eq!(decoded(&hex("1fffffffff")), Err(HpackError::HuffmanEos));
    for length in 1..4 {
        assert_eq!(decoded(&vec![0xff; length]), Err(HpackError::HuffmanPadding), "{length}");
    }
}

/// A symbol cut short is no padding, unless what is left of it is at most seven ones.
#[test]
fn truncated_symbols() {
    for code in codes().iter().filter(|code| code.len() > 8) {
        let bits = &code[..8];
        assert_eq!(decoded(&packed(bits)), Err(HpackError::HuffmanPadding));
    }
}
