//! Validation of chain and key: every error names its file and the remedy.

use std::os::unix::fs::symlink;
use std::time::SystemTime;

use super::lab::*;
use crate::net::tls::{CertificateFiles, TlsOptions, TlsServer};

fn only(files: CertificateFiles) -> TlsOptions {
    TlsOptions { certificates: vec![files], ..TlsOptions::default() }
}

#[track_caller]
fn says(options: TlsOptions, words: &[&str]) {
    let said = refused(options);
    for word in words {
        assert!(said.contains(word), "`{word}` is missing: {said}");
    }
    assert!(!said.contains('\n'), "one line: {said}");
}

#[test]
fn a_chain_with_its_key_is_presented() {
    let lab = Lab::new();
    let intermediate = lab.intermediate();
    let leaf = issue(&params(&["example.com"]), &intermediate, &rcgen::PKCS_ECDSA_P384_SHA384);
    let files = lab.store("leaf", &(leaf.pem.clone() + &intermediate.pem()), &leaf.key_pem);
    let server = server(vec![files.clone()]);
    assert_eq!(lab.client().shake(&server, "example.com").unwrap().leaf, leaf.der);
    let facts = &server.inventory()[0];
    assert_eq!(facts.file.as_deref(), Some(&*files.chain));
    assert_eq!((facts.key.as_str(), facts.issuer.as_str()), ("ECDSA P-384", "CN=intermediate"));
    assert_eq!(facts.name_list(), "example.com");
    assert!((29..=30).contains(&facts.days_left(SystemTime::now())));
    assert!(
        server.is_real() && server.warnings(SystemTime::now()).is_empty(),
        "{:?}",
        server.warnings(SystemTime::now())
    );
}

#[test]
fn chain_and_key_may_be_one_file() {
    let lab = Lab::new();
    let leaf = lab.issue(&params(&["example.com"]));
    let both = lab.write("both.pem", &(leaf.key_pem.clone() + &leaf.pem), 0o600);
    let server = server(vec![CertificateFiles::new(&both, &both)]);
    assert!(lab.client().shake(&server, "example.com").is_ok());
    let alone = lab.write("alone.pem", &leaf.pem, 0o600);
    says(only(CertificateFiles::new(&alone, &alone)), &["alone.pem: ", "no private key beside", "--tls-key"]);
}

#[test]
fn what_is_missing_or_no_pem_is_told() {
    let lab = Lab::new();
    let good = lab.certificate("good", &["example.com"]);
    let chain = |name: &str| only(CertificateFiles::new(lab.path(name), &good.key));
    says(chain("none.pem"), &["none.pem: there is no such file", "quoit cert"]);
    says(only(CertificateFiles::new(&good.chain, lab.path("no.key"))), &["no.key: there is no such file"]);
    says(chain("."), &["no plain file"]);
    symlink(lab.path("nowhere"), lab.path("dangling.pem")).unwrap();
    says(chain("dangling.pem"), &["dangling.pem: there is no such file"]);
    for (text, words) in [
        ("", &["no -----BEGIN CERTIFICATE-----"][..]),
        ("0\u{82}\u{1}binary", &["no -----BEGIN CERTIFICATE-----"]),
        (&read(&good.key), &["private key and no certificate"]),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", &["no PEM text", "-----END CERTIFICATE----- is missing"]),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", &["no PEM text"]),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &["certificate 1 cannot be read"]),
    ] {
        lab.write("bad.pem", text, 0o644);
        says(chain("bad.pem"), &[words, &["bad.pem: "]].concat());
    }
    let leaf = lab.issue(&params(&["example.com"]));
    std::fs::write(lab.path("der.cer"), &leaf.der).unwrap();
    says(chain("der.cer"), &["der.cer: it is DER", "openssl x509 -inform der", "openssl pkcs12"]);
    let der = lab.path("der.cer");
    says(only(CertificateFiles::new(&der, &der)), &["it is DER"]);
    std::fs::set_permissions(&der, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    says(only(CertificateFiles::new(&good.chain, der)), &["it is DER", "openssl pkey"]);
    let key = rcgen::KeyPair::generate().unwrap();
    let request = params(&["example.com"]).serialize_request(&key).unwrap().pem().unwrap();
    lab.write("request.csr", &request, 0o644);
    says(chain("request.csr"), &["request.csr: it is a request", "that the CA sent"]);
    says(only(CertificateFiles::new(&good.chain, &good.chain)), &["no private key beside"]);
    lab.write("empty.key", "", 0o600);
    says(only(CertificateFiles::new(&good.chain, lab.path("empty.key"))), &["there is no private key in it"]);
}

