//! Protection of TLS records after the handshake (RFC 8446 §5, RFC 5246 §6.2.3): one direction's key, nonce
//! and sequence number. Records are opened in place and sealed from the source into the output buffer, so
//! that neither costs a copy. Handshakes (rustls) and the content of records are not handled here.

use std::ops::Range;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::{CipherSuite, CipherSuiteCommon, ConnectionTrafficSecrets, SupportedCipherSuite};

/// Types of content (RFC 8446 §5.1).
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// Bytes of a record's header: type, version, length.
pub(super) const HEADER_BYTES: usize = 5;

/// Most plaintext bytes in one record (RFC 8446 §5.1).
pub(super) const PLAIN_BYTES_MAX: usize = 16 * 1024;

/// Most bytes of a record beyond its plaintext: the header, an explicit nonce (1.2) or the type (1.3), the
/// tag.
pub(super) const OVERHEAD_BYTES_MAX: usize = HEADER_BYTES + 8 + 1 + TAG_BYTES;

/// Longest fragment accepted: §5.2 allows 256 bytes of padding and tag; 1.2 allowed 2048, which no AEAD uses.
pub(super) const FRAGMENT_BYTES_MAX: usize = PLAIN_BYTES_MAX + 256;

const TAG_BYTES: usize = 16;
const EXPLICIT_NONCE_BYTES: usize = 8;
const LEGACY_VERSION: [u8; 2] = [3, 3];

/// How nonces and additional data are formed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NonceScheme {
    /// Nonce from the sequence number; the content type is encrypted after the data.
    Tls13,
    /// Explicit half of the nonce in the record (RFC 5288 §3).
    Gcm12,
    /// Nonce from the sequence number, as in 1.3 (RFC 7905 §2).
    ChaCha12,
}

/// Why a record was rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The record is too long.
    #[error("a TLS record is longer than the protocol allows")]
    TooLong,
    /// The record failed authentication.
    #[error("a TLS record was changed on its way")]
    Forged,
    /// Its content type is unexpected or missing.
    #[error("a TLS record of type {0} has no place here")]
    UnexpectedType(u8),
    /// A handshake message that is not allowed after the handshake.
    #[error("TLS message {0} has no place after the handshake")]
    UnexpectedMessage(u8),
    /// A malformed alert or handshake message, or one of the wrong length.
    #[error("a TLS alert or message cannot be read")]
    Malformed,
    /// A field of an alert or handshake message has a value that does not exist.
    #[error("a TLS alert or message has a value that does not exist")]
    IllegalValue,
    /// A handshake or alert record without content (RFC 8446 §5.4, RFC 5246 §6.2.1).
    #[error("a TLS record of type {0} is empty")]
    Empty(u8),
    /// Another record between those of one handshake message (RFC 8446 §5.1).
    #[error("a TLS handshake message is interrupted by a record of type {0}")]
    Interrupted(u8),
    /// Bytes after a key update in its record (RFC 8446 §5.1).
    #[error("a TLS record goes on after a change of keys")]
    BehindKeyUpdate,
    /// Too many requests for a renegotiation, which is always refused.
    #[error("too many requests for a TLS renegotiation")]
    TooManyRenegotiations,
    /// The peer sent a fatal alert with this number (RFC 8446 §6.2).
    #[error("the peer ended the connection with TLS alert {0}")]
    PeerGaveUp(u8),
    /// Too many consecutive records without data.
    #[error("too many TLS records without data")]
    TooManyWithoutData,
    /// The key has protected as many records as allowed, and the version has no key update.
    #[error("the TLS key has protected as many records as it may")]
    KeyExhausted,
}

impl RecordError {
    /// The alert to send for this error (RFC 8446 §6); none if the peer has sent a fatal alert itself.
    pub(super) fn alert(self) -> Option<u8> {
        match self {
            Self::TooLong => Some(22),
            Self::Forged => Some(20),
            Self::UnexpectedType(_)
            | Self::UnexpectedMessage(_)
            | Self::Empty(_)
            | Self::Interrupted(_)
            | Self::BehindKeyUpdate
            | Self::TooManyRenegotiations
            | Self::TooManyWithoutData => Some(10),
            Self::IllegalValue => Some(47),
            Self::Malformed => Some(50),
            Self::KeyExhausted => Some(80),
            Self::PeerGaveUp(_) => None,
        }
    }
}

