//! What the configuration of a handshake depends on, from the ClientHello (RFC 8446 §4.1.2), before rustls
//! reads it. Refuses nothing: a message that cannot be read here is rustls' to judge, with the usual
//! configuration.

use rustls::CipherSuite;

use super::challenges::ACME_TLS_ALPN;
use super::record::{FRAGMENT_BYTES_MAX, HANDSHAKE, HEADER_BYTES};

/// Longest ClientHello that is read here: rustls reads none that is longer.
const HELLO_BYTES_MAX: usize = 0xffff;

/// Type and length of a message (RFC 8446 §4).
const MESSAGE_HEADER_BYTES: usize = 4;

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const TLS12: u16 = 0x0303;
const HOST_NAME: u8 = 0;

/// The rest of a structure of TLS' presentation language (RFC 8446 §3).
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.bytes(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A vector with a length of so many bytes.
    pub(super) fn vector(&mut self, length_bytes: usize) -> Option<Fields<'a>> {
        let length = self.number(length_bytes)?;
        self.bytes(length).map(Fields)
    }
}

/// What is known of a ClientHello from the input so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HelloProgress {
    /// More is to come.
    Part,
    /// All of it was received.
    Whole,
    /// The input does not begin with one.
    Wrong,
}

/// The message at the start of a connection, from the records that carry it: as many as the client likes
/// (RFC 8446 §5.1), and what is in them does not depend on how many.
#[derive(Debug, Default)]
pub struct HelloRecords {
    message: Vec<u8>,
    /// Bytes of the input whose content is in the message.
    taken: usize,
}

impl HelloRecords {
    /// Continues with all of the input that was received so far.
    pub fn handle_input(&mut self, input: &[u8]) -> HelloProgress {
        loop {
            let rest = &input[self.taken.min(input.len())..];
            match *rest {
                [] => return HelloProgress::Part,
                [HANDSHAKE, _, _, high, low, ..] => {
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    // An empty one is an error.
                    if length == 0 || length > FRAGMENT_BYTES_MAX {
                        return HelloProgress::Wrong;
                    }
                    let Some(fragment) = rest.get(HEADER_BYTES..HEADER_BYTES + length) else {
                        return HelloProgress::Part;
                    };
                    self.message.extend_from_slice(fragment);
                    self.taken += HEADER_BYTES + length;
                }
                [HANDSHAKE, ..] => return HelloProgress::Part,
                _ => return HelloProgress::Wrong,
            }
            match self.message_length() {
                _ if self.message.first() != Some(&CLIENT_HELLO) => return HelloProgress::Wrong,
                Some(length) if length > MESSAGE_HEADER_BYTES + HELLO_BYTES_MAX => {
                    return HelloProgress::Wrong;
                }
                Some(length) if length <= self.message.len() => return HelloProgress::Whole,
                _ => {}
            }
        }
    }

    /// The length of the message, header included, when that is known.
    fn message_length(&self) -> Option<usize> {
        let &[_, high, middle, low, ..] = &*self.message else { return None };
        let length = u32::from_be_bytes([0, high, middle, low]);
        Some(MESSAGE_HEADER_BYTES + length as usize)
    }

    /// The ClientHello, if it is whole and can be read.
    pub fn hello(&self) -> Option<Hello<'_>> {
        Hello::read(&self.message)
    }
}

/// A ClientHello, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hello<'a> {
    suites: &'a [u8],
    /// The list of protocol names.
    protocols: &'a [u8],
    server_name: Option<&'a [u8]>,
    offers_early_data: bool,
    /// `legacy_version`.
    version: u16,
    lists_versions: bool,
}

