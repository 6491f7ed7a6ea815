//! New files replace old ones completely, or the old ones stay in use.

use std::fs;

use super::lab::*;
use crate::net::tls::{CertificateFiles, Reloaded, TlsOptions, TlsServer};

fn fingerprints(server: &TlsServer) -> Vec<String> {
    server.inventory().into_iter().map(|facts| facts.fingerprint).collect()
}

#[test]
fn a_new_certificate_is_presented_after_a_reload() {
    let lab = Lab::new();
    let server = server(vec![lab.certificate("a", &["example.com"])]);
    let (old, old_config) = (fingerprints(&server), server.config());
    assert!(matches!(server.reload(), Ok(Reloaded::Unchanged)));
    lab.certificate("a", &["example.com", "more.test"]);
    let Ok(Reloaded::Changed(facts)) = server.reload() else { panic!("the file has changed") };
    assert_eq!(facts[0].name_list(), "example.com, more.test");
    assert_ne!(fingerprints(&server), old);
    assert!(lab.client().shake(&server, "more.test").is_ok());
    // A handshake in progress keeps its configuration.
    assert!(lab.client().shake_with(old_config, "example.com").is_ok());
    assert!(matches!(server.reload(), Ok(Reloaded::Unchanged)));
}

#[test]
fn broken_files_leave_the_old_certificate_and_do_not_hold_up_the_others() {
    let lab = Lab::new();
    let server = server(vec![lab.certificate("a", &["a.test"]), lab.certificate("b", &["b.test"])]);
    let old = fingerprints(&server);
    // The chain is new, its key is not yet written.
    let new = lab.issue(&params(&["a.test"]));
    lab.write("a.pem", &new.pem, 0o644);
    lab.certificate("b", &["b.test"]);
    let said = server.reload().unwrap_err().to_string();
    assert!(said.contains("a.key: ") && said.contains("does not belong"), "{said}");
    let now = fingerprints(&server);
    assert_eq!(now[0], old[0]);
    assert_ne!(now[1], old[1]);
    assert!(lab.client().shake(&server, "a.test").is_ok());
    assert!(server.reload().is_err(), "it is still broken");
    lab.write("a.key", &new.key_pem, 0o600);
    assert!(matches!(server.reload(), Ok(Reloaded::Changed(_))));
    assert_ne!(fingerprints(&server)[0], old[0]);
    fs::remove_file(lab.path("a.pem")).unwrap();
    assert!(server.reload().unwrap_err().to_string().contains("a.pem: there is no such file"));
    assert!(lab.client().shake(&server, "a.test").is_ok());
}

#[test]
fn awaited_files_are_taken_when_they_come() {
    let lab = Lab::new();
    let awaited = CertificateFiles::awaited(lab.path("a.pem"), lab.path("a.key"));
    let options = TlsOptions { certificates: vec![awaited], ..TlsOptions::default() };
    let server = TlsServer::new(options.clone()).unwrap();
    assert!(server.inventory().is_empty() && !server.is_real());
    let error = lab.client().shake(&server, "example.com").unwrap_err().to_string();
    assert!(error.contains("AccessDenied"), "{error}");
    lab.certificate("a", &["example.com"]);
    assert!(matches!(server.reload(), Ok(Reloaded::Changed(_))));
    assert!(lab.client().shake(&server, "example.com").is_ok());
    // Files that exist and are invalid are an error at the start.
    fs::remove_file(lab.path("a.key")).unwrap();
    assert!(refused(options.clone()).contains("a.key: there is no such file"));
    fs::remove_file(lab.path("a.pem")).unwrap();
    lab.write("a.key", "half of it", 0o600);
    assert!(TlsServer::new(options).is_ok(), "the key is made before the certificate");
}

#[test]
fn versions_tell_when_a_reload_is_worth_its_while() {
    let lab = Lab::new();
    let server = server(vec![lab.certificate("a", &["a.test"])]);
    let versions = server.versions();
    assert_eq!(server.versions(), versions);
    lab.certificate("a", &["a.test"]);
    assert_ne!(server.versions(), versions);
}
