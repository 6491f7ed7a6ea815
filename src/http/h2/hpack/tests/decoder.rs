//! What the decoder refuses, and what it does with lists that are too large.

use std::cell::Cell;

use super::*;

fn refused(block: &str) -> HpackError {
    decode(&mut Decoder::new(), &hex(block)).unwrap_err()
}

#[test]
fn indexes_of_no_entry() {
    assert_eq!(refused("80"), HpackError::IndexZero);
    assert_eq!(refused("be"), HpackError::IndexUnknown(62));
    assert_eq!(refused("ff00"), HpackError::IndexUnknown(127));
    assert_eq!(refused("7f 00 0161"), HpackError::IndexUnknown(63));
    assert_eq!(refused("0f7f 0161"), HpackError::IndexUnknown(142));
    // An entry that was dropped is in no table.
    let mut decoder = Decoder::new();
    assert_eq!(decode(&mut decoder, &hex("4001610162 be")).unwrap().len(), 2);
    assert_eq!(decode(&mut decoder, &hex("20 be")), Err(HpackError::IndexUnknown(62)));
}

#[test]
fn integers_beyond_reason() {
    assert_eq!(refused("ff 80808080 00"), HpackError::IntegerTooLong);
    assert_eq!(refused("ff ffffffff 0f"), HpackError::IntegerTooLong);
    assert_eq!(refused("ff ffffff7f"), HpackError::IndexUnknown(127 + (1 << 28) - 1));
    assert_eq!(refused("00 7f ffffff7f"), HpackError::Truncated);
    assert_eq!(refused("3f ffffffff ffffffff ff"), HpackError::IntegerTooLong);
    assert_eq!(refused("ff"), HpackError::Truncated);
    assert_eq!(refused("ff80"), HpackError::Truncated);
    // Four octets may have leading zeros.
    assert_eq!(decode(&mut Decoder::new(), &hex("0f80808000 0161")).unwrap()[0].1, "a");
}

#[test]
fn strings_beyond_the_block() {
    assert_eq!(refused("00"), HpackError::Truncated);
    assert_eq!(refused("0001"), HpackError::Truncated);
    assert_eq!(refused("000161"), HpackError::Truncated);
    assert_eq!(refused("00016105"), HpackError::Truncated);
    assert_eq!(refused("00016105 61616161"), HpackError::Truncated);
}

#[test]
fn huffman_errors_of_strings() {
    assert_eq!(refused("04 84 ffffffff"), HpackError::HuffmanEos);
    assert_eq!(refused("04 82 1fff"), HpackError::HuffmanPadding);
    assert_eq!(refused("04 81 1c"), HpackError::HuffmanPadding);
    assert_eq!(refused("00 81 1c 00"), HpackError::HuffmanPadding);
}

#[test]
fn empty_names_and_values_are_the_callers_to_refuse() {
    assert_eq!(decode(&mut Decoder::new(), &hex("0000 00")), Ok(pairs(&[("", "")])));
    assert_eq!(decode(&mut Decoder::new(), b""), Ok(Vec::new()));
    assert_eq!(decode(&mut Decoder::new(), &hex("0080 80")), Ok(pairs(&[("", "")])));
}

#[test]
fn size_updates_at_the_begin_alone() {
    assert_eq!(refused("82 20"), HpackError::SizeUpdateLate);
    assert_eq!(refused("3fe21f"), HpackError::SizeUpdateTooLarge(4097));
    assert_eq!(decode(&mut Decoder::new(), &hex("20 3fe11f 82")).unwrap().len(), 1);
    let mut decoder = Decoder::new();
    decoder.set_table_bytes_max(8192);
    assert_eq!(decode(&mut decoder, &hex("3fe13f")), Ok(Vec::new()));
}

/// RFC 9113 §4.3.1, RFC 7541 §4.2: after a reduction, an update to the smallest announced, or below.
#[test]
fn size_updates_after_a_reduction() {
    let reduced = |to: &[u32]| {
        let mut decoder = Decoder::new();
        to.iter().for_each(|&bytes| decoder.set_table_bytes_max(bytes));
        decoder
    };
    assert_eq!(decode(&mut reduced(&[100]), &hex("82")), Err(HpackError::SizeUpdateMissing));
    assert_eq!(decode(&mut reduced(&[100]), b""), Err(HpackError::SizeUpdateMissing));
    assert_eq!(decode(&mut reduced(&[100]), &hex("3f46")), Err(HpackError::SizeUpdateTooLarge(101)));
    assert_eq!(decode(&mut reduced(&[100]), &hex("3f45 82")).unwrap().len(), 1);
    assert_eq!(decode(&mut reduced(&[100]), &hex("20 82")).unwrap().len(), 1);
    assert_eq!(decode(&mut reduced(&[100, 4096]), &hex("3fe11f 82")), Err(HpackError::SizeUpdateMissing));
    assert_eq!(decode(&mut reduced(&[100, 4096]), &hex("3f45 3fe11f 82")).unwrap().len(), 1);
    assert_eq!(decode(&mut reduced(&[5000, 4096]), &hex("82")).unwrap().len(), 1, "never used");
    // Once is enough.
    let mut decoder = reduced(&[100]);
    assert!(decode(&mut decoder, &hex("3f45 82")).is_ok() && decode(&mut decoder, &hex("82")).is_ok());
}