impl<'a> Hello<'a> {
    /// From the message; `None` if it is another one, or not whole.
    fn read(message: &'a [u8]) -> Option<Self> {
        let mut message = Fields(message);
        if message.number(1)? != usize::from(CLIENT_HELLO) {
            return None;
        }
        let mut hello = message.vector(3)?;
        let version = hello.number(2)? as u16;
        let _random = hello.bytes(32)?;
        let _session = hello.vector(1)?;
        let suites = hello.vector(2)?.0;
        let _compression = hello.vector(1)?;
        let mut read = Self { suites, version, ..Self::default() };
        let mut extensions = if hello.is_empty() { Fields(&[]) } else { hello.vector(2)? };
        while !extensions.is_empty() {
            let kind = extensions.number(2)? as u16;
            read.extension(kind, extensions.vector(2)?)?;
        }
        Some(read)
    }

    fn extension(&mut self, kind: u16, mut content: Fields<'a>) -> Option<()> {
        match kind {
            SERVER_NAME => {
                let mut names = content.vector(2)?;
                if names.number(1)? == usize::from(HOST_NAME) {
                    self.server_name = Some(names.vector(2)?.0);
                }
            }
            ALPN => self.protocols = content.vector(2)?.0,
            EARLY_DATA => self.offers_early_data = true,
            SUPPORTED_VERSIONS => self.lists_versions = true,
            _ => {}
        }
        Some(())
    }

    /// Whether of the suites that are supported here one with ChaCha20 comes first: the client has no
    /// hardware for AES.
    pub fn prefers_chacha(&self) -> bool {
        let mut suites = self.suites.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]]));
        suites.find_map(|suite| is_chacha(CipherSuite::from(suite))).unwrap_or(false)
    }

    /// Whether a CA asks for the certificate of TLS-ALPN-01: it offers that protocol and no other (RFC 8737
    /// §3).
    pub fn asks_for_challenge(&self) -> bool {
        let mut protocols = Fields(self.protocols);
        protocols.vector(1).is_some_and(|name| name.0 == ACME_TLS_ALPN) && protocols.is_empty()
    }

    /// The SNI name as it was sent.
    pub fn server_name(&self) -> Option<&'a str> {
        std::str::from_utf8(self.server_name?).ok()
    }

    /// The highest version of a client that has none which is supported here (RFC 5246 appendix E.1: it gets
    /// protocol_version). A list of versions counts instead, and is rustls' to judge (RFC 8446 §4.2.1).
    pub fn version_too_old(&self) -> Option<u16> {
        (!self.lists_versions && self.version < TLS12).then_some(self.version)
    }

    /// Whether data may follow at once (0-RTT).
    pub fn offers_early_data(&self) -> bool {
        self.offers_early_data
    }
}

