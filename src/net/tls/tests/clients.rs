//! Client certificates: requested, verified, revoked, exposed to handlers; and resumed sessions.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};

use super::lab::*;
use crate::net::tls::{AlternativeName, ClientAuth, ClientCertificate, ClientTrust, TlsOptions, TlsServer};

fn options(lab: &Lab, client_auth: ClientAuth) -> TlsOptions {
    let certificates = vec![lab.certificate("server", &["example.com"])];
    TlsOptions { certificates, client_auth, ..TlsOptions::default() }
}

fn trust(lab: &Lab, crls: &[&str]) -> ClientTrust {
    let authorities = lab.write("ca.pem", &lab.root.pem(), 0o644);
    ClientTrust { authorities, crls: crls.iter().map(|name| lab.path(name)).collect() }
}

fn identity(lab: &Lab, serial: u64) -> Issued {
    let mut client = params(&["alice.test"]);
    client.distinguished_name.push(rcgen::DnType::OrganizationName, "Example, Inc.");
    client.distinguished_name.push(rcgen::DnType::CommonName, "alice");
    client.serial_number = Some(serial.into());
    lab.issue(&client)
}

#[test]
fn required_means_a_certificate_that_holds() {
    let lab = Lab::new();
    let server = TlsServer::new(options(&lab, ClientAuth::Required(trust(&lab, &[])))).unwrap();
    let stranger = issue(&params(&["alice.test"]), &authority("another"), &rcgen::PKCS_ED25519);
    for version in [&TLS13, &TLS12] {
        let mut client = lab.client();
        client.versions = vec![version];
        let alice = identity(&lab, 1);
        let shaken = client.with(&alice).shake(&server, "example.com").unwrap();
        assert_eq!(shaken.client_certificates, [alice.der]);
        assert!(client.shake(&server, "example.com").is_err());
        assert!(client.with(&stranger).shake(&server, "example.com").is_err());
    }
}

#[test]
fn optional_means_none_or_one_that_holds() {
    let lab = Lab::new();
    let server = TlsServer::new(options(&lab, ClientAuth::Optional(trust(&lab, &[])))).unwrap();
    assert!(lab.client().shake(&server, "example.com").unwrap().client_certificates.is_empty());
    let alice = identity(&lab, 1);
    let shaken = lab.client().with(&alice).shake(&server, "example.com").unwrap();
    assert_eq!(shaken.client_certificates.len(), 1);
    let stranger = issue(&params(&["x.test"]), &authority("another"), &rcgen::PKCS_ECDSA_P256_SHA256);
    assert!(lab.client().with(&stranger).shake(&server, "example.com").is_err());
}

#[test]
fn handlers_are_told_whose_certificate_it_is() {
    let lab = Lab::new();
    let alice = identity(&lab, 0x1234);
    let told = ClientCertificate::of(&[alice.der]).unwrap();
    assert_eq!(told.subject, "CN=alice,O=Example\\, Inc.");
    assert_eq!((told.issuer.as_str(), told.serial.as_str()), ("CN=root", "1234"));
    assert_eq!(told.names, [AlternativeName::Dns("alice.test".into())]);
    assert_eq!(told.fingerprint.len(), 64);
    assert_eq!(ClientCertificate::of(&[]), None);
}

#[test]
fn revoked_certificates_are_refused_and_a_late_list_is_warned_of() {
    let lab = Lab::new();
    let late = lab.crl(&[&2.into()], SystemTime::now() - 3 * DAY);
    lab.write("late.crl", &late, 0o644);
    let server = TlsServer::new(options(&lab, ClientAuth::Required(trust(&lab, &["late.crl"])))).unwrap();
    assert!(lab.client().with(&identity(&lab, 1)).shake(&server, "example.com").is_ok());
    let error = lab.client().with(&identity(&lab, 2)).shake(&server, "example.com").unwrap_err();
    assert!(error.to_string().contains("CertificateRevoked"), "{error}");
    let said = server.warnings(SystemTime::now())[0].to_string();
    assert!(said.contains("late.crl: ") && said.contains("3 days ago"), "{said}");
}

