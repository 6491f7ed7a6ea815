//! Who gets in: clients of every kind and version, with and without certificates of their own.

use std::fs;

use crate::lab::*;
use crate::server::Server;

#[test]
fn curl_gets_the_site_in_both_versions_over_one_connection() {
    let lab = Lab::new();
    let server = lab.serve(&[]);
    for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        let (page, big) = (url(&server, "/"), url(&server, "/big"));
        assert_eq!(fine(lab.curl(&[version, &["--http1.1", &page]].concat())), b"<title>here</title>");
        let got = fine(lab.curl(&[version, &["--http1.1", &big]].concat()));
        assert!(got == fs::read(lab.path("site/big")).unwrap(), "{} bytes", got.len());
        let write = ["--http1.1", "-w", "%{http_code} %{num_connects} ", &page, "-o", "/dev/null"];
        let more = [&*page, "-o", "/dev/null", &*big, "-o", "/dev/null"];
        let told = fine(lab.curl(&[version, &write, &more].concat()));
        assert_eq!(String::from_utf8_lossy(&told), "200 1 200 0 200 0 ", "{version:?}");
    }
    let range = fine(lab.curl(&["--http1.1", "-r", "100000-299999", &url(&server, "/big")]));
    assert!(range == fs::read(lab.path("site/big")).unwrap()[100_000..300_000]);
    let ended = server.stop();
    assert!(ended.stderr.contains(" 0 panics"), "{}", ended.stderr);
}

#[test]
fn many_at_once_get_all_of_it() {
    let lab = Lab::new();
    let server = lab.serve(&[]);
    let big = fs::read(lab.path("site/big")).unwrap();
    let (config, addr) = (lab.client(), server.addr());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut stream = connect(&config, addr);
                for _ in 0..3 {
                    let (status, body) = get(&mut stream, "/big").unwrap();
                    assert!(status == 200 && body == big, "{status}, {} bytes", body.len());
                }
            });
        }
    });
}

#[test]
fn openssl_speaks_what_is_offered_and_is_refused_the_rest() {
    let lab = Lab::new();
    let both = lab.serve(&[]);
    let latest = lab.serve(&["--tls-min", "1.3"]);
    for server in [&both, &latest] {
        let said = lab.s_client(server, &["-tls1_3", "-verify_return_error"]);
        assert!(said.contains("New, TLSv1.3, Cipher is TLS_") && said.contains("code: 0 (ok)"), "{said}");
    }
    let said = lab.s_client(&both, &["-tls1_2", "-verify_return_error"]);
    assert!(said.contains("New, TLSv1.2, Cipher is ECDHE-ECDSA-") && said.contains("code: 0 (ok)"), "{said}");
    for (server, version) in [(&latest, "-tls1_2"), (&both, "-tls1_1"), (&both, "-tls1")] {
        // Security level 0, so that it is not openssl that refuses.
        let said = lab.s_client(server, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(said.contains("Cipher is (NONE)"), "{version}: {said}");
        assert!(said.contains("alert"), "the server says that it refuses: {version}: {said}");
    }
}

#[test]
fn suites_without_forward_secrecy_or_authentication_are_not_offered() {
    let lab = Lab::new();
    lab.issue_with("rsa", &["localhost"], &rcgen::PKCS_RSA_SHA256, "rsa");
    let server = lab.serve_with(&["--tls-cert", &lab.at("rsa.pem"), "--tls-key", &lab.at("rsa.key")]);
    for (suite, accepted) in [
        ("ECDHE-RSA-AES128-GCM-SHA256", true),
        ("ECDHE-RSA-CHACHA20-POLY1305", true),
        ("ECDHE-RSA-AES128-SHA256", false),
        ("AES128-GCM-SHA256", false),
        ("DHE-RSA-AES128-GCM-SHA256", false),
    ] {
        let said = lab.s_client(&server, &["-tls1_2", "-cipher", suite]);
        assert_eq!(said.contains(&format!("Cipher is {suite}")), accepted, "{suite}: {said}");
    }
    for (group, accepted) in [("X25519", true), ("P-256", true), ("P-384", true), ("P-521", false)] {
        let said = lab.s_client(&server, &["-tls1_3", "-groups", group]);
        assert_eq!(said.contains("New, TLSv1.3"), accepted, "{group}: {said}");
    }
}

#[test]
fn sessions_are_resumed_on_every_core() {
    let lab = Lab::new();
    let server = lab.serve(&[]);
    let session = lab.at("session.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        // With a request: tickets of TLS 1.3 come after the handshake.
        let said = lab.s_client_get(&server, &[version, "-sess_out", &session]);
        assert!(said.contains("New, TLSv1.") && said.contains("<title>here</title>"), "{said}");
        if version == "-tls1_3" {
            assert!(said.contains("Max Early Data: 0"), "data that can be replayed is not asked for: {said}");
        }
        // The kernel gives each connection to either worker.
        for _ in 0..8 {
            let said = lab.s_client(&server, &[version, "-sess_in", &session]);
            assert!(said.contains("Reused, TLSv1."), "{version}: {said}");
        }
        fs::remove_file(&session).unwrap();
    }
    let config = lab.client();
    let kind = || {
        let mut stream = connect(&config, server.addr());
        get(&mut stream, "/").unwrap();
        stream.conn.handshake_kind().unwrap()
    };
    assert_eq!(kind(), rustls::HandshakeKind::Full);
    for _ in 0..8 {
        assert_eq!(kind(), rustls::HandshakeKind::Resumed);
    }
}

#[test]
fn clients_need_a_certificate_where_one_is_required() {
    let lab = Lab::new();
    for (name, serial) in [("alice", 1), ("mallory", 2)] {
        lab.issue_client(name, serial);
    }
    lab.issue_stranger("stranger");
    lab.revoke("list.crl", &[2]);
    let (ca, crl) = (lab.at("ca.pem"), lab.at("list.crl"));
    let required = lab.serve(&["--tls-client-ca", &ca, "--tls-crl", &crl]);
    let optional = lab.serve(&["--tls-client-ca", &ca, "--tls-client-auth", "optional"]);
    let ask = |server: &Server, name: &str, version: &[&str]| {
        let (pem, key, page) =
            (lab.at(&format!("{name}.pem")), lab.at(&format!("{name}.key")), url(server, "/"));
        let with = ["--cert", &pem, "--key", &key];
        let with = if name.is_empty() { &[][..] } else { &with };
        status(&lab.curl(&[version, with, &["--http1.1", &page]].concat()))
    };
    for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        assert_eq!(ask(&required, "alice", version), 0);
        assert_eq!(ask(&optional, "alice", version), 0);
        assert_eq!(ask(&optional, "mallory", version), 0, "there is no list");
        assert_eq!(ask(&optional, "", version), 0);
        for name in ["", "mallory", "stranger"] {
            assert_ne!(ask(&required, name, version), 0, "{name} {version:?}");
        }
        assert_ne!(ask(&optional, "stranger", version), 0, "who shows one must be known");
    }
    let said = lab
        .s_client(&required, &["-tls1_2", "-cert", &lab.at("mallory.pem"), "-key", &lab.at("mallory.key")]);
    assert!(said.contains("certificate revoked"), "the alert says why: {said}");
    // A revocation that comes later takes effect without a restart.
    lab.revoke("list.crl", &[1, 2]);
    required.signal("HUP");
    let began = std::time::Instant::now();
    while ask(&required, "alice", &[]) == 0 {
        assert!(began.elapsed() < PATIENCE, "she is still let in");
    }
    assert!(required.stop().stderr.contains(" 0 panics"));
}
