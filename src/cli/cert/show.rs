//! `quoit cert show`: the contents of certificates, as text.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::handshake::{self, Presented};
use crate::net::tls::{CertificateFacts, date};

/// The certificates in a file, or those that a server presents.
pub(super) fn show(place: &str, server_name: Option<&str>) -> Result<String, String> {
    let path = Path::new(place);
    let is_server = place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if is_server && !path.exists() {
        let presented = handshake::look(place, server_name)?;
        return Ok(heading(place, &presented) + &chain(place, &presented.chain)?);
    }
    let text = fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            format!("{place}: there is no such file; a server is written HOST:PORT, such as localhost:8443")
        }
        _ => format!("{place}: it cannot be read: {error}"),
    })?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| format!("{place}: it is no PEM text ({error})"))?;
    if certificates.is_empty() {
        return Err(format!("{place}: there is no -----BEGIN CERTIFICATE----- in it"));
    }
    let mut shown = chain(place, &certificates)?;
    if PrivateKeyDer::from_pem_slice(&text).is_ok() {
        shown.push_str("and a private key\n");
    }
    Ok(shown)
}

fn heading(place: &str, presented: &Presented) -> String {
    let Presented { version, cipher, protocol, group, .. } = presented;
    let protocol = protocol.as_deref().unwrap_or("no protocol");
    format!(
        "{place} negotiated {version}, {cipher}, {group}, {protocol}; the certificate was not verified\n\n"
    )
}

fn chain(place: &str, chain: &[CertificateDer<'_>]) -> Result<String, String> {
    let now = SystemTime::now();
    let mut shown = String::new();
    for (number, der) in (1..).zip(chain) {
        let facts = CertificateFacts::read(der)
            .map_err(|why| format!("{place}: its certificate {number} cannot be read ({why})"))?;
        if number > 1 {
            shown.push('\n');
        }
        describe(&mut shown, &facts, now);
    }
    Ok(shown)
}

fn describe(shown: &mut String, facts: &CertificateFacts, now: SystemTime) {
    let kind = match (facts.is_authority, facts.is_self_signed) {
        (true, true) => "authority, self-signed",
        (true, false) => "authority",
        (false, true) => "self-signed",
        (false, false) => "certificate",
    };
    let names = if facts.names.is_empty() { "none".to_owned() } else { facts.name_list() };
    let days = facts.days_left(now);
    let left = match days {
        ..0 => format!("EXPIRED {} days ago", -days),
        _ if facts.not_before > now => "NOT YET VALID".to_owned(),
        _ => format!("{days} days left"),
    };
    let lines = [
        ("kind", kind),
        ("names", &names),
        ("subject", &facts.subject),
        ("issuer", &facts.issuer),
        ("key", &facts.key),
        ("serial", &facts.serial),
        ("from", &date(facts.not_before)),
        ("to", &format!("{} ({left})", date(facts.not_after))),
        ("sha-256", &facts.fingerprint),
    ];
    for (label, value) in lines {
        // Names are untrusted; control characters must not reach the terminal.
        let value: String = value.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let _ = writeln!(shown, "{label:>8}  {value}");
    }
}
