//! HPACK: any blocks are decoded or refused, within every limit; when the sink gives up early the table goes
//! on as when it did not; and what was decoded comes back from the encoder's block the same.
//!
//! Input: two limits, where the sink breaks, and blocks behind their lengths.

#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use quoit::http::h2::hpack::{Decoder, Encoder, HpackError, Indexing, ListEnd};

const DROPPED: [&[u8]; 5] =
    [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];

type Fields = Vec<(Vec<u8>, Vec<u8>, bool)>;

/// All fields of a block, as long as they are no more than `list_bytes_max`.
fn decode(decoder: &mut Decoder, block: &[u8], list_bytes_max: u32) -> Result<Fields, HpackError> {
    let mut fields = Vec::new();
    let mut bytes = 0;
    let end = decoder.decode(block, list_bytes_max, |field| {
        bytes += field.name.len() + field.value.len() + 32;
        assert!(bytes <= list_bytes_max as usize);
        fields.push((field.name.to_vec(), field.value.to_vec(), field.never_indexed));
        ControlFlow::<()>::Continue(())
    })?;
    assert!(matches!(end, ListEnd::Whole | ListEnd::TooLarge));
    Ok(fields)
}

fuzz_target!(|input: (u16, u16, u8, Vec<&[u8]>)| {
    let (table_bytes, list_bytes_max, break_at, blocks) = input;
    let (mut decoder, mut breaking) = (Decoder::new(), Decoder::new());
    let (mut encoder, mut partner) = (Encoder::new(), Decoder::new());
    for (nth, block) in blocks.into_iter().enumerate() {
        if nth == 1 {
            decoder.set_table_bytes_max(u32::from(table_bytes));
            breaking.set_table_bytes_max(u32::from(table_bytes));
            encoder.set_table_bytes_max(u32::from(table_bytes));
            partner.set_table_bytes_max(u32::from(table_bytes));
        }
        let fields = decode(&mut decoder, block, u32::from(list_bytes_max));
        let mut seen: u32 = 0;
        let broken = breaking.decode(block, u32::MAX, |_| {
            seen += 1;
            if seen > u32::from(break_at) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(fields.as_ref().err(), broken.as_ref().err());
        assert_eq!(decoder.table_bytes(), breaking.table_bytes());
        assert!(decoder.table_bytes() <= u32::from(table_bytes).max(4096));
        let Ok(fields) = fields else { return };

        // What may stand in a line; of the rest the encoder knows nothing.
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        let is_value = |byte: &u8| byte.is_ascii_graphic();
        let fields = fields.into_iter().filter(|(name, value, _)| {
            !name.is_empty() && name.iter().all(is_name) && value.iter().all(is_value)
        });
        let mut out = Vec::new();
        let mut block = encoder.begin(&mut out);
        let mut sent: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (mut name, value, never) in fields {
            let indexing = if never { Indexing::Never } else { Indexing::Repeats };
            block.field(&name, &value, indexing);
            name.make_ascii_lowercase();
            if !DROPPED.contains(&&name[..]) {
                sent.push((name, value));
            }
        }
        let back = decode(&mut partner, &out, u32::MAX).expect("the encoder writes what can be read");
        assert!(back.iter().map(|(name, value, _)| (name, value)).eq(sent.iter().map(|(n, v)| (n, v))));
        assert_eq!(encoder.table_bytes(), partner.table_bytes());
    }
});
