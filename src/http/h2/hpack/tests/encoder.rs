//! What the encoder writes, octet by octet; and that a decoder reads the same from it, whatever the lines.

use proptest::prelude::*;

use super::*;
use crate::http::h2::hpack::{BlockWriter, Encoder, Indexing};
use crate::http::status::Status;

fn encode(encoder: &mut Encoder, write: impl FnOnce(&mut BlockWriter<'_>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    write(&mut encoder.begin(&mut out));
    assert!(out.starts_with(b"before"));
    out.split_off(6)
}

fn encode_lines(encoder: &mut Encoder, lines: &str) -> Vec<u8> {
    encode(encoder, |block| block.lines(lines.as_bytes()))
}

#[test]
fn a_response() {
    let mut encoder = Encoder::new();
    let block = encode(&mut encoder, |block| {
        block.status(Status::OK);
        block.lines(b"Server: quoit\r\nContent-Type: text/plain\r\n");
        block.content_length(13);
        block.date(b"Mon, 21 Oct 2013 20:13:21 GMT");
    });
    let wire = "88 0f27 05 71756f6974 0f10 0a 746578742f706c61696e 0f0d 02 3133
                0f12 1d 4d6f6e2c203231204f637420323031332032303a31333a323120474d54";
    assert_eq!(block, hex(wire));
}

#[test]
fn statuses() {
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new();
    for code in [200, 204, 206, 304, 400, 404, 500, 100, 103, 302, 503, 999] {
        let status = Status::new(code).unwrap();
        let block = encode(&mut encoder, |block| block.status(status));
        assert_eq!(decode(&mut decoder, &block), Ok(pairs(&[(":status", &code.to_string())])));
        assert_eq!(block.len(), if [200, 204, 206, 304, 400, 404, 500].contains(&code) { 1 } else { 5 });
    }
}

/// The second time a line goes into the table, from the third on it is a byte.
#[test]
fn lines_that_repeat() {
    let mut encoder = Encoder::new();
    let lines = "Server: quoit\r\nX-Frame-Options: DENY\r\n";
    let literal = "0f27 05 71756f6974 00 0f 782d6672616d652d6f7074696f6e73 04 44454e59";
    let inserted = "76 05 71756f6974 40 0f 782d6672616d652d6f7074696f6e73 04 44454e59";
    assert_eq!(encode_lines(&mut encoder, lines), hex(literal));
    assert_eq!(encoder.table_bytes(), 0);
    assert_eq!(encode_lines(&mut encoder, lines), hex(inserted));
    assert_eq!(encoder.table_bytes(), 6 + 5 + 32 + 15 + 4 + 32);
    assert_eq!(encode_lines(&mut encoder, lines), hex("bf be"));
}

#[test]
fn whole_fields_of_the_static_table() {
    let mut encoder = Encoder::new();
    let lines = ":method: GET\r\n:path: /\r\n:scheme: https\r\nAccept-Encoding: gzip, deflate\r\n";
    assert_eq!(encode_lines(&mut encoder, lines), hex("82 84 87 90"));
}

#[test]
fn fields_about_the_connection_are_left_out() {
    let mut encoder = Encoder::new();
    let lines = "Connection: close\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTransfer-Encoding: chunked\r\n\
                 UPGRADE: h2c\r\n";
    for _ in 0..3 {
        assert_eq!(encode_lines(&mut encoder, lines), b"");
    }
}

#[test]
fn what_changes_or_is_secret_enters_no_table() {
    let mut encoder = Encoder::new();
    for _ in 0..5 {
        let block = encode_lines(&mut encoder, "Date: now\r\nETag: \"x\"\r\nContent-Length: 1\r\n");
        assert_eq!(block, hex("0f12 03 6e6f77 0f13 03 227822 0f0d 01 31"));
        let block = encode_lines(&mut encoder, "Set-Cookie: a=b\r\nAuthorization: c\r\n");
        assert_eq!(block, hex("1f28 03 613d62 1f08 01 63"));
        assert_eq!(encoder.table_bytes(), 0);
    }
}

#[test]
fn single_fields() {
    let mut encoder = Encoder::new();
    let field = |encoder: &mut Encoder, indexing| {
        encode(encoder, |block| block.field(b":authority", b"a.test", indexing))
    };
    let value = "06 612e74657374";
    for _ in 0..3 {
        assert_eq!(field(&mut encoder, Indexing::Without), hex(&format!("01 {value}")));
        assert_eq!(field(&mut encoder, Indexing::Never), hex(&format!("11 {value}")));
    }
    assert_eq!(field(&mut encoder, Indexing::Repeats), hex(&format!("01 {value}")));
    assert_eq!(field(&mut encoder, Indexing::Repeats), hex(&format!("41 {value}")));
    assert_eq!(field(&mut encoder, Indexing::Repeats), hex("be"));
    let long = "x".repeat(300);
    let block = encode(&mut encoder, |block| block.field(b"Long", long.as_bytes(), Indexing::Repeats));
    assert_eq!(decode(&mut Decoder::new(), &block), Ok(pairs(&[("long", &long)])));
}

/// The length of a name of 65 to 90 letters is an octet that is also a capital.
#[test]
fn long_names() {
    for length in 60..140 {
        let name = "N".repeat(length);
        let block = encode_lines(&mut Encoder::new(), &format!("{name}: Value\r\n"));
        let expected = pairs(&[(&name.to_lowercase(), "Value")]);
        assert_eq!(decode(&mut Decoder::new(), &block), Ok(expected), "{length}");
    }
}

#[test]
fn lines_as_others_write_them() {
    let mut encoder = Encoder::new();
    let block = encode_lines(&mut encoder, "A:b\nC: \t d e \t\r\nE:\r\n\r\nno colon\r\nF: g");
    let expected = pairs(&[("a", "b"), ("c", "d e"), ("e", ""), ("f", "g")]);
    assert_eq!(decode(&mut Decoder::new(), &block), Ok(expected));
}

/// RFC 7541 §4.2: the smallest size first, then the last; and nothing when nothing changes.
#[test]
fn size_updates() {
    let mut encoder = Encoder::new();
    encoder.set_table_bytes_max(65536);
    assert_eq!(encode_lines(&mut encoder, ""), b"", "more than ours is not used, so not said");
    encoder.set_table_bytes_max(100);
    assert_eq!(encode_lines(&mut encoder, ""), hex("3f45"));
    assert_eq!(encode_lines(&mut encoder, ""), b"");
    encoder.set_table_bytes_max(0);
    encoder.set_table_bytes_max(30);
    encoder.set_table_bytes_max(65536);
    assert_eq!(encode_lines(&mut encoder, ""), hex("20 3fe11f"));
    encoder.set_table_bytes_max(0);
    for _ in 0..4 {
        encode_lines(&mut encoder, "Server: quoit\r\n");
        assert_eq!(encoder.table_bytes(), 0, "there is no room");
    }
}

/// What is in the table is dropped as the peer drops it.
#[test]
fn shrinking_with_content() {
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new();
    let lines: String = (0..20).map(|n| format!("x-line-{n}: value {n}\r\n")).collect();
    let expected: Vec<Pair> = (0..20).map(|n| (format!("x-line-{n}"), format!("value {n}"))).collect();
    for bytes in [4096, 4096, 4096, 500, 500, 500, 1000, 1000, 0, 0, 4096, 4096, 4096] {
        encoder.set_table_bytes_max(bytes);
        decoder.set_table_bytes_max(bytes);
        let block = encode_lines(&mut encoder, &lines);
        assert_eq!(decode(&mut decoder, &block), Ok(expected.clone()));
        assert_eq!(decoder.table_bytes(), encoder.table_bytes());
    }
}

/// A value that never comes again, in every response, does not push out what does.
#[test]
fn unique_values_push_nothing_out() {
    let mut encoder = Encoder::new();
    let repeats = "Server: quoit\r\nContent-Type: text/html\r\nX-Frame-Options: DENY\r\n";
    for _ in 0..2 {
        encode_lines(&mut encoder, repeats);
    }
    for request in 0..10_000 {
        let id = format!("X-Request-Id: {request:016x}\r\n");
        assert_eq!(encode_lines(&mut encoder, &id).len(), 1 + 1 + 12 + 1 + 16);
        assert_eq!(encode_lines(&mut encoder, repeats).len(), 3);
    }
}

/// Lines of which the hash sees the same are still distinguished.
#[test]
fn same_hash() {
    let line = |c: char| format!("X-Policy: {}{c}{}\r\n", "a".repeat(20), "b".repeat(40));
    let (one, other) = (line('1'), line('2'));
    assert_eq!(super::super::lookup::hash(one.as_bytes()), super::super::lookup::hash(other.as_bytes()));
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
    for _ in 0..5 {
        for (line, digit) in [(&one, '1'), (&other, '2')] {
            let fields = decode(&mut decoder, &encode_lines(&mut encoder, line)).unwrap();
            assert!(fields[0].1.contains(digit), "{fields:?}");
        }
    }
}

fn any_line() -> impl Strategy<Value = (String, String)> {
    let names = prop_oneof![
        Just("Content-Type".to_string()),
        Just("set-cookie".to_string()),
        Just("Vary".to_string()),
        "[A-Za-z][A-Za-z0-9-]{0,90}",
    ];
    let values = prop_oneof!["[a-c]{0,2}", "[!-~]([ -~]{0,200}[!-~])?", "[!-~]{1000,1200}"];
    (names, values)
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        lines in proptest::collection::vec(any_line(), 1..12),
        blocks in proptest::collection::vec(
            (proptest::collection::vec(any::<prop::sample::Index>(), 0..8), 0u32..20_000),
            1..20,
        ),
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        for (picked, table_bytes) in blocks {
            // A size now and then.
            if table_bytes < 6000 {
                encoder.set_table_bytes_max(table_bytes);
                decoder.set_table_bytes_max(table_bytes);
            }
            let picked: Vec<&Pair> = picked.iter().map(|index| index.get(&lines)).collect();
            let block = encode(&mut encoder, |block| {
                for (name, value) in &picked {
                    block.lines(format!("{name}: {value}\r\n").as_bytes());
                }
            });
            let dropped = ["connection", "keep-alive", "upgrade"];
            let expected: Vec<Pair> = picked
                .iter()
                .map(|(name, value)| (name.to_lowercase(), value.clone()))
                .filter(|(name, _)| !dropped.contains(&&name[..]))
                .collect();
            prop_assert_eq!(decode(&mut decoder, &block), Ok(expected));
            prop_assert_eq!(decoder.table_bytes(), encoder.table_bytes());
        }
    }
}