/// Decoders skip what they do not recognise: the server would present its certificate without the issuer.
#[test]
fn almost_right_pem_loses_no_issuer() {
    let lab = Lab::new();
    let intermediate = lab.intermediate();
    let leaf = issue(&params(&["example.com"]), &intermediate, &rcgen::PKCS_ECDSA_P256_SHA256);
    let (own, issuer) = (leaf.pem.trim_end().to_owned(), intermediate.pem());
    let (bom, dashes) = ("\u{feff}", "-----");
    for text in [
        format!("{bom}{own}\n{issuer}"),
        format!("{own}\n{bom}{issuer}"),
        format!("{own}\n{issuer}").replace('\n', "\r"),
        format!("{own}\n{issuer}").replace("-----BEGIN", "  -----BEGIN"),
        format!("{own}\n{}", issuer.replace("CERTIFICATE", "X509 CERTIFICATE")),
    ] {
        let server = server(vec![lab.store("good", &text, &(bom.to_owned() + &leaf.key_pem))]);
        let shaken = lab.client().shake(&server, "example.com");
        assert_eq!(shaken.expect("a whole chain").leaf, leaf.der, "{text}");
    }
    let line = own.lines().count() + 1;
    for (text, line) in [
        (format!("{own}{issuer}"), line - 1),
        (format!("{own}\n{}", issuer.replace(dashes, "----")), line),
        (format!("{own}\n{}", issuer.replace(dashes, "\u{2014}\u{2013}")), line),
        (format!("{own}\n{}", issuer.to_ascii_lowercase()), line),
        (format!("{own}\n{}", issuer.replace("BEGIN CERTIFICATE", "BEGIN TRUSTED CERTIFICATE")), line),
    ] {
        let files = lab.store("bad", &text, &leaf.key_pem);
        says(only(files), &["bad.pem: ", &format!("line {line}")]);
    }
    // Keys and revocation lists are read in the same way.
    let chain = lab.write("chain.pem", &format!("{own}\n{issuer}"), 0o644);
    let key = lab.write("almost.key", &leaf.key_pem.replace(dashes, "----"), 0o600);
    says(only(CertificateFiles::new(chain, key)), &["almost.key: line 1 "]);
}

#[test]
fn every_mistake_is_told_at_once() {
    let lab = Lab::new();
    let good = lab.certificate("good", &["example.com"]);
    let certificates = vec![
        CertificateFiles::new(lab.path("a.pem"), lab.path("a.key")),
        good,
        CertificateFiles::new(lab.path("b.pem"), lab.path("b.key")),
    ];
    let self_signed = vec!["not a name".to_owned()];
    let error =
        TlsServer::new(TlsOptions { certificates, self_signed, ..TlsOptions::default() }).unwrap_err();
    assert_eq!(error.problems().len(), 5, "{error}");
    says(TlsOptions::default(), &["no certificate to present", "--tls-self-signed"]);
}

#[test]
fn the_key_must_be_the_leafs() {
    let lab = Lab::new();
    let intermediate = lab.intermediate();
    let leaf = issue(&params(&["example.com"]), &intermediate, &rcgen::PKCS_ECDSA_P256_SHA256);
    let other = lab.certificate("other", &["example.com"]);
    let files = lab.store("leaf", &leaf.pem, &leaf.key_pem);
    says(
        only(CertificateFiles::new(&files.chain, &other.key)),
        &["other.key: ", "does not belong to the certificate in ", "leaf.pem"],
    );
    // A reversed chain is the usual cause.
    let reversed = lab.store("reversed", &(intermediate.pem() + &leaf.pem), &leaf.key_pem);
    says(only(reversed), &["reversed.pem: ", "put the server's own first"]);
    let twice = lab.issue(&params(&["example.com"]));
    let same_issuer = lab.root.pem() + &lab.root.pem() + &twice.pem;
    says(only(lab.store("roots", &same_issuer, &twice.key_pem)), &["put the server's own first"]);
}

#[test]
fn a_gap_in_the_chain_is_told() {
    let lab = Lab::new();
    let intermediate = lab.intermediate();
    let leaf = issue(&params(&["example.com"]), &intermediate, &rcgen::PKCS_ECDSA_P256_SHA256);
    let gap = lab.store("gap", &(leaf.pem.clone() + &lab.root.pem()), &leaf.key_pem);
    says(
        only(gap),
        &["gap.pem: certificate 1 was issued by `CN=intermediate`, and certificate 2 is `CN=root`"],
    );
}

#[test]
fn a_leaf_alone_that_names_its_issuers_place_is_warned_of() {
    let lab = Lab::new();
    let mut with_place = params(&["example.com"]);
    // AuthorityInfoAccess: caIssuers, http://ca.example/.
    let access = [
        &[0x30, 0x21, 0x30, 0x1f, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02, 0x86, 0x13][..],
        b"http://ca.example/x",
    ]
    .concat();
    let place = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access);
    with_place.custom_extensions.push(place);
    let leaf = lab.issue(&with_place);
    let alone = server(vec![lab.store("alone", &leaf.pem, &leaf.key_pem)]);
    let said = alone.warnings(SystemTime::now())[0].to_string();
    assert!(
        said.contains("alone.pem: ") && said.contains("`CN=root`") && said.contains("full chain"),
        "{said}"
    );
    let whole = server(vec![lab.store("whole", &(leaf.pem + &lab.root.pem()), &leaf.key_pem)]);
    assert_eq!(whole.warnings(SystemTime::now()), []);
}

