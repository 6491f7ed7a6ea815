//! Compresses files as far as possible, because it is done once and the result is sent often. Blocks for
//! about a second per half mebibyte.

use std::io::{self, Write};

use bytes::Bytes;

use crate::http::accept_encoding::Coding;

/// A form must save this share of the original, or it is not worth a Vary and a decoder's time.
const SAVED_PERCENT_MIN: usize = 5;

/// The slowest levels. Level 19 of zstd needs no more memory to decode than the file is long.
const GZIP_LEVEL: u32 = 9;
const ZSTD_LEVEL: i32 = 19;
const BROTLI_QUALITY: i32 = 11;

/// The hash of a content and the forms of it that save enough, in the order of [`Coding::PREFERRED`]. The
/// same content has the same forms on every machine.
pub(super) fn forms(body: &[u8]) -> (u128, Vec<(Coding, Bytes)>) {
    // The fastest first: where it saves nothing, the others will not either.
    let Some(zstd) = worth(body, zstd(body)) else { return (0, Vec::new()) };
    let forms = [
        (Coding::Brotli, worth(body, brotli(body))),
        (Coding::Zstd, Some(zstd)),
        (Coding::Gzip, worth(body, gzip(body))),
    ];
    let worthy = forms.into_iter().filter_map(|(coding, form)| form.map(|form| (coding, form)));
    (hash(body), worthy.collect())
}

fn worth(body: &[u8], form: io::Result<Vec<u8>>) -> Option<Bytes> {
    // Writing to memory does not fail; a compressor that fails yields no form.
    let form = form.ok()?;
    let is_worth = form.len() <= body.len() / 100 * (100 - SAVED_PERCENT_MIN);
    // Kept for long: without the room it grew into.
    is_worth.then(|| form.into_boxed_slice().into())
}

fn zstd(body: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(body, ZSTD_LEVEL)
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
    encoder.write_all(body)?;
    encoder.finish()
}

fn brotli(body: &[u8]) -> io::Result<Vec<u8>> {
    // A window as large as the file, within what every decoder has to support (RFC 7932 §9.1).
    let window_bits = body.len().next_power_of_two().ilog2().clamp(10, 24) as i32;
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: window_bits,
        size_hint: body.len(),
        ..Default::default()
    };
    let mut form = Vec::new();
    brotli::BrotliCompress(&mut &body[..], &mut form, &parameters)?;
    Ok(form)
}

/// FNV-1a with 128 bits: the same on every machine and in every release. It distinguishes the versions of one
/// file; an attacker who could choose colliding contents could also serve any content.
fn hash(body: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    body.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn forms_decode_to_the_original() {
        for length in [1024, 5000, 100_000] {
            let body: Vec<u8> = (0..length).map(|n| b"what a text"[n * n % 7 + n % 5]).collect();
            let (_, forms) = forms(&body);
            let codings: Vec<_> = forms.iter().map(|(coding, _)| *coding).collect();
            assert_eq!(codings, Coding::PREFERRED);
            for (coding, form) in forms {
                let mut decoded = Vec::new();
                match coding {
                    Coding::Brotli => brotli::BrotliDecompress(&mut &form[..], &mut decoded).unwrap(),
                    Coding::Zstd => decoded = zstd::bulk::decompress(&form, length).unwrap(),
                    Coding::Gzip => {
                        flate2::read::GzDecoder::new(&form[..]).read_to_end(&mut decoded).unwrap();
                    }
                    Coding::Identity => unreachable!("never a form"),
                }
                assert!(decoded == body, "{coding:?} of {length}");
                assert!(form.len() * 100 <= length * 95);
            }
        }
    }

    #[test]
    fn noise_has_no_forms() {
        let mut state = 7_u64;
        let noise: Vec<u8> = (0..10_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        assert!(forms(&noise).1.is_empty());
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // From the authors' test vectors.
        assert_eq!(hash(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(hash(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(hash(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }
}