#[test]
fn files_about_clients_are_checked() {
    let lab = Lab::new();
    let good = trust(&lab, &[]);
    let required = |trust| refused(options(&lab, ClientAuth::Required(trust)));
    let missing = ClientTrust { authorities: lab.path("none.pem"), crls: vec![lab.path("none.crl")] };
    let said = required(missing);
    assert!(said.contains("none.pem: there is no such file") && said.contains("none.crl: "), "{said}");
    let leaf = lab.certificate("leaf", &["example.com"]);
    let not_an_authority = ClientTrust { authorities: leaf.chain.clone(), crls: Vec::new() };
    let said = required(not_an_authority);
    assert!(said.contains("leaf.pem: certificate 1 is that of a server or a client"), "{said}");
    let no_list = ClientTrust { crls: vec![leaf.chain], ..good.clone() };
    assert!(required(no_list).contains("no -----BEGIN X509 CRL-----"));
    let broken = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let broken = ClientTrust { crls: vec![lab.write("broken.crl", broken, 0o644)], ..good };
    assert!(required(broken).contains("broken.crl: this revocation list cannot be used"));
}

#[derive(Debug)]
struct DaysLater(u32);

impl TimeProvider for DaysLater {
    fn current_time(&self) -> Option<UnixTime> {
        let now = SystemTime::now() + self.0 * DAY;
        now.duration_since(SystemTime::UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

/// The client's certificate is valid for thirty days. rustls takes it from the ticket without another look.
#[test]
fn a_session_is_resumed_only_while_the_clients_certificate_is_valid() {
    let lab = Lab::new();
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        let server = TlsServer::new(options(&lab, auth(trust(&lab, &[])))).unwrap();
        for version in [&TLS13, &TLS12] {
            let mut client = lab.client();
            client.versions = vec![version];
            let config = client.with(&identity(&lab, 7)).config();
            let at = |days| shake(config.clone(), server.config_at(Arc::new(DaysLater(days))), "example.com");
            assert!(!at(0).unwrap().resumed);
            assert!(at(0).unwrap().resumed && at(29).unwrap().resumed, "{version:?}");
            let error = at(31).unwrap_err().to_string();
            assert!(error.contains("CertificateExpired"), "a full handshake, which fails: {error}");
        }
    }
    // Without a certificate there is nothing to verify.
    let server = TlsServer::new(options(&lab, ClientAuth::Optional(trust(&lab, &[])))).unwrap();
    let nobody = lab.client().config();
    let at = |days| shake(nobody.clone(), server.config_at(Arc::new(DaysLater(days))), "example.com");
    assert!(!at(0).unwrap().resumed && at(31).unwrap().resumed);
}

#[test]
fn sessions_are_resumed_until_the_rules_about_clients_change() {
    let lab = Lab::new();
    lab.write("list.crl", &lab.crl(&[], SystemTime::now() + DAY), 0o644);
    for version in [&TLS13, &TLS12] {
        let server = TlsServer::new(options(&lab, ClientAuth::Required(trust(&lab, &["list.crl"])))).unwrap();
        let mut client = lab.client();
        client.versions = vec![version];
        let client = client.with(&identity(&lab, 7)).config();
        assert!(!shake(client.clone(), server.config(), "example.com").unwrap().resumed);
        let resumed = shake(client.clone(), server.config(), "example.com").unwrap();
        assert!(resumed.resumed, "{version:?}");
        assert_eq!(resumed.client_certificates.len(), 1, "a resumed session knows its client");
        // A new server certificate does not affect sessions.
        lab.certificate("server", &["example.com"]);
        server.reload().unwrap();
        assert!(shake(client.clone(), server.config(), "example.com").unwrap().resumed);
        // A revocation does not: the client would live on in its tickets.
        lab.write("list.crl", &lab.crl(&[&7.into()], SystemTime::now() + DAY), 0o644);
        server.reload().unwrap();
        let error = shake(client.clone(), server.config(), "example.com").unwrap_err();
        assert!(error.to_string().contains("CertificateRevoked"), "{error}");
        lab.write("list.crl", &lab.crl(&[], SystemTime::now() + DAY), 0o644);
    }
}
