//! The Huffman code of strings (RFC 7541 §5.2, Appendix B), decoded one symbol per look-up: a table indexed
//! by the next byte has every code of up to eight bits, which covers common text; longer codes are found by
//! length.

use super::error::HpackError;

/// Bits of each symbol's code; the last is the end-of-string symbol's. The code is canonical, so lengths
/// define it: codes of one length count up in the order of their symbols, shorter ones come first.
#[rustfmt::skip]
pub(super) const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// All bytes and the end-of-string symbol.
const SYMBOLS: usize = 257;
const EOS: u16 = 256;
const LENGTH_MAX: usize = 30;
/// Padding is shorter than a byte.
const PADDING_BITS_MAX: u32 = 7;

/// A code of at most eight bits.
#[derive(Clone, Copy)]
struct ShortCode {
    symbol: u8,
    /// Zero where the byte begins a longer code.
    length: u8,
}

/// All codes of one length, aligned to the left of 32 bits.
#[derive(Clone, Copy)]
struct CodeGroup {
    first: u32,
    /// The last code of this length, ones behind it.
    last: u32,
    /// Where the symbols of this length begin in `HuffmanCode::symbols`.
    offset: u16,
}

struct HuffmanCode {
    short: [ShortCode; 256],
    /// By length. A length without codes repeats the `last` of the one before.
    groups: [CodeGroup; LENGTH_MAX + 1],
    /// Sorted by the length of their codes, then by value.
    symbols: [u16; SYMBOLS],
}

static CODE: HuffmanCode = canonical();

const fn canonical() -> HuffmanCode {
    let mut code = HuffmanCode {
        short: [ShortCode { symbol: 0, length: 0 }; 256],
        groups: [CodeGroup { first: 0, last: 0, offset: 0 }; LENGTH_MAX + 1],
        symbols: [0; SYMBOLS],
    };
    let mut next: u64 = 0; // aligned to the left of 32 bits
    let mut placed = 0;
    let mut length = 1;
    while length <= LENGTH_MAX {
        code.groups[length].first = next as u32;
        code.groups[length].offset = placed as u16;
        let step = 1 << (32 - length);
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                code.symbols[placed] = symbol as u16;
                placed += 1;
                let mut low = 0;
                while length <= 8 && low < 1 << (8 - length) {
                    let byte = (next >> 24) as usize + low;
                    code.short[byte] = ShortCode { symbol: symbol as u8, length: length as u8 };
                    low += 1;
                }
                next += step;
            }
            symbol += 1;
        }
        code.groups[length].last = next.saturating_sub(1) as u32;
        length += 1;
    }
    assert!(placed == SYMBOLS && next == 1 << 32, "the code is complete");
    code
}

/// Appends the decoded `coded` to `out`.
///
/// # Errors
/// [`HpackError::HuffmanEos`] and [`HpackError::HuffmanPadding`]; `out` then holds what came before.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    // No code is shorter than five bits.
    out.reserve(coded.len() * 8 / 5);
    let mut rest = coded;
    let mut window: u64 = 0; // the next bits, aligned to the left, zeros behind them
    let mut bits: u32 = 0;
    loop {
        if bits < 32 {
            if let Some((four, after)) = rest.split_first_chunk::<4>() {
                window |= u64::from(u32::from_be_bytes(*four)) << (32 - bits);
                bits += 32;
                rest = after;
            } else {
                for &byte in rest {
                    window |= u64::from(byte) << (56 - bits);
                    bits += 8;
                }
                rest = &[];
            }
        }
        let ShortCode { symbol, length } = CODE.short[(window >> 56) as usize];
        let (symbol, length) = match length {
            0 => long(window),
            _ => (u16::from(symbol), u32::from(length)),
        };
        if length > bits {
            return check_padding(window, bits);
        }
        if symbol == EOS {
            return Err(HpackError::HuffmanEos);
        }
        out.push(symbol as u8);
        window <<= length;
        bits -= length;
    }
}

/// The symbol whose code of more than eight bits begins the window, and the code's length.
#[inline(never)]
fn long(window: u64) -> (u16, u32) {
    let head = (window >> 32) as u32;
    for length in 9..LENGTH_MAX {
        let group = &CODE.groups[length];
        if head <= group.last {
            let nth = (head - group.first) >> (32 - length);
            return (CODE.symbols[usize::from(group.offset) + nth as usize], length as u32);
        }
    }
    let group = &CODE.groups[LENGTH_MAX];
    let nth = (head - group.first) >> (32 - LENGTH_MAX);
    (CODE.symbols[usize::from(group.offset) + nth as usize], LENGTH_MAX as u32)
}

/// Checks the bits left when no code is complete: the first bits of the end-of-string symbol, all ones, or
/// nothing.
fn check_padding(window: u64, bits: u32) -> Result<(), HpackError> {
    let ones = window.leading_ones();
    if bits > PADDING_BITS_MAX || ones < bits { Err(HpackError::HuffmanPadding) } else { Ok(()) }
}
