//! Blocks that another implementation wrote (the PyPI package `hpack` 4.2.0), on one connection: with Huffman
//! codes, its choice of what to index, and tables that shrink and grow.

use super::*;

/// A new table size, if any, then the block, then its fields as lines.
const BLOCKS: &[(Option<u32>, &str, &str)] = &[
    (
        None,
        "828741882f91d35d055cf64d847ab5d07f66a281b0dae053fafc087ed4ce6aadf2a7979c89c6bed4b3bdc089e5c1fda9
         88a4ea76040080010054c26b0b29fcb0113cb83f53a5497ca589d34d1f43aeba0c41a4c7a98f33a69a3fdf9a68fbed00
         177febe58f9fbed00177bf508d9bd9abfa5242cb40d25fa523b3",
        ":method: GET
         :scheme: https
         :authority: example.org
         :path: /
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
         accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8
         accept-encoding: gzip, deflate, br",
    ),
    (
        None,
        "8287c1448b6109f541572211fe77819fc15386497ca582211fc0738f9d29ad171860be474d741573d9331f",
        ":method: GET
         :scheme: https
         :authority: example.org
         :path: /style.css?v=3
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
         accept: text/css
         accept-encoding: gzip, deflate, br
         referer: https://example.org/",
    ),
    (
        None,
        "8287c4448d606c7ffe349ffeb1fff3cffdffc45383f963e7c31f11944150831ea81e942d15a6e5fb51339692c120eceb",
        ":method: GET
         :scheme: https
         :authority: example.org
         :path: /a/{id}/<x>
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
         accept: */*
         accept-encoding: gzip, deflate, br
         cookie: session=8f14e45f; theme=dark",
    ),
    (
        Some(100),
        "3f45828741882f91d35d055cf64d448d6072a4b62c35ac2c9691263d5f7ab5d07f66a281b0dae053fafc087ed4ce6aad
         f2a7979c89c6bed4b3bdc089e5c1fda988a4ea76040080010054c26b0b29fcb0113cb83f5383f963e7508d9bd9abfa52
         42cb40d25fa523b3",
        ":method: GET
         :scheme: https
         :authority: example.org
         :path: /after-a-reduction
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
         accept: */*
         accept-encoding: gzip, deflate, br",
    ),
    (
        None,
        "828741882f91d35d055cf64d448560730cd57f7ab5d07f66a281b0dae053fafc087ed4ce6aadf2a7979c89c6bed4b3bd
         c089e5c1fda988a4ea76040080010054c26b0b29fcb0113cb83f5383f963e7508d9bd9abfa5242cb40d25fa523b3",
        ":method: GET
         :scheme: https
         :authority: example.org
         :path: /again
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
         accept: */*
         accept-encoding: gzip, deflate, br",
    ),
    (
        Some(0),
        "20828741882f91d35d055cf64d448762a3ac91c7417f7ab5d07f66a281b0dae053fafc087ed4ce6aadf2a7979c89c6be
         d4b3bdc089e5c1fda988a4ea76040080010054c26b0b29fcb0113cb83f5383f963e7508d9bd9abfa5242cb40d25fa523
         b3",
        ":method: GET
         :scheme: https
         :authority: example.org
         :path: /no-table
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
         accept: */*
         accept-encoding: gzip, deflate, br",
    ),
    (
        Some(4096),
        "3fe11f838741882f91d35d055cf64d448961238e82ac39866abf7ab5d07f66a281b0dae053fafc087ed4ce6aadf2a797
         9c89c6bed4b3bdc089e5c1fda988a4ea76040080010054c26b0b29fcb0113cb83f5383f963e7508d9bd9abfa5242cb40
         d25fa523b35f981d75d0620d263d4c795bc78f0b4a7b295adb282d443c85935c8213bf",
        ":method: POST
         :scheme: https
         :authority: example.org
         :path: /table-again
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
         accept: */*
         accept-encoding: gzip, deflate, br
         content-type: application/x-www-form-urlencoded
         content-length: 27",
    ),
    (
        None,
        "8387c4c3c2c1c0bfbe",
        ":method: POST
         :scheme: https
         :authority: example.org
         :path: /table-again
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
         accept: */*
         accept-encoding: gzip, deflate, br
         content-type: application/x-www-form-urlencoded
         content-length: 27",
    ),
    (
        None,
        "4883682f7f4085f2b24be53f9820e5fffe3fffeea9fffdbffff93ffff0a9ffdfff3fe7ffdf778e34900d99790fed4c69
         4d7aaaa3d740842d35a7d780",
        ":status: 418
         x-text: café ☕ ~^|`
         set-cookie: id=a3fWa; HttpOnly
         empty: ",
    ),
];

#[test]
fn every_block() {
    let mut decoder = Decoder::new();
    for (table_bytes, block, lines) in BLOCKS {
        if let Some(bytes) = *table_bytes {
            decoder.set_table_bytes_max(bytes);
        }
        let expected: Vec<Pair> = lines
            .lines()
            .map(|line| line.trim_start())
            .map(|line| line.split_at(1 + line[1..].find(": ").unwrap()))
            .map(|(name, value)| (name.to_string(), text(&value.as_bytes()[2..])))
            .collect();
        assert_eq!(decode(&mut decoder, &hex(block)), Ok(expected), "{lines}");
    }
}
