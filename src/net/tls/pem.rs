//! PEM text (RFC 7468), checked before it is decoded: decoders skip what they do not recognise as the
//! boundary of a block, so that a mistake in one line loses a certificate without a word. Here a line that is
//! almost a boundary, an unknown label, and content outside of every block are errors with their
//! line.

use std::borrow::Cow;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Labels of blocks that are used, or may stand beside those: OpenSSL writes parameters before a key, and
/// tools bundle requests and public keys.
const KNOWN: [&str; 14] = [
    CERTIFICATE,
    "X509 CRL",
    "PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "DSA PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "EC PARAMETERS",
    "DH PARAMETERS",
    "X9.42 DH PARAMETERS",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
];

const CERTIFICATE: &str = "CERTIFICATE";

/// An older label with the same content (RFC 7468 §5.1).
const CERTIFICATE_OLD: [&str; 2] = ["X509 CERTIFICATE", "X.509 CERTIFICATE"];

/// Shortest line of base64 outside of a block that is taken for the content of one. Blocks have lines of 64
/// or 76; a checksum of 64 hexadecimal digits is none.
const CONTENT_BYTES_MIN: usize = 60;

/// Most bytes of a line that are repeated in an error: enough for its label, and not for a key behind it.
const SHOWN_BYTES_MAX: usize = 32;

/// What is wrong with a PEM text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// Windows tools redirect output as UTF-16.
    #[error("it is UTF-16 text; store it as UTF-8 or ASCII (PowerShell: Set-Content -Encoding ascii)")]
    Utf16,
    /// A boundary that shares its line or has other dashes than it should.
    #[error(
        "line {line} (`{text}`) is not quite the boundary of a block; every -----BEGIN …----- and -----END \
         …----- needs a line of its own and five hyphens on both sides"
    )]
    AlmostBoundary {
        /// Counted from 1.
        line: usize,
        /// Its beginning.
        text: String,
    },
    /// A label that is misspelt, or of something that cannot be used.
    #[error("line {line}: there is no block called `{label}`{remedy}")]
    UnknownLabel {
        /// Counted from 1.
        line: usize,
        /// The label.
        label: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A block begins before the last one has ended, or ends under another label.
    #[error(
        "the block that begins in line {begins} does not end with -----END {label}----- before line {line}"
    )]
    NotEnded {
        /// Counted from 1.
        begins: usize,
        /// The label of the block.
        label: String,
        /// Counted from 1.
        line: usize,
    },
    /// The text ends within a block.
    #[error("the line -----END {0}----- is missing")]
    EndMissing(String),
    /// An end without a beginning.
    #[error("line {line} ends a block that does not begin")]
    NotBegun {
        /// Counted from 1.
        line: usize,
    },
    /// Base64 outside of every block.
    #[error("line {line} looks like the content of a block, and no -----BEGIN …----- stands before it")]
    Stray {
        /// Counted from 1.
        line: usize,
    },
    /// The content of a block cannot be decoded.
    #[error("{0}")]
    Undecodable(String),
}

/// The blocks of a text, each boundary on a line of its own and nothing around them. Byte order marks, blanks
/// around lines, and text between blocks are dropped (RFC 7468 §2, §3).
///
/// # Errors
/// See [`PemError`].
pub fn blocks(text: &[u8]) -> Result<Vec<u8>, PemError> {
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return Err(PemError::Utf16);
    }
    let mut out = Vec::with_capacity(text.len());
    // The label of the block, and the line in which it begins.
    let mut within: Option<(&str, usize)> = None;
    for (line, content) in (1..).zip(lines(text)) {
        match (boundary(content), within) {
            (Some(Boundary::Begin(label)), None) => {
                let label = known(label, line)?;
                write_boundary(&mut out, "BEGIN", label);
                within = Some((label, line));
            }
            (Some(Boundary::End(label)), Some((begun, _))) if known(label, line)? == begun => {
                write_boundary(&mut out, "END", begun);
                within = None;
            }
            (Some(_), Some((label, begins))) => {
                return Err(PemError::NotEnded { begins, label: label.to_owned(), line });
            }
            (Some(Boundary::End(_)), None) => return Err(PemError::NotBegun { line }),
            // A comment, as people write them; whatever else of a block follows has no beginning.
            (None, None) if content.starts_with(b"#") => {}
            (None, _) if is_almost_boundary(content) => {
                let shown = &content[..content.len().min(SHOWN_BYTES_MAX)];
                let text = String::from_utf8_lossy(shown).into_owned();
                return Err(PemError::AlmostBoundary { line, text });
            }
            (None, Some(_)) => {
                out.extend_from_slice(content);
                out.push(b'\n');
            }
            (None, None) if is_content(content) => return Err(PemError::Stray { line }),
            (None, None) => {}
        }
    }
    match within {
        Some((label, _)) => Err(PemError::EndMissing(label.to_owned())),
        None => Ok(out),
    }
}

