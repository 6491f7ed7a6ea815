//! Which certificate is presented for which SNI name.

use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};

use super::lab::*;
use crate::net::tls::{ACME_TLS_ALPN, CipherPreference, TlsOptions, TlsServer, TlsVersion};

/// The file of the certificate presented for SNI `name`; it must be valid for that name unless a mismatch is
/// expected.
fn presented(lab: &Lab, server: &TlsServer, name: &str) -> String {
    let shaken = lab.client().shake(server, name).unwrap_or_else(|error| panic!("{name}: {error}"));
    file_of(server, &shaken.leaf)
}

fn file_of(server: &TlsServer, leaf: &CertificateDer<'_>) -> String {
    let facts = crate::net::tls::CertificateFacts::read(leaf).unwrap();
    let found = server.inventory().into_iter().find(|one| one.fingerprint == facts.fingerprint).unwrap();
    found.file.unwrap().file_stem().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn the_exact_name_goes_before_the_wildcard_and_a_wildcard_is_one_label() {
    let lab = Lab::new();
    let server = server(vec![
        lab.certificate("default", &["default.test"]),
        lab.certificate("wild", &["*.example.com"]),
        lab.certificate("exact", &["www.example.com", "example.com"]),
    ]);
    for (name, file) in [
        ("www.example.com", "exact"),
        ("WWW.Example.COM", "exact"),
        ("example.com", "exact"),
        ("api.example.com", "wild"),
        ("default.test", "default"),
    ] {
        assert_eq!(presented(&lab, &server, name), file, "{name}");
    }
    for name in ["a.b.example.com", "other.test", "com"] {
        let error = lab.client().shake(&server, name).unwrap_err().to_string();
        assert!(error.contains("default.test"), "the default is presented, and does not hold: {error}");
    }
}

#[test]
fn agreement_is_a_certificate_for_both_names() {
    let lab = Lab::new();
    let server = server(vec![
        lab.certificate("one", &["one.test", "*.one.test", "127.0.0.1", "::1"]),
        lab.certificate("two", &["two.test"]),
    ]);
    for (sni, host) in [
        ("one.test", "one.test"),
        ("one.test", "ONE.test"),
        ("one.test", "a.one.test"),
        ("b.one.test", "a.one.test"),
        ("one.test", "127.0.0.1"),
        ("one.test", "[::1]"),
        ("one.test", "[0:0::1]"),
        ("unknown.test", "unknown.test"),
    ] {
        assert!(server.agree(sni, host), "{sni} {host}");
    }
    for (sni, host) in [
        ("one.test", "two.test"),
        ("two.test", "one.test"),
        ("one.test", "a.b.one.test"),
        ("one.test", "unknown.test"),
        ("unknown.test", "one.test"),
        ("unknown.test", "other.test"),
        ("one.test", ""),
        ("two.test", "127.0.0.1"),
    ] {
        assert!(!server.agree(sni, host), "{sni} {host}");
    }
}

#[test]
fn of_two_keys_each_client_gets_one_that_it_can_check() {
    let lab = Lab::new();
    let rsa = issue(&params(&["example.com"]), &lab.root, &rcgen::PKCS_RSA_SHA256);
    // RSA first: the cheaper one is preferred whatever the order.
    let server =
        server(vec![lab.store("rsa", &rsa.pem, &rsa.key_pem), lab.certificate("ecdsa", &["example.com"])]);
    assert_eq!(server.inventory()[0].key, "RSA 2048");
    for versions in [vec![&TLS13], vec![&TLS12]] {
        let mut client = lab.client();
        client.versions = versions;
        assert_eq!(file_of(&server, &client.shake(&server, "example.com").unwrap().leaf), "ecdsa");
    }
    let mut old = lab.client();
    old.schemes_without_ecdsa = true;
    assert_eq!(file_of(&server, &old.shake(&server, "example.com").unwrap().leaf), "rsa");
}

#[test]
fn a_client_that_nobody_can_sign_for_is_refused() {
    let lab = Lab::new();
    let server = server(vec![lab.certificate("ecdsa", &["example.com"])]);
    let mut old = lab.client();
    old.schemes_without_ecdsa = true;
    let error = old.shake(&server, "example.com").unwrap_err().to_string();
    assert!(error.contains("HandshakeFailure"), "{error}");
}

#[test]
fn protocols_and_versions_are_those_of_the_options() {
    let lab = Lab::new();
    let certificates = vec![lab.certificate("a", &["example.com"])];
    let options = TlsOptions { certificates, ..TlsOptions::default() };
    let both = TlsServer::new(options.clone()).unwrap();
    let one = TlsServer::new(TlsOptions { http2: false, ..options.clone() }).unwrap();
    let mut client = lab.client();
    client.alpn = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    assert_eq!(client.shake(&both, "example.com").unwrap().alpn.as_deref(), Some(&b"h2"[..]));
    assert_eq!(client.shake(&one, "example.com").unwrap().alpn.as_deref(), Some(&b"http/1.1"[..]));
    client.alpn = vec![b"spdy/3".to_vec()];
    assert!(client.shake(&both, "example.com").unwrap_err().to_string().contains("NoApplicationProtocol"));
    let latest = TlsServer::new(TlsOptions { version_min: TlsVersion::V1_3, ..options }).unwrap();
    let mut old = lab.client();
    old.versions = vec![&TLS12];
    assert!(old.shake(&both, "example.com").is_ok());
    assert!(old.shake(&latest, "example.com").unwrap_err().to_string().contains("ProtocolVersion"));
}

#[test]
fn the_cheaper_cipher_is_taken_unless_the_client_has_no_hardware_for_it() {
    use rustls::CipherSuite as Suite;
    let lab = Lab::new();
    let certificates = vec![lab.certificate("a", &["example.com"])];
    let options = TlsOptions { certificates, ..TlsOptions::default() };
    let usual = TlsServer::new(options.clone()).unwrap();
    let strong = TlsOptions { cipher_preference: CipherPreference::Aes256, ..options };
    let strong = TlsServer::new(strong).unwrap();
    let suites = [
        (
            &TLS13,
            Suite::TLS13_AES_128_GCM_SHA256,
            Suite::TLS13_AES_256_GCM_SHA384,
            Suite::TLS13_CHACHA20_POLY1305_SHA256,
        ),
        (
            &TLS12,
            Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ),
    ];
    for (version, aes_128, aes_256, chacha) in suites {
        for (first, from_usual, from_strong) in
            [(aes_128, aes_128, aes_256), (aes_256, aes_128, aes_256), (chacha, chacha, chacha)]
        {
            let mut client = lab.client();
            (client.versions, client.suites) = (vec![version], vec![first]);
            assert_eq!(client.shake(&usual, "example.com").unwrap().suite, from_usual, "{first:?}");
            assert_eq!(client.shake(&strong, "example.com").unwrap().suite, from_strong, "{first:?}");
        }
    }
}

#[test]
fn the_protocol_of_challenges_is_for_challenges_alone() {
    let lab = Lab::new();
    let certificates = vec![lab.certificate("a", &["example.com"])];
    let options = TlsOptions { certificates, acme_tls_alpn: true, ..TlsOptions::default() };
    let server = TlsServer::new(options).unwrap();
    let offering = |protocols: &[&[u8]]| {
        let mut client = lab.client();
        client.alpn = protocols.iter().map(|name| name.to_vec()).collect();
        client.shake(&server, "example.com").map(|shaken| shaken.alpn)
    };
    let refused = |protocols| {
        let error = offering(protocols).unwrap_err().to_string();
        assert!(error.contains("NoApplicationProtocol"), "{protocols:?}: {error}");
    };
    for in_progress in [false, true] {
        if in_progress {
            let challenge = lab.issue(&params(&["example.com"]));
            server.challenges().put_certificate("example.com", challenge.certified());
        } else {
            refused(&[ACME_TLS_ALPN]);
        }
        refused(&[ACME_TLS_ALPN, b"x"]);
        refused(&[b"x", ACME_TLS_ALPN]);
        let both = offering(&[ACME_TLS_ALPN, b"http/1.1"]).unwrap();
        assert_eq!(both.as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(offering(&[]).unwrap(), None);
    }
}

#[test]
fn a_validator_gets_the_challenges_certificate_and_nobody_else_does() {
    let lab = Lab::new();
    let certificates = vec![lab.certificate("a", &["example.com"])];
    let server =
        TlsServer::new(TlsOptions { certificates, acme_tls_alpn: true, ..TlsOptions::default() }).unwrap();
    let challenge = lab.issue(&params(&["example.com"]));
    let mut validator = lab.client();
    validator.alpn = vec![ACME_TLS_ALPN.to_vec()];
    assert!(validator.shake(&server, "example.com").is_err(), "there is no challenge yet");
    server.challenges().put_certificate("Example.com", challenge.certified());
    let shaken = validator.shake(&server, "example.com").unwrap();
    assert_eq!((shaken.leaf, shaken.alpn.as_deref()), (challenge.der.clone(), Some(ACME_TLS_ALPN)));
    assert!(validator.shake(&server, "other.test").is_err());
    for alpn in [&[][..], &[&b"h2"[..]], &[b"h2", ACME_TLS_ALPN]] {
        let mut client = lab.client();
        client.alpn = alpn.iter().map(|name| name.to_vec()).collect();
        assert_ne!(client.shake(&server, "example.com").unwrap().leaf, challenge.der, "{alpn:?}");
    }
    server.challenges().remove_certificate("example.com");
    assert!(validator.shake(&server, "example.com").is_err());
}
