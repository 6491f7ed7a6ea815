//! Early data (0-RTT) that a client sends although no ticket of this server allows it, such as one with a
//! ticket of the server that had this name before. It is skipped (RFC 8446 §4.2.10).
//!
//! rustls recognises it by records that it cannot decrypt, but keeps those in its input and tries them again
//! with every further record, up to 16 KiB in all. So they are recognised here, with the key of the client's
//! handshake, and never shown to it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::crypto::tls13::OkmBlock;
use rustls::{KeyLog, SupportedCipherSuite};

use super::record::{APPLICATION_DATA, Protection};

/// Most bytes of early data that are skipped. Servers allow 16 KiB by default, and some 64.
const SKIPPED_BYTES_MAX: usize = 128 * 1024;

/// The label under which the key is logged.
const LABEL: &str = "CLIENT_HANDSHAKE_TRAFFIC_SECRET";

/// The early data of one handshake.
pub(super) struct EarlyData {
    secret: Arc<Secret>,
    opener: Option<Protection>,
    skipped: usize,
}

/// Takes the secret of the client's handshake from rustls.
#[derive(Default)]
struct Secret(OnceLock<Box<[u8]>>);

impl KeyLog for Secret {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == LABEL {
            let _ = self.0.set(secret.into());
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == LABEL
    }
}

/// Keys must not be logged.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

impl EarlyData {
    pub(super) fn new() -> Self {
        Self { secret: Arc::default(), opener: None, skipped: 0 }
    }

    /// For the configuration of the connection.
    pub(super) fn key_log(&self) -> Arc<dyn KeyLog> {
        self.secret.clone()
    }

    /// Whether a record behind the ClientHello is early data and skipped. Anything else is part of the
    /// handshake, or for rustls to refuse with an alert, as more early data than is skipped.
    pub(super) fn skips(&mut self, record: &[u8], negotiated: SupportedCipherSuite) -> bool {
        let is_protected = record.first() == Some(&APPLICATION_DATA);
        let may_be = is_protected && negotiated.tls13().is_some() && self.skipped < SKIPPED_BYTES_MAX;
        if !may_be || self.opens(record, negotiated) {
            return false;
        }
        self.skipped += record.len();
        true
    }

    /// Whether it is protected with the key of the handshake; never before there is one, which is after a
    /// HelloRetryRequest.
    fn opens(&mut self, record: &[u8], negotiated: SupportedCipherSuite) -> bool {
        if self.opener.is_none() {
            self.opener = self.secret.0.get().and_then(|secret| opener(secret, negotiated));
        }
        self.opener.as_mut().is_some_and(|opener| opener.try_open(record))
    }
}

/// The client's half of the handshake (RFC 8446 §7.3).
fn opener(secret: &[u8], suite: SupportedCipherSuite) -> Option<Protection> {
    let hkdf = suite.tls13()?.hkdf_provider;
    let expander = hkdf.expander_for_okm(&OkmBlock::new(secret));
    let expand = |label: &[u8], out: &mut [u8]| {
        // HkdfLabel: length, label, context.
        let label_bytes = b"tls13 ".len() + label.len();
        let info: [&[u8]; 5] =
            [&(out.len() as u16).to_be_bytes(), &[label_bytes as u8], b"tls13 ", label, &[0]];
        expander.expand_slice(&info, out).ok()
    };
    let mut key = vec![0; Protection::key_bytes(suite)?];
    let mut iv = [0; 12];
    expand(b"key", &mut key)?;
    expand(b"iv", &mut iv)?;
    Protection::from_parts(&key, iv, suite)
}