/// `None` for a suite that is not supported.
pub(super) fn is_chacha(suite: CipherSuite) -> Option<bool> {
    match suite {
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => Some(true),
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS13_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::crypto::aws_lc_rs;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// The first record of rustls' client.
    fn hello(alpn: &[&[u8]], is_chacha_first: bool) -> Vec<u8> {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.sort_by_key(|suite| is_chacha(suite.suite()) != Some(is_chacha_first));
        let mut config = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let mut client = ClientConnection::new(Arc::new(config), "Example.com".try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn whole(input: &[u8]) -> HelloRecords {
        let mut records = HelloRecords::default();
        assert_eq!(records.handle_input(input), HelloProgress::Whole);
        records
    }

    /// The same message in records of these lengths, and what is left in one more.
    fn in_records(record: &[u8], lengths: &[usize]) -> Vec<u8> {
        let mut rest = &record[HEADER_BYTES..];
        let mut all = Vec::new();
        for &length in lengths.iter().chain([&usize::MAX]) {
            let (fragment, behind) = rest.split_at(length.min(rest.len()));
            if !fragment.is_empty() {
                let [high, low] = (fragment.len() as u16).to_be_bytes();
                all.extend_from_slice(&[HANDSHAKE, 3, 1, high, low]);
                all.extend_from_slice(fragment);
            }
            rest = behind;
        }
        all
    }

    #[test]
    fn what_matters_is_read() {
        for chacha in [true, false] {
            let records = whole(&hello(&[b"acme-tls/1"], chacha));
            let read = records.hello().unwrap();
            assert_eq!((read.prefers_chacha(), read.asks_for_challenge()), (chacha, true));
            assert!(read.server_name().unwrap().eq_ignore_ascii_case("example.com"));
            assert!(!read.offers_early_data());
        }
        for alpn in [&[][..], &[&b"h2"[..]], &[b"acme-tls/1", b"h2"], &[b"h2", b"acme-tls/1"]] {
            assert!(!whole(&hello(alpn, true)).hello().unwrap().asks_for_challenge(), "{alpn:?}");
        }
    }

    #[test]
    fn suites_that_nobody_supports_do_not_count() {
        let prefers = |suites: &[u8]| Hello { suites, ..Hello::default() }.prefers_chacha();
        // GREASE, then AES-CBC, then ChaCha20 for TLS 1.2.
        assert!(prefers(&[0x0a, 0x0a, 0xc0, 0x13, 0xcc, 0xa8, 0x13, 0x01]));
        assert!(!prefers(&[0x0a, 0x0a, 0x13, 0x01, 0x13, 0x03]));
        assert!(!prefers(&[]) && !prefers(&[0x13]));
    }

    /// RFC 8446 §5.1: handshake messages may be fragmented across several records.
    #[test]
    fn records_do_not_matter() {
        let bytes = hello(&[b"acme-tls/1"], true);
        let message_bytes = bytes.len() - HEADER_BYTES;
        let records = whole(&bytes);
        let expected = records.hello().unwrap();
        let cuts = (1..message_bytes).map(|at| vec![at]).chain([vec![1; message_bytes], vec![3, 1, 100]]);
        for lengths in cuts {
            let split = in_records(&bytes, &lengths);
            assert_eq!(whole(&split).hello(), Some(expected), "records of {lengths:?}");
            let behind = [&split[..], &[23, 3, 3, 0, 1, 0]].concat();
            assert_eq!(whole(&behind).hello(), Some(expected), "what follows does not matter");
        }
        let split = in_records(&bytes, &[2, 30, 7]);
        let mut records = HelloRecords::default();
        for end in 0..split.len() {
            assert_eq!(records.handle_input(&split[..end]), HelloProgress::Part, "cut at {end}");
            assert_eq!(records.hello(), None, "cut at {end}");
        }
        assert_eq!(records.handle_input(&split), HelloProgress::Whole);
        assert_eq!(records.hello(), Some(expected));
    }

    #[test]
    fn what_is_no_hello_is_not_waited_for() {
        let bytes = hello(&[], false);
        let begun = in_records(&bytes, &[10])[..15].to_vec();
        for (input, progress) in [
            (vec![], HelloProgress::Part),
            (vec![HANDSHAKE, 3], HelloProgress::Part),
            (begun.clone(), HelloProgress::Part),
            (vec![23], HelloProgress::Wrong),
            // An alert within it, an empty record, and one that is too long.
            ([&begun[..], &[21]].concat(), HelloProgress::Wrong),
            ([&begun[..], &[HANDSHAKE, 3, 1, 0, 0]].concat(), HelloProgress::Wrong),
            ([&begun[..], &[HANDSHAKE, 3, 1, 0x41, 1]].concat(), HelloProgress::Wrong),
            // Another message, and one that is too long.
            (vec![HANDSHAKE, 3, 1, 0, 1, 2], HelloProgress::Wrong),
            (vec![HANDSHAKE, 3, 1, 0, 4, CLIENT_HELLO, 1, 0, 0], HelloProgress::Wrong),
        ] {
            assert_eq!(HelloRecords::default().handle_input(&input), progress, "{input:?}");
        }
    }

    #[test]
    fn no_input_panics() {
        let bytes = hello(&[b"h2"], false);
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let mut records = HelloRecords::default();
                records.handle_input(&changed);
                if let Some(read) = records.hello() {
                    read.prefers_chacha();
                    read.asks_for_challenge();
                    read.server_name();
                }
            }
        }
    }
}
