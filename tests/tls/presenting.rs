//! Which certificate is presented to a client, and related features: names, redirects, HSTS.

use std::process::Command;

use crate::lab::*;
use crate::server::{get as get_plain, quoit, refused};

/// The subject of what openssl is presented.
fn subject(said: &str) -> &str {
    let line = said.lines().find_map(|line| line.strip_prefix("subject="));
    line.unwrap_or_else(|| panic!("no certificate: {said}")).trim()
}

#[test]
fn names_choose_the_certificate_and_misses_get_the_first() {
    let lab = Lab::new();
    lab.issue("b", &["b.test", "*.b.test"]);
    let (a, b) = (lab.at("a.pem"), lab.at("b.pem"));
    let (a_key, b_key) = (lab.at("a.key"), lab.at("b.key"));
    let server =
        lab.serve_with(&["--tls-cert", &a, "--tls-key", &a_key, "--tls-cert", &b, "--tls-key", &b_key]);
    for (name, expected) in [
        ("localhost", "CN = a"),
        ("b.test", "CN = b"),
        ("x.b.test", "CN = b"),
        ("x.y.b.test", "CN = a"),
        ("unknown.test", "CN = a"),
    ] {
        assert_eq!(subject(&lab.s_client(&server, &["-servername", name])), expected, "{name}");
    }
    assert_eq!(subject(&lab.s_client(&server, &["-noservername"])), "CN = a");
    // A connection for one name is not good for another that has its own certificate.
    let page = url(&server, "/");
    for (host, expected) in [("localhost", "200"), ("127.0.0.1", "200"), ("b.test", "421"), ("c.test", "421")]
    {
        let field = format!("Host: {host}");
        let code =
            fine(lab.curl(&["--http1.1", "-H", &field, "-o", "/dev/null", "-w", "%{http_code}", &page]));
        assert_eq!(String::from_utf8_lossy(&code), expected, "{host}");
    }
}

#[test]
fn two_keys_for_one_name_serve_old_and_new_clients() {
    let lab = Lab::new();
    lab.issue_with("rsa", &["localhost"], &rcgen::PKCS_RSA_SHA256, "rsa");
    let (a, rsa) = (lab.at("a.pem"), lab.at("rsa.pem"));
    let (a_key, rsa_key) = (lab.at("a.key"), lab.at("rsa.key"));
    let server =
        lab.serve_with(&["--tls-cert", &[&*rsa, &*a].join(","), "--tls-key", &[rsa_key, a_key].join(",")]);
    for version in ["-tls1_2", "-tls1_3"] {
        let with = |schemes: &str| {
            let name = ["-servername", "localhost", "-sigalgs", schemes, version];
            subject(&lab.s_client(&server, &name)).to_owned()
        };
        assert_eq!(with("ECDSA+SHA256:rsa_pss_rsae_sha256"), "CN = a");
        assert_eq!(with("rsa_pss_rsae_sha256"), "CN = rsa");
    }
}

#[test]
fn plain_http_is_redirected_and_browsers_told_to_stay() {
    let lab = Lab::new();
    // The port must be known before the start; another process could take it, hence the retries.
    let server = (0..5).find_map(|_| {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (a, key, site, listen) = (lab.at("a.pem"), lab.at("a.key"), lab.at("site"), free.to_string());
        let files = ["--tls-cert", &a, "--tls-key", &key, "--listen", &listen];
        let args = ["serve", &site, "--redirect-from", "127.0.0.1:0", "--hsts=600", "--workers", "1"];
        let mut server = crate::server::Server::start_silent(quoit(&[&args[..], &files].concat()));
        let line = server.wait_for_any(&["stop with Ctrl-C", "in use"]);
        line.contains("Ctrl-C").then_some(server)
    });
    let server = server.expect("a free port");
    let addresses = server.addresses();
    assert!(addresses[0].starts_with("https://") && addresses[1].starts_with("http://"), "{addresses:?}");
    let plain = addresses[1].strip_prefix("http://").unwrap().parse().unwrap();
    let answer = get_plain(plain, "/a?b");
    let location = format!("\r\nLocation: https://test:{}/a?b\r\n", server.addr().port());
    assert_eq!(answer.status, 308);
    assert!(answer.head.contains(&location) && !answer.head.contains("Strict-Transport"), "{}", answer.head);
    let head = fine(lab.curl(&["--http1.1", "-I", &url(&server, "/")]));
    let head = String::from_utf8_lossy(&head);
    assert!(head.contains("\r\nStrict-Transport-Security: max-age=600\r\n"), "{head}");
}

