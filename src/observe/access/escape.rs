//! Escapes untrusted text: the output is printable ASCII without a quote or backslash that could end or begin
//! something, so a client can neither forge a line nor control a terminal.

/// Bytes checked in one step; the compiler vectorizes the comparison.
const STEP: usize = 16;

/// Whether a byte has to be escaped. Branch-free, so that sixteen bytes are checked at once.
#[inline]
const fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte >= 0x7f)
}

/// Whether no byte has to be escaped, which is the usual case.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let has_special = |step: &[u8; STEP]| step.iter().fold(false, |any, &byte| any | is_special(byte));
    match bytes.last_chunk::<STEP>() {
        // The last step overlaps the previous one, which is cheaper than checking single bytes.
        Some(last) => !bytes.as_chunks::<STEP>().0.iter().any(has_special) && !has_special(last),
        None => !bytes.iter().any(|&byte| is_special(byte)),
    }
}

/// Appends the inside of a JSON string (RFC 8259 §7). Everything beyond ASCII is written as `\uXXXX`, because
/// some terminals interpret control characters there, and others change the text direction. Invalid UTF-8
/// becomes U+FFFD.
#[inline]
pub(super) fn push_json(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        push_json_escaped(out, bytes);
    }
}

#[cold]
fn push_json_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                ' '..='~' => out.push(c as u8),
                _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|&unit| push_unit(out, unit)),
            }
        }
        if !chunk.invalid().is_empty() {
            push_unit(out, 0xfffd);
        }
    }
}

fn push_unit(out: &mut Vec<u8>, unit: u16) {
    let [high, low] = unit.to_be_bytes();
    out.extend_from_slice(b"\\u");
    out.extend_from_slice(&hex(high));
    out.extend_from_slice(&hex(low));
}

/// Appends the inside of a quoted string of a text format: `\xHH` for each byte that has to be escaped, the
/// quote and the backslash included.
#[inline]
pub(super) fn push_text(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        push_text_escaped(out, bytes);
    }
}

#[cold]
fn push_text_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if is_special(byte) {
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(&hex(byte));
        } else {
            out.push(byte);
        }
    }
}

/// As [`push_text`], outside of quotes: a space is escaped as well.
pub(super) fn push_word(out: &mut Vec<u8>, bytes: &[u8]) {
    for (place, word) in bytes.split(|&byte| byte == b' ').enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\\x20");
        }
        push_text(out, word);
    }
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        push_json(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    fn text(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        push_text(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_plain_stays() {
        let plain = b"Mozilla/5.0 (X11; Linux x86_64) <a href='x'>&#$%`{}|~^";
        assert_eq!(json(plain).as_bytes(), plain);
        assert_eq!(text(plain).as_bytes(), plain);
        assert_eq!(json(b""), "");
    }

    #[test]
    fn what_is_special_is_escaped_wherever_it_stands() {
        for special in [b'"', b'\\', 0, b'\n', b'\r', 0x1b, 0x1f, 0x7f, 0x80, 0x9b, 0xff] {
            for before in 0..40 {
                for after in [0, 1, 17] {
                    let bytes = [vec![b'a'; before], vec![special], vec![b'b'; after]].concat();
                    let told = format!("{}\\x{special:02x}{}", "a".repeat(before), "b".repeat(after));
                    assert_eq!(text(&bytes), told);
                    let escaped = json(&bytes);
                    assert!(escaped.starts_with(&format!("{}\\", "a".repeat(before))), "{escaped}");
                    assert!(escaped.ends_with(&"b".repeat(after)), "{escaped}");
                }
            }
        }
    }

    #[test]
    fn json_says_characters() {
        assert_eq!(json("\"\\\n\u{9b}é\u{202e}😀".as_bytes()), r#"\"\\\u000a\u009b\u00e9\u202e\ud83d\ude00"#);
        assert_eq!(json(b"a\xffb\xe2\x82"), r"a\ufffdb\ufffd");
    }

    proptest! {
        #[test]
        fn nothing_but_printable_ascii_comes_out(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            for out in [json(&bytes), text(&bytes)] {
                prop_assert!(out.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{out}");
            }
            // In the text form a quote can only end the string.
            prop_assert!(!text(&bytes).contains('"'));
        }
    }
}