/// The certificates of a text, in its order; possibly none.
///
/// # Errors
/// See [`PemError`].
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let blocks = blocks(text)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&blocks).collect();
    let read = read.map_err(|error| PemError::Undecodable(error.to_string()))?;
    // What this module takes for a certificate, the decoder must too.
    let begin = format!("-----BEGIN {CERTIFICATE}-----\n");
    let expected = memchr::memmem::find_iter(&blocks, begin.as_bytes()).count();
    if read.len() == expected {
        Ok(read)
    } else {
        Err(PemError::Undecodable(format!("{} of {expected} certificates can be decoded", read.len())))
    }
}

/// The lines, however they end, without byte order marks and without blanks on both sides.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    // A line that ends with CR LF counts once.
    let lines = text.split_inclusive(|&byte| byte == b'\n').flat_map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line).split(|&byte| byte == b'\r')
    });
    lines.map(|line| {
        let mut line = line.trim_ascii();
        while let Some(rest) = line.strip_prefix(BOM) {
            line = rest.trim_ascii_start();
        }
        line
    })
}

enum Boundary<'a> {
    Begin(&'a str),
    End(&'a str),
}

/// A line that is a boundary and nothing else.
fn boundary(line: &[u8]) -> Option<Boundary<'_>> {
    let inner = line.strip_prefix(b"-----")?.strip_suffix(b"-----")?;
    let inner = std::str::from_utf8(inner).ok()?;
    if inner.starts_with('-') || inner.ends_with('-') || inner.contains("--") {
        return None;
    }
    match inner.split_once(' ')? {
        ("BEGIN", label) => Some(Boundary::Begin(label)),
        ("END", label) => Some(Boundary::End(label)),
        _ => None,
    }
}

/// The label by which the decoder knows the block.
fn known(label: &str, line: usize) -> Result<&'static str, PemError> {
    if CERTIFICATE_OLD.contains(&label) {
        return Ok(CERTIFICATE);
    }
    if let Some(known) = KNOWN.iter().find(|known| **known == label) {
        return Ok(known);
    }
    let remedy = match label {
        "TRUSTED CERTIFICATE" => "; turn it into a plain certificate with openssl x509 -in FILE -out NEW",
        "PKCS7" | "CMS" => "; take the certificates out with openssl pkcs7 -print_certs -in FILE -out NEW",
        "OPENSSH PRIVATE KEY" => "; it is a key of SSH, which TLS does not use",
        _ => " (capitals count); write -----BEGIN CERTIFICATE-----, -----BEGIN PRIVATE KEY-----, …",
    };
    Err(PemError::UnknownLabel { line, label: label.to_owned(), remedy })
}

fn write_boundary(out: &mut Vec<u8>, word: &str, label: &str) {
    out.extend_from_slice(format!("-----{word} {label}-----\n").as_bytes());
}

/// Whether a line that is no boundary was meant to be one: it has a boundary in it, or it is one but for the
/// number or the kind of its dashes, or for capitals.
fn is_almost_boundary(line: &[u8]) -> bool {
    let has = |word: &[u8]| memchr::memmem::find(line, word).is_some();
    if has(b"-----BEGIN ") || has(b"-----END ") {
        return true;
    }
    let text = String::from_utf8_lossy(line);
    let words: Vec<Cow<'_, str>> = text
        .split(|c: char| c.is_whitespace() || is_dash(c))
        .filter(|word| !word.is_empty())
        .map(|word| word.to_ascii_uppercase().into())
        .collect();
    let Some((first, label)) = words.split_first() else { return false };
    let label = label.join(" ");
    (first == "BEGIN" || first == "END")
        && (KNOWN.contains(&&*label) || CERTIFICATE_OLD.contains(&&*label) || label == "TRUSTED CERTIFICATE")
}

/// The hyphen, and what word processors make of it.
fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}')
}

