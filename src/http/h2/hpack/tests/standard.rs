//! RFC 7541 Appendix C: every example, with the table it ends in; and every truncation of every block.

use super::*;

type Fields = &'static [(&'static str, &'static str)];

/// One connection: after each block, the fields and the table's entries from the newest.
struct Example {
    table_bytes_max: u32,
    blocks: &'static [ExampleBlock],
}

struct ExampleBlock {
    wire: &'static str,
    fields: Fields,
    table: Fields,
    table_bytes: u32,
}

const GET: (&str, &str) = (":method", "GET");
const HTTP: (&str, &str) = (":scheme", "http");
const ROOT: (&str, &str) = (":path", "/");
const AUTHORITY: (&str, &str) = (":authority", "www.example.com");
const NO_CACHE: (&str, &str) = ("cache-control", "no-cache");
const CUSTOM: (&str, &str) = ("custom-key", "custom-value");

const REQUESTS: [(Fields, Fields, u32); 3] = [
    (&[GET, HTTP, ROOT, AUTHORITY], &[AUTHORITY], 57),
    (&[GET, HTTP, ROOT, AUTHORITY, NO_CACHE], &[NO_CACHE, AUTHORITY], 110),
    (
        &[GET, (":scheme", "https"), (":path", "/index.html"), AUTHORITY, CUSTOM],
        &[CUSTOM, NO_CACHE, AUTHORITY],
        164,
    ),
];

const PRIVATE: (&str, &str) = ("cache-control", "private");
const DATE_21: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
const DATE_22: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
const LOCATION: (&str, &str) = ("location", "https://www.example.com");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const COOKIE: (&str, &str) = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");

const RESPONSES: [(Fields, Fields, u32); 3] = [
    (
        &[(":status", "302"), PRIVATE, DATE_21, LOCATION],
        &[LOCATION, DATE_21, PRIVATE, (":status", "302")],
        222,
    ),
    (
        &[(":status", "307"), PRIVATE, DATE_21, LOCATION],
        &[(":status", "307"), LOCATION, DATE_21, PRIVATE],
        222,
    ),
    (&[(":status", "200"), PRIVATE, DATE_22, LOCATION, GZIP, COOKIE], &[COOKIE, GZIP, DATE_22], 215),
];

const fn block(wire: &'static str, expected: (Fields, Fields, u32)) -> ExampleBlock {
    ExampleBlock { wire, fields: expected.0, table: expected.1, table_bytes: expected.2 }
}

const EXAMPLES: &[Example] = &[
    // C.2.1 to C.2.4: one representation each.
    Example {
        table_bytes_max: 4096,
        blocks: &[block(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            (&[("custom-key", "custom-header")], &[("custom-key", "custom-header")], 55),
        )],
    },
    Example {
        table_bytes_max: 4096,
        blocks: &[block("040c 2f73 616d 706c 652f 7061 7468", (&[(":path", "/sample/path")], &[], 0))],
    },
    Example {
        table_bytes_max: 4096,
        blocks: &[block("1008 7061 7373 776f 7264 0673 6563 7265 74", (&[("password", "secret")], &[], 0))],
    },
    Example { table_bytes_max: 4096, blocks: &[block("82", (&[GET], &[], 0))] },
    // C.3: requests without Huffman coding.
    Example {
        table_bytes_max: 4096,
        blocks: &[
            block("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", REQUESTS[0]),
            block("8286 84be 5808 6e6f 2d63 6163 6865", REQUESTS[1]),
            block("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", REQUESTS[2]),
        ],
    },
    // C.4: the same with it.
    Example {
        table_bytes_max: 4096,
        blocks: &[
            block("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", REQUESTS[0]),
            block("8286 84be 5886 a8eb 1064 9cbf", REQUESTS[1]),
            block("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", REQUESTS[2]),
        ],
    },
    // C.5: responses without Huffman coding, in a table of 256 bytes.
    Example {
        table_bytes_max: 256,
        blocks: &[
            block(
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
                 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
                 6c65 2e63 6f6d",
                RESPONSES[0],
            ),
            block("4803 3330 37c1 c0bf", RESPONSES[1]),
            block(
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
                 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
                 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
                 3d31",
                RESPONSES[2],
            ),
        ],
    },
    // C.6: the same with it.
    Example {
        table_bytes_max: 256,
        blocks: &[
            block(
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
                 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                RESPONSES[0],
            ),
            block("4883 640e ffc1 c0bf", RESPONSES[1]),
            block(
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
                 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
                 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                RESPONSES[2],
            ),
        ],
    },
];

/// What the table holds, from the newest entry.
fn table(decoder: &mut Decoder) -> Vec<Pair> {
    (62u8..).map_while(|index| decode(decoder, &[0x80 | index]).ok()).flatten().collect()
}

fn new_decoder(example: &Example) -> Decoder {
    let mut decoder = Decoder::new();
    decoder.set_table_bytes_max(example.table_bytes_max);
    if example.table_bytes_max < 4096 {
        // The examples assume that this was said before.
        assert_eq!(decode(&mut decoder, &hex("3fe101")), Ok(Vec::new()));
    }
    decoder
}

#[test]
fn every_example() {
    for example in EXAMPLES {
        let mut decoder = new_decoder(example);
        for block in example.blocks {
            assert_eq!(decode(&mut decoder, &hex(block.wire)), Ok(pairs(block.fields)), "{}", block.wire);
            assert_eq!(table(&mut decoder), pairs(block.table), "{}", block.wire);
            assert_eq!(decoder.table_bytes(), block.table_bytes, "{}", block.wire);
        }
    }
}

/// A prefix of a block is a shorter list, or an error that says so; never a panic, never another list.
#[test]
fn every_truncation() {
    let mut errors = 0;
    for example in EXAMPLES {
        for (nth, cut) in example.blocks.iter().enumerate() {
            let wire = hex(cut.wire);
            for length in 0..wire.len() {
                let mut decoder = new_decoder(example);
                for before in &example.blocks[..nth] {
                    decode(&mut decoder, &hex(before.wire)).unwrap();
                }
                match decode(&mut decoder, &wire[..length]) {
                    Ok(fields) => assert_eq!(fields, pairs(&cut.fields[..fields.len()])),
                    Err(error) => {
                        assert_eq!(error, HpackError::Truncated, "{} cut at {length}", cut.wire);
                        errors += 1;
                    }
                }
            }
        }
    }
    assert!(errors > 400, "{errors}");
}

/// C.1.
#[test]
fn integers() {
    use crate::http::h2::hpack::integer::{BlockReader, write};
    for (value, mask, wire) in [(10, 0x1f, "0a"), (1337, 0x1f, "1f9a0a"), (42, 0xff, "2a")] {
        let wire = hex(wire);
        let mut reader = BlockReader::new(&wire);
        let first = reader.next().unwrap();
        assert_eq!(reader.integer(first, mask), Ok(value));
        assert_eq!(reader.next(), None);
        let mut written = Vec::new();
        write(&mut written, 0, mask, value as usize);
        assert_eq!(written, wire);
    }
}
