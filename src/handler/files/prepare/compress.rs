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

/// The forms of a content that save enough, in the order of [`Coding::PREFERRED`]. The same content has the
/// same forms on every machine.
pub(super) fn forms(body: &[u8]) -> Vec<(Coding, Bytes)> {
    // The fastest first: where it saves nothing, the others will not either.
    let Some(zstd) = worth(body, zstd(body)) else { return Vec::new() };
    let forms = [
        (Coding::Brotli, worth(body, brotli(body))),
        (Coding::Zstd, Some(zstd)),
        (Coding::Gzip, worth(body, gzip(body))),
    ];
    forms.into_iter().filter_map(|(coding, form)| form.map(|form| (coding, form))).collect()
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn forms_decode_to_the_original() {
        for length in [1024, 5000, 100_000] {
            let body: Vec<u8> = (0..length).map(|n| b"what a text"[n * n % 7 + n % 5]).collect();
            let forms = forms(&body);
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
        assert!(forms(&noise).is_empty());
    }
}