/// One direction of a connection.
pub(super) struct Protection {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
    scheme: NonceScheme,
    /// Records that the key may still protect (RFC 8446 §5.5).
    records_max: u64,
}

impl Protection {
    /// From the secrets of the handshake, at the sequence number it has reached.
    ///
    /// # Errors
    /// `None` for a cipher that is not supported here.
    pub(super) fn new(
        sequence: u64,
        secrets: &ConnectionTrafficSecrets,
        suite: SupportedCipherSuite,
    ) -> Option<Self> {
        let is_13 = suite.tls13().is_some();
        let gcm = if is_13 { NonceScheme::Tls13 } else { NonceScheme::Gcm12 };
        let (algorithm, key, iv, scheme) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, gcm),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, gcm),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&CHACHA20_POLY1305, key, iv, if is_13 { NonceScheme::Tls13 } else { NonceScheme::ChaCha12 })
            }
            _ => return None,
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).ok()?);
        let iv = iv.as_ref().try_into().ok()?;
        Some(Self { key, iv, sequence, scheme, records_max: common(suite).confidentiality_limit })
    }

    /// Of TLS 1.3, from a key and an IV, at the first record; `None` for a cipher that is not supported here.
    pub(super) fn from_parts(key: &[u8], iv: [u8; 12], suite: SupportedCipherSuite) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(algorithm(suite)?, key).ok()?);
        let records_max = common(suite).confidentiality_limit;
        Some(Self { key, iv, sequence: 0, scheme: NonceScheme::Tls13, records_max })
    }

    /// The length of the suite's key.
    pub(super) fn key_bytes(suite: SupportedCipherSuite) -> Option<usize> {
        algorithm(suite).map(Algorithm::key_len)
    }

    /// Whether a whole record is the next that this key protects; it is left as it is, and counted if so.
    pub(super) fn try_open(&mut self, record: &[u8]) -> bool {
        let sequence = self.sequence;
        let is_opened = self.open(&mut record.to_vec()).is_ok();
        if !is_opened {
            self.sequence = sequence;
        }
        is_opened
    }

    /// Whether a key update is due.
    #[inline]
    pub(super) fn is_worn(&self) -> bool {
        self.sequence >= self.records_max
    }

    /// Whether the version has key updates.
    pub(super) fn is_13(&self) -> bool {
        self.scheme == NonceScheme::Tls13
    }

    #[inline]
    fn next_nonce(&mut self) -> ([u8; 12], u64) {
        let sequence = self.sequence;
        self.sequence += 1;
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= number;
        }
        (nonce, sequence)
    }

    /// Writes one record to the start of `out` and returns its length. `out` must have room for `plain` and
    /// [`OVERHEAD_BYTES_MAX`].
    ///
    /// # Panics
    /// If it has not, or `plain` is longer than [`PLAIN_BYTES_MAX`].
    pub(super) fn seal(&mut self, kind: u8, plain: &[u8], out: &mut [u8]) -> usize {
        assert!(plain.len() <= PLAIN_BYTES_MAX);
        let (nonce, sequence) = self.next_nonce();
        let (inner_type, explicit): (&[u8], &[u8]) = match self.scheme {
            NonceScheme::Tls13 => (&[kind], &[]),
            NonceScheme::Gcm12 => (&[], &nonce[4..]),
            NonceScheme::ChaCha12 => (&[], &[]),
        };
        let fragment = explicit.len() + plain.len() + inner_type.len() + TAG_BYTES;
        let outer = if self.scheme == NonceScheme::Tls13 { APPLICATION_DATA } else { kind };
        let header = header(outer, fragment);
        let (record, _) = out.split_at_mut(HEADER_BYTES + fragment);
        record[..HEADER_BYTES].copy_from_slice(&header);
        let (front, rest) = record[HEADER_BYTES..].split_at_mut(explicit.len());
        front.copy_from_slice(explicit);
        let (data, behind) = rest.split_at_mut(plain.len());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = if self.scheme == NonceScheme::Tls13 {
            self.key.seal_out_of_place_scatter(nonce, Aad::from(header), plain, data, inner_type, behind)
        } else {
            let aad = Aad::from(additional_data_12(sequence, kind, plain.len()));
            self.key.seal_out_of_place_scatter(nonce, aad, plain, data, inner_type, behind)
        };
        sealed.expect("the lengths are right, and a record is far below the cipher's limit");
        record.len()
    }

    /// Opens one complete record in place: its content type, and the range of its data.
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<(u8, Range<usize>), RecordError> {
        let outer = record[0];
        let header: [u8; HEADER_BYTES] = record[..HEADER_BYTES].try_into().expect("a whole record");
        let (nonce, sequence) = self.next_nonce();
        match self.scheme {
            NonceScheme::Tls13 => {
                if outer != APPLICATION_DATA {
                    return Err(RecordError::UnexpectedType(outer));
                }
                let nonce = Nonce::assume_unique_for_key(nonce);
                let fragment = &mut record[HEADER_BYTES..];
                let opened = self.key.open_in_place(nonce, Aad::from(header), fragment);
                let plain = opened.map_err(|_| RecordError::Forged)?;
                // Data, type, padding of zeros (§5.2).
                let end = plain.iter().rposition(|&byte| byte != 0).ok_or(RecordError::UnexpectedType(0))?;
                // Padding counts as well (§5.4).
                if plain.len() > PLAIN_BYTES_MAX + 1 {
                    return Err(RecordError::TooLong);
                }
                Ok((plain[end], HEADER_BYTES..HEADER_BYTES + end))
            }
            NonceScheme::Gcm12 | NonceScheme::ChaCha12 => {
                let explicit = if self.scheme == NonceScheme::Gcm12 { EXPLICIT_NONCE_BYTES } else { 0 };
                let start = HEADER_BYTES + explicit;
                let length = (record.len() - HEADER_BYTES)
                    .checked_sub(explicit + TAG_BYTES)
                    .ok_or(RecordError::Forged)?;
                if length > PLAIN_BYTES_MAX {
                    return Err(RecordError::TooLong);
                }
                let mut full = nonce;
                if explicit > 0 {
                    full[..4].copy_from_slice(&self.iv[..4]);
                    full[4..].copy_from_slice(&record[HEADER_BYTES..start]);
                }
                let aad = Aad::from(additional_data_12(sequence, outer, length));
                let nonce = Nonce::assume_unique_for_key(full);
                let opened = self.key.open_in_place(nonce, aad, &mut record[start..]);
                opened.map_err(|_| RecordError::Forged)?;
                Ok((outer, start..start + length))
            }
        }
    }
}