#[test]
fn what_is_known_of_names() {
    let mut seen = Vec::new();
    let block = hex("82 44 0161 be 1f28 0162 00 0178 00 40 05 3a70617468 00 be bf");
    let end = Decoder::new().decode(&block, LIST_BYTES, |field| {
        seen.push((text(field.name), field.name_index, field.never_indexed));
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(end, Ok(ListEnd::Whole));
    let expected = [
        (":method", 2, false),
        (":path", 4, false),
        (":path", 4, false),
        ("set-cookie", 55, true),
        ("x", 0, false),
        (":path", 0, false),
        (":path", 0, false),
        (":path", 4, false),
    ];
    assert_eq!(seen, expected.map(|(name, index, never)| (name.to_string(), index, never)));
}

/// The sink sees no more, but the table is as if it had.
#[test]
fn after_a_break_the_table_stays_in_step() {
    let mut decoder = Decoder::new();
    let calls = Cell::new(0);
    let end = decoder.decode(&hex("82 40 0161 0162 be 40 0163 0164"), LIST_BYTES, |_| {
        calls.set(calls.get() + 1);
        ControlFlow::Break("enough")
    });
    assert_eq!((end, calls.get()), (Ok(ListEnd::Broken("enough")), 1));
    assert_eq!(decode(&mut decoder, &hex("be bf")), Ok(pairs(&[("c", "d"), ("a", "b")])));
    // Errors behind the break are errors.
    let end = decoder.decode(&hex("82 80"), LIST_BYTES, |_| ControlFlow::Break(()));
    assert_eq!(end, Err(HpackError::IndexZero));
}

#[test]
fn lists_are_bounded_to_the_byte() {
    let block = hex("400161 0162 be be");
    for (limit, fields) in [(0, 0), (33, 0), (34, 1), (67, 1), (68, 2), (101, 2), (102, 3)] {
        let mut seen = 0;
        let end = Decoder::new().decode(&block, limit, |_| {
            seen += 1;
            ControlFlow::<()>::Continue(())
        });
        assert_eq!(seen, fields, "{limit}");
        assert_eq!(end, Ok(if fields == 3 { ListEnd::Whole } else { ListEnd::TooLarge }), "{limit}");
    }
}

/// One large entry, named by every byte of the block: 64 MiB of fields, of which the sink sees 16 KiB.
#[test]
fn bomb_of_indexes() {
    let mut decoder = Decoder::new();
    let entry = [&hex("40 0161 7f c01e")[..], &[b'x'; 4031]].concat();
    decode(&mut decoder, &entry).unwrap();
    assert_eq!(decoder.table_bytes(), 4064);
    let (mut bytes, mut after) = (0, 0);
    let block = [&vec![0xbe; 16 * 1024][..], &hex("40 0163 0164")].concat();
    let end = decoder.decode(&block, 16 * 1024, |field| {
        bytes += field.name.len() + field.value.len() + 32;
        after += 1;
        ControlFlow::<()>::Continue(())
    });
    assert_eq!((end, after), (Ok(ListEnd::TooLarge), 4));
    assert!(bytes <= 16 * 1024);
    assert_eq!(decode(&mut decoder, &hex("be")), Ok(pairs(&[("c", "d")])), "the table is the peer's");
}

/// Insertions that drop each other, a megabyte of them: memory stays with the table's size.
#[test]
fn bomb_of_insertions() {
    let mut decoder = Decoder::new();
    let insertion = [&hex("40 0161 7f 8107")[..], &[b'x'; 1024]].concat();
    for _ in 0..64 {
        let block = insertion.repeat(16);
        decoder.decode(&block, 0, |_| ControlFlow::<()>::Continue(())).unwrap();
        assert!(decoder.table_bytes() <= 4096);
        assert!(decoder.memory_bytes() <= 2 * 4096 + 1024);
    }
}

/// An entry larger than the table empties it, and is a field all the same (RFC 7541 §4.4).
#[test]
fn entry_larger_than_the_table() {
    let mut decoder = Decoder::new();
    let fields = decode(&mut decoder, &hex("3f09 4001610162 40 0161 0a 30313233343536373839")).unwrap();
    assert_eq!(fields, pairs(&[("a", "b"), ("a", "0123456789")]));
    assert_eq!(decoder.table_bytes(), 0);
    assert_eq!(decode(&mut decoder, &hex("be")), Err(HpackError::IndexUnknown(62)));
}

/// The name of an entry that is dropped for the one that takes its name (RFC 7541 §4.4).
#[test]
fn name_of_the_entry_that_is_dropped() {
    let mut decoder = Decoder::new();
    let block = "3f15 40 07 6e616d652d6f66 0162 7e 0a 30313233343536373839";
    let fields = decode(&mut decoder, &hex(block)).unwrap();
    assert_eq!(fields, pairs(&[("name-of", "b"), ("name-of", "0123456789")]));
    assert_eq!(decode(&mut decoder, &hex("be")), Ok(pairs(&[("name-of", "0123456789")])));
}

proptest::proptest! {
    /// Nothing panics, and no limit is passed.
    #[test]
    fn any_bytes(
        blocks in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..200), 1..10),
        limit in 0u32..400,
    ) {
        let mut decoder = Decoder::new();
        for block in blocks {
            let mut bytes = 0;
            let _ = decoder.decode(&block, limit, |field| {
                bytes += field.name.len() + field.value.len() + 32;
                ControlFlow::<()>::Continue(())
            });
            proptest::prop_assert!(bytes <= limit as usize && decoder.table_bytes() <= 4096);
        }
    }
}