#[test]
fn times_are_warned_of_and_served() {
    let lab = Lab::new();
    let now = SystemTime::now();
    // Two weeks of a long life, the last third of a short one.
    let month = server(vec![lab.certificate("month", &["a.test"])]);
    for (days, warnings) in [(15, 0), (21, 1), (29, 1)] {
        assert_eq!(month.warnings(now + days * DAY).len(), warnings, "{days}");
    }
    for (from, to, words) in [
        (now - 40 * DAY, now - 9 * DAY - DAY / 2, "EXPIRED 9 days ago"),
        (now - 60 * DAY, now + 9 * DAY + DAY / 2, "for example.com expires in 9 days"),
        (now + DAY, now + 9 * DAY, "valid only from"),
    ] {
        let mut times = params(&["example.com"]);
        (times.not_before, times.not_after) = (from.into(), to.into());
        let leaf = lab.issue(&times);
        let server = server(vec![lab.store("times", &leaf.pem, &leaf.key_pem)]);
        let said = server.warnings(SystemTime::now())[0].to_string();
        assert!(said.contains("times.pem: ") && said.contains(words), "{said}");
        let is_valid = from < now && to > now;
        assert_eq!(lab.client().shake(&server, "example.com").is_ok(), is_valid, "the client knows better");
    }
}

#[test]
fn a_leaf_needs_a_name_and_should_be_for_servers() {
    let lab = Lab::new();
    let mut nameless = params(&[]);
    nameless.distinguished_name.push(rcgen::DnType::CommonName, "example.com");
    let leaf = lab.issue(&nameless);
    says(only(lab.store("nameless", &leaf.pem, &leaf.key_pem)), &["nameless.pem: ", "alternative name"]);
    let mut for_clients = params(&["example.com"]);
    for_clients.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = lab.issue(&for_clients);
    let server = server(vec![lab.store("clients", &leaf.pem, &leaf.key_pem)]);
    assert!(server.warnings(SystemTime::now())[0].to_string().contains("serverAuth"));
}

#[test]
fn a_key_that_others_may_write_is_refused_and_one_that_all_may_read_warned_of() {
    let lab = Lab::new();
    let leaf = lab.issue(&params(&["example.com"]));
    let chain = lab.write("leaf.pem", &leaf.pem, 0o644);
    let with_mode = |mode| CertificateFiles::new(&chain, lab.write("leaf.key", &leaf.key_pem, mode));
    for mode in [0o660, 0o602] {
        says(only(with_mode(mode)), &["leaf.key: others may overwrite", &format!("{mode:04o}"), "chmod 600"]);
    }
    for mode in [0o400, 0o600, 0o640] {
        assert_eq!(server(vec![with_mode(mode)]).warnings(SystemTime::now()), [], "{mode:o}");
    }
    let said = server(vec![with_mode(0o644)]).warnings(SystemTime::now())[0].to_string();
    assert!(said.contains("leaf.key: every user") && said.contains("0644"), "{said}");
}

#[test]
fn keys_that_cannot_be_used_are_told() {
    let lab = Lab::new();
    let good = lab.certificate("good", &["example.com"]);
    let key = |name: &str, text: &str| only(CertificateFiles::new(&good.chain, lab.write(name, text, 0o600)));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    says(key("encrypted.key", encrypted), &["encrypted.key: ", "openssl pkey"]);
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x,y\n\nAAAA\n\
               -----END RSA PRIVATE KEY-----\n";
    says(key("old.key", old), &["encrypted"]);
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    says(key("broken.key", broken), &["cannot be used"]);
}

#[test]
fn a_self_signed_certificate_is_made_for_its_names() {
    let names = ["localhost", "*.local.test", "127.0.0.1"].map(str::to_owned).to_vec();
    let made = TlsServer::new(TlsOptions { self_signed: names, ..TlsOptions::default() }).unwrap();
    let facts = &made.inventory()[0];
    assert_eq!(facts.name_list(), "localhost, *.local.test, 127.0.0.1");
    assert!(facts.is_self_signed && !facts.is_authority && facts.file.is_none());
    assert!(!made.is_real(), "no HSTS for those who made an exception");
    assert!((89..=90).contains(&facts.days_left(SystemTime::now())));
    // Nothing has changed, so users need no further exception.
    assert!(matches!(made.reload(), Ok(crate::net::tls::Reloaded::Unchanged)));
}