/// Of the suites of TLS 1.3.
fn algorithm(suite: SupportedCipherSuite) -> Option<&'static Algorithm> {
    match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => Some(&AES_128_GCM),
        CipherSuite::TLS13_AES_256_GCM_SHA384 => Some(&AES_256_GCM),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Some(&CHACHA20_POLY1305),
        _ => None,
    }
}

fn common(suite: SupportedCipherSuite) -> &'static CipherSuiteCommon {
    match suite {
        SupportedCipherSuite::Tls12(suite) => &suite.common,
        SupportedCipherSuite::Tls13(suite) => &suite.common,
    }
}

/// The length of the record at the start of `input`, header included; `None` while the header is incomplete.
#[inline]
pub(super) fn record_length(input: &[u8]) -> Result<Option<usize>, RecordError> {
    let &[_, _, _, high, low, ..] = input else { return Ok(None) };
    let fragment = usize::from(u16::from_be_bytes([high, low]));
    if fragment > FRAGMENT_BYTES_MAX {
        return Err(RecordError::TooLong);
    }
    Ok(Some(HEADER_BYTES + fragment))
}

#[inline]
fn header(kind: u8, fragment: usize) -> [u8; HEADER_BYTES] {
    let [high, low] = (fragment as u16).to_be_bytes();
    [kind, LEGACY_VERSION[0], LEGACY_VERSION[1], high, low]
}

/// RFC 5246 §6.2.3.3.
#[inline]
fn additional_data_12(sequence: u64, kind: u8, length: usize) -> [u8; 13] {
    let mut data = [0; 13];
    data[..8].copy_from_slice(&sequence.to_be_bytes());
    data[8..].copy_from_slice(&header(kind, length));
    data
}