#[test]
fn a_self_signed_certificate_serves_and_promises_nothing() {
    let lab = Lab::new();
    let mut server = lab.serve_with(&["--tls-self-signed", "--hsts"]);
    assert!(server.said()[0].contains("self-signed certificate for localhost, 127.0.0.1, ::1 (ECDSA P-256"));
    let page = url(&server, "/");
    assert_eq!(status(&lab.curl(&["--http1.1", &page])), 60, "nobody vouches for it");
    let head = fine(lab.curl(&["--http1.1", "-k", "-I", &page]));
    assert!(!String::from_utf8_lossy(&head).contains("Strict-Transport-Security"));
    let place = server.addr().to_string();
    let shown = quoit(&["cert", "show", &place]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    for words in ["TLSv1_3", "X25519MLKEM768", "h2", "names  localhost, 127.0.0.1, ::1\n"] {
        assert!(shown.contains(words), "`{words}` is missing:\n{shown}");
    }
    server.signal("TERM");
    server.wait_for("stopped after");
}

#[test]
fn mistakes_end_the_start_with_the_remedy() {
    let lab = Lab::new();
    lab.issue("b", &["b.test"]);
    let serve = |args: &[&str]| {
        let mut command: Command = quoit(&["serve", &lab.at("site"), "--listen", "127.0.0.1:0"]);
        command.args(args);
        command
    };
    let (a, b_key) = (lab.at("a.pem"), lab.at("b.key"));
    refused(serve(&["--tls-cert", &a, "--tls-key", &b_key]), &["b.key: ", "does not belong", "a.pem"]);
    refused(serve(&["--tls-cert", &a]), &["a.pem: it has no private key", "--tls-key FILE"]);
    refused(serve(&["--tls-cert", &lab.at("c.pem"), "--tls-key", &b_key]), &["c.pem: there is no such file"]);
    refused(serve(&["--hsts"]), &["--hsts needs TLS", "--tls-cert"]);
    refused(
        serve(&["--tls-self-signed", "--redirect-from", "127.0.0.1:0"]),
        &["needs a port to redirect to"],
    );
    refused(serve(&["--tls-self-signed=a..b"]), &["a..b"]);
}

#[test]
fn what_is_presented_can_be_looked_at_without_a_certificate_of_ones_own() {
    let lab = Lab::new();
    let server = lab.serve(&["--tls-client-ca", &lab.at("ca.pem")]);
    let place = server.addr().to_string();
    let shown = quoit(&["cert", "show", &place, "--name", "localhost"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("names  localhost, 127.0.0.1\n") && shown.contains("issuer  CN=Test Authority\n"));
}

/// Keys as openssl writes them: PKCS #1, SEC 1 behind its parameters, PKCS #8.
#[test]
fn keys_of_every_kind_and_form_are_presented() {
    let lab = Lab::new();
    let openssl = |args: &str| {
        let output =
            Command::new("openssl").args(args.split(' ')).current_dir(lab.path("")).output().unwrap();
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for (key, first, kind) in [
        ("genrsa -traditional -out k.key 3072", "RSA PRIVATE KEY", "RSA 3072"),
        ("ecparam -genkey -name prime256v1 -out k.key", "EC PARAMETERS", "ECDSA P-256"),
        ("ecparam -genkey -noout -name secp384r1 -out k.key", "EC PRIVATE KEY", "ECDSA P-384"),
        ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out k.key", "PRIVATE KEY", "ECDSA P-521"),
        ("genpkey -algorithm ed25519 -out k.key", "PRIVATE KEY", "Ed25519"),
    ] {
        openssl(key);
        let text = std::fs::read_to_string(lab.path("k.key")).unwrap();
        assert!(text.starts_with(&format!("-----BEGIN {first}-----")), "{key}: {first}");
        lab.write("k.key", &text);
        openssl(
            "req -x509 -new -key k.key -out k.pem -days 9 -subj /CN=k -addext subjectAltName=DNS:localhost",
        );
        let server = lab.serve_with(&["--tls-cert", &lab.at("k.pem"), "--tls-key", &lab.at("k.key")]);
        assert!(server.said()[0].contains(&format!("localhost ({kind}, expires ")), "{:?}", server.said());
        assert_eq!(subject(&lab.s_client(&server, &[])), "CN = k");
        assert_eq!(fine(lab.curl(&["--http1.1", "-k", &url(&server, "/")])), b"<title>here</title>");
    }
}