/// Whether a line outside of a block has the form of content.
fn is_content(line: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    line.len() >= CONTENT_BYTES_MIN && line.iter().all(is_base64) && !line.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const TWO: &str = "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";

    fn count(text: &[u8]) -> Result<usize, PemError> {
        certificates(text).map(|all| all.len())
    }

    #[test]
    fn what_is_around_the_blocks_does_not_matter() {
        let both = [ONE, TWO].concat();
        let bom = "\u{feff}";
        let good = [
            both.clone(),
            both.replace('\n', "\r\n"),
            both.replace('\n', "\r"),
            both.trim_end().to_owned(),
            format!("{bom}{ONE}{bom}{TWO}"),
            both.lines().map(|line| format!("  {line} \t\n")).collect(),
            format!(
                "subject=CN = a\n---\nThe end-entity certificate -- begin\n{ONE}\n--- end of it ---\n{TWO}"
            ),
            format!("{}\n{both}", "0123456789abcdef".repeat(4)),
            format!("# -----BEGIN CERTIFICATE-----\n# BBBB\n# -----END CERTIFICATE-----\n{both}"),
            both.replace("CERTIFICATE", "X509 CERTIFICATE"),
            format!("-----BEGIN EC PARAMETERS-----\nAAAA\n-----END EC PARAMETERS-----\n{both}"),
        ];
        for text in good {
            assert_eq!(count(text.as_bytes()), Ok(2), "{text}");
            let normal = blocks(text.as_bytes()).unwrap();
            assert_eq!(blocks(&normal).as_deref(), Ok(&*normal), "{text}");
        }
        assert_eq!(count(b""), Ok(0));
        assert_eq!(count(b"0\x82\x01binary"), Ok(0));
    }

    #[test]
    fn no_block_is_lost_without_an_error() {
        let second = |begin: &str, end: &str| format!("{ONE}{begin}\nBBBB\n{end}\n");
        let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
        let almost = [
            (format!("{}{TWO}", ONE.trim_end()), 3),
            (second("----BEGIN CERTIFICATE-----", end), 4),
            (second("-----BEGIN CERTIFICATE----", end), 4),
            (second("------BEGIN CERTIFICATE------", end), 4),
            (second("—–BEGIN CERTIFICATE—–", "—–END CERTIFICATE—–"), 4),
            (second("BEGIN CERTIFICATE", end), 4),
            (second("----- BEGIN CERTIFICATE -----", end), 4),
            (second("--begin certificate--", "--end certificate--"), 4),
            (second(begin, "----END CERTIFICATE----"), 6),
            (second(begin, "-----END CERTIFICATE-----;"), 6),
            // Line ends that were lost on the way through a variable.
            (both_in_one(" "), 1),
            (both_in_one("\\n"), 1),
        ];
        for (text, expected) in almost {
            match count(text.as_bytes()) {
                Err(PemError::AlmostBoundary { line, .. }) => assert_eq!(line, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        let unknown = ["certificate", "CERTIFICAT", "TRUSTED CERTIFICATE", "PKCS7", "OPENSSH PRIVATE KEY"];
        for label in unknown {
            let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
            let read = count(second(&begin, &end).as_bytes());
            assert!(matches!(read, Err(PemError::UnknownLabel { line: 4, .. })), "{label}: {read:?}");
        }
        let content = "MIIB".repeat(16);
        for (text, error) in [
            (format!("{ONE}{begin}\nBBBB\n"), PemError::EndMissing(CERTIFICATE.to_owned())),
            (format!("{ONE}BBBB\n{end}\n"), PemError::NotBegun { line: 5 }),
            (format!("{ONE}# {TWO}"), PemError::NotBegun { line: 6 }),
            (format!("{ONE}--BEGINN CERT--\n{content}\n--END CERT--\n"), PemError::Stray { line: 5 }),
            (
                format!("{begin}\nAAAA\n{TWO}"),
                PemError::NotEnded { begins: 1, label: CERTIFICATE.to_owned(), line: 3 },
            ),
            (
                second(begin, "-----END PRIVATE KEY-----"),
                PemError::NotEnded { begins: 4, label: CERTIFICATE.to_owned(), line: 6 },
            ),
        ] {
            assert_eq!(count(text.as_bytes()), Err(error), "{text}");
        }
        let utf16: Vec<u8> = format!("\u{feff}{ONE}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(count(&utf16), Err(PemError::Utf16));
        assert!(matches!(count(ONE.replace("AAAA", "!").as_bytes()), Err(PemError::Undecodable(_))));
    }

    fn both_in_one(line_end: &str) -> String {
        [ONE, TWO].concat().replace('\n', line_end)
    }

    #[test]
    fn an_error_does_not_repeat_a_key() {
        let text = "-----BEGIN EC PRIVATE KEY-----MHcCAQEEISECRETSECRETSECRET-----END EC PRIVATE KEY-----";
        let said = blocks(text.as_bytes()).unwrap_err().to_string();
        assert!(said.contains("line 1") && !said.contains("SECRET"), "{said}");
    }
}
