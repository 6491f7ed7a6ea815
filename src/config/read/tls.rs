//! TLS of listeners: `[tls.NAME]`, with certificates from files, by ACME, or self-signed.

use std::sync::Arc;

use crate::acme::{Acme, AcmeOptions, Binding, ChallengeType, LETS_ENCRYPT, Names, default_state_directory};
use crate::config::mistake::{At, Mistake};
use crate::config::node::{Node, Reader, Table};
use crate::config::shape::{Key, Kind, PATHS, Shape, TEXTS};
use crate::config::{Depth, TlsUnit};
use crate::net::tls::{
    CertificateFiles, CipherPreference, ClientAuth, ClientTrust, TlsOptions, TlsServer, TlsVersion, is_name,
};

pub(in crate::config) const TLS: Shape = Shape::new(
    "a TLS configuration",
    &[
        Key::new(
            "certificates",
            Kind::List(&Kind::Either(&[Kind::Path, Kind::Table(&CERTIFICATE)])),
            "PEM files with certificates, the first for clients that ask for no name of them.",
        ),
        Key::new(
            "self_signed",
            TEXTS,
            "Names for a self-signed certificate that is made at the start, for development.",
        ),
        Key::new("acme", Kind::Table(&ACME), "Certificates that are obtained and renewed by ACME."),
        Key::new(
            "client_ca",
            Kind::Path,
            "PEM file of the authorities whose client certificates are accepted.",
        ),
        Key::new(
            "client_auth",
            Kind::Choice(&["off", "optional", "required"]),
            "Whether clients need a certificate. Default: required, with client_ca.",
        ),
        Key::new("crl", PATHS, "PEM files of revoked client certificates."),
        Key::new("min", Kind::Choice(&["1.2", "1.3"]), "The lowest TLS version accepted. Default 1.2."),
        Key::new(
            "prefer",
            Kind::Choice(&["aes-128", "aes-256"]),
            "Which AES cipher suites are preferred. Default aes-128.",
        ),
        Key::new("http2", Kind::Bool, "Whether HTTP/2 is offered. Default true."),
    ],
);

const CERTIFICATE: Shape = Shape::new(
    "a certificate",
    &[
        Key::required("certificate", Kind::Path, "PEM file of the certificate, its issuers behind it."),
        Key::new("key", Kind::Path, "PEM file of its private key. Default: in the certificate's file."),
    ],
);

const ACME: Shape = Shape::new(
    "certificates by ACME",
    &[
        Key::required(
            "names",
            Kind::List(&Kind::Either(&[Kind::Text, Kind::List(&Kind::Text)])),
            "The names of the certificate, or a list of the names of each; this accepts the terms of the CA.",
        ),
        Key::new(
            "directory",
            Kind::Text,
            "The CA, by the URL of its ACME directory. Default: Let's Encrypt.",
        ),
        Key::new("email", Kind::Text, "Contact address for the CA."),
        Key::new("state", Kind::Path, "Directory of account and certificates. Default: as of quoit serve."),
        Key::new(
            "challenge",
            Kind::Choice(&["http-01", "tls-alpn-01", "dns-01"]),
            "How names are proved. Default: dns-01 with dns_hook, http-01 with a plain listener, otherwise \
             tls-alpn-01.",
        ),
        Key::new("dns_hook", Kind::Text, "Command that writes and removes DNS records."),
        Key::new(
            "ca_root",
            Kind::Path,
            "Trust a private CA's directory by the certificates in this PEM file.",
        ),
        Key::new("eab", Kind::Value, "External account binding, KID:KEY with KEY in base64url."),
    ],
);

/// The TLS of one name; `None` after its mistakes were reported. `has_plain` is whether there is a listener
/// without TLS; `known` are those of the configuration that this one replaces.
pub(in crate::config) fn unit(
    name: &str,
    key_at: At,
    table: Table<'_>,
    depth: Depth,
    has_plain: bool,
    known: &[TlsUnit],
) -> Option<TlsUnit> {
    let reader = table.reader;
    let before = reader.mistakes.borrow().len();
    let acme = table.table("acme").and_then(|acme| acme_options(acme, has_plain));
    let mut options = options(table, acme.as_ref());
    if options.certificates.is_empty() && options.self_signed.is_empty() && !table.has("acme") {
        let mistake = Mistake::new(key_at, format!("`{name}` has no certificate"));
        reader.report(mistake.help("add certificates, acme, or self_signed while developing"));
    }
    if reader.mistakes.borrow().len() > before {
        return None;
    }
    let is_same = |unit: &&TlsUnit| unit.name == name && unit.options == options && unit.acme_options == acme;
    if let Some(unit) = known.iter().find(is_same) {
        return Some(unit.clone());
    }
    let (asked, mut opened) = (options.clone(), None);
    match (&acme, depth) {
        (Some(acme), Depth::Serve) => match Acme::open(acme.clone()) {
            Ok(acme) => {
                let files = acme.certificate_files();
                options.certificates.extend(files.iter().map(|file| CertificateFiles::awaited(file, file)));
                opened = Some(acme);
            }
            Err(error) => {
                table.entry("acme")?.report(error.to_string(), "");
                return None;
            }
        },
        // The state belongs to the server that runs.
        (Some(_), Depth::Check | Depth::Structure) => options.certificates.push(absent()),
        (None, _) => {}
    }
    if depth == Depth::Structure {
        options = TlsOptions { certificates: vec![absent()], ..TlsOptions::default() };
    }
    match TlsServer::new(options) {
        Ok(server) => {
            let name = name.to_owned();
            Some(TlsUnit { name, options: asked, acme_options: acme, server, acme: opened })
        }
        Err(error) => {
            for problem in error.problems() {
                let at = problem.file().and_then(|file| place_of(table, file)).unwrap_or(key_at);
                reader.report(Mistake::new(at, problem.to_string()));
            }
            None
        }
    }
}

/// A certificate that is not there, where none is needed.
fn absent() -> CertificateFiles {
    CertificateFiles::awaited("/nonexistent/quoit", "/nonexistent/quoit")
}

/// The value that names this file.
fn place_of(table: Table<'_>, file: &std::path::Path) -> Option<At> {
    let certificates = table.list("certificates").into_iter().flat_map(|node| match node.table() {
        Some(table) => vec![table.entry("certificate"), table.entry("key")],
        None => vec![Some(node)],
    });
    let others = [table.entry("client_ca")].into_iter().chain(table.list("crl").into_iter().map(Some));
    let mut nodes = certificates.chain(others).flatten();
    nodes.find(|node| node.path().as_deref() == Some(file)).map(|node| node.at)
}

fn options(table: Table<'_>, acme: Option<&AcmeOptions>) -> TlsOptions {
    let reader = table.reader;
    let mut options = TlsOptions { http2: table.bool("http2").unwrap_or(true), ..TlsOptions::default() };
    for node in table.list("certificates") {
        let Some(files) = certificate(node) else { continue };
        if options.certificates.contains(&files) {
            node.report("this certificate is given twice", "give each certificate once");
        }
        reader.name_file(&files.chain);
        reader.name_file(&files.key);
        options.certificates.push(files);
    }
    for node in table.list("self_signed") {
        let Some(name) = node.text() else { continue };
        if !is_name(&name) {
            node.report("this is no name of a host", "write a name such as localhost, 127.0.0.1 or *.a.test");
        }
        options.self_signed.push(name);
    }
    if !options.self_signed.is_empty() && (!options.certificates.is_empty() || acme.is_some()) {
        let mistake = Mistake::new(
            table.key_at("self_signed"),
            "a self-signed certificate is for want of another, and there is one",
        );
        reader.report(mistake.help("leave self_signed out"));
    }
    options.client_auth = client_auth(table);
    if table.text("min").as_deref() == Some("1.3") {
        options.version_min = TlsVersion::V1_3;
    }
    if table.text("prefer").as_deref() == Some("aes-256") {
        options.cipher_preference = CipherPreference::Aes256;
    }
    options.acme_tls_alpn = acme.is_some_and(|acme| acme.challenge == ChallengeType::TlsAlpn01);
    if options.acme_tls_alpn && matches!(options.client_auth, ClientAuth::Required(_)) {
        let at = table.key_at("client_ca");
        reader.report(
            Mistake::new(
                at,
                "the CA has no client certificate, so it cannot prove names by tls-alpn-01 here",
            )
            .help("use challenge = \"http-01\" with a plain listener, or \"dns-01\""),
        );
    }
    options
}

fn certificate(node: Node<'_>) -> Option<CertificateFiles> {
    match node.table() {
        Some(table) => {
            let chain = table.path("certificate")?;
            let key = table.path("key").unwrap_or_else(|| chain.clone());
            Some(CertificateFiles::new(chain, key))
        }
        None => node.path().map(|file| CertificateFiles::new(file.clone(), file)),
    }
}

fn client_auth(table: Table<'_>) -> ClientAuth {
    let reader = table.reader;
    let crls = table.paths("crl");
    crls.iter().for_each(|path| reader.name_file(path));
    let wanted = table.text("client_auth");
    let Some(authorities) = table.path("client_ca") else {
        for key in ["client_auth", "crl"] {
            if table.has(key) && !(key == "client_auth" && wanted.as_deref() == Some("off")) {
                let mistake = Mistake::new(table.key_at(key), format!("`{key}` needs `client_ca`"));
                reader.report(mistake.help("name the PEM file of the authorities: client_ca = \"ca.pem\""));
            }
        }
        return ClientAuth::Off;
    };
    reader.name_file(&authorities);
    let trust = ClientTrust { authorities, crls };
    match wanted.as_deref() {
        Some("off") => ClientAuth::Off,
        Some("optional") => ClientAuth::Optional(trust),
        _ => ClientAuth::Required(trust),
    }
}

fn acme_options(table: Table<'_>, has_plain: bool) -> Option<AcmeOptions> {
    let reader = table.reader;
    let mut certificates: Vec<Names> = Vec::new();
    for node in certificates_of(table) {
        match node.texts().join(",").parse::<Names>() {
            Ok(names) if certificates.iter().any(|known| known.first() == names.first()) => {
                node.report(
                    format!("two certificates begin with {}", names.first()),
                    "write all names of a certificate in one list",
                );
            }
            Ok(names) => certificates.push(names),
            Err(error) => node.report(error.to_string(), ""),
        }
    }
    let directory = table.text("directory").unwrap_or_else(|| LETS_ENCRYPT.to_owned());
    if let Some(node) = table.entry("directory").filter(|_| !directory.starts_with("https://")) {
        node.report("the directory of a CA is an https URL", "write it as the CA's manual names it");
    }
    let challenge = challenge(table, has_plain)?;
    if certificates.iter().any(Names::has_wildcard) && !matches!(challenge, ChallengeType::Dns01(_)) {
        let mistake = Mistake::new(table.value_at("names"), "a wildcard can only be proved by DNS");
        reader.report(mistake.help("add dns_hook, the command that writes records"));
    }
    let state = table.path("state").or_else(default_state_directory);
    let Some(state) = state else {
        reader
            .report(Mistake::new(table.at, "there is no place for certificates").help("add state = \"DIR\""));
        return None;
    };
    let binding = table.entry("eab").and_then(|node| {
        let text = node.own_secret()?;
        let parts = text.rsplit_once(':').and_then(|(id, key)| Binding::new(id, key).ok());
        if parts.is_none() && reader.view == crate::config::node::View::Real {
            node.report("this is no KID:KEY as the CA shows them", "write the key in base64url");
        }
        parts
    });
    Some(AcmeOptions {
        directory,
        contact: table.text("email"),
        challenge,
        ca_root: table.path("ca_root"),
        binding,
        ..AcmeOptions::new(certificates, state)
    })
}

/// The names of each certificate: one list of texts is one certificate.
fn certificates_of(table: Table<'_>) -> Vec<Node<'_>> {
    let Some(names) = table.entry("names") else { return Vec::new() };
    let elements = names.list();
    if elements.iter().any(|node| node.is_list()) { elements } else { vec![names] }
}

fn challenge(table: Table<'_>, has_plain: bool) -> Option<ChallengeType> {
    let report = |key: &str, title: &str, help: &str| {
        table.reader.report(Mistake::new(table.value_at(key), title).help(help));
        None
    };
    let (wanted, hook) = (table.text("challenge"), table.text("dns_hook"));
    match (wanted.as_deref(), hook) {
        (None | Some("dns-01"), Some(command)) => Some(ChallengeType::Dns01(command)),
        (Some("dns-01"), None) => {
            report("challenge", "dns-01 needs a command that writes records", "add dns_hook = \"CMD\"")
        }
        (Some(_), Some(_)) => {
            report("dns_hook", "a dns_hook is for the challenge dns-01", "leave one of them out")
        }
        (Some("http-01"), None) if !has_plain => report(
            "challenge",
            "http-01 needs a listener without TLS",
            "add one on port 80 to listen, or use tls-alpn-01",
        ),
        (Some("http-01"), None) => Some(ChallengeType::Http01),
        (None, None) if has_plain => Some(ChallengeType::Http01),
        _ => Some(ChallengeType::TlsAlpn01),
    }
}

/// The TLS that a listener or a filter names: `true` is the only one.
pub(in crate::config) fn named<'u>(
    node: Node<'_>,
    units: &'u [TlsUnit],
    names: &[String],
) -> Option<&'u Arc<TlsServer>> {
    let wanted = match node.text() {
        Some(name) => name,
        None if names.len() == 1 => names[0].clone(),
        None => {
            let title = match names {
                [] => "there is no TLS configuration".to_owned(),
                _ => format!("there are several TLS configurations: {}", names.join(", ")),
            };
            node.report(title, "write its name, and [tls.NAME] with its certificates");
            return None;
        }
    };
    if !names.contains(&wanted) {
        let reader: &Reader<'_> = node.reader;
        let mistake = Mistake::new(node.at, format!("there is no TLS configuration `{wanted}`"));
        let nearest = crate::config::nearest::nearest(&wanted, names.iter().map(String::as_str));
        reader.report(match nearest {
            Some(known) => mistake.label(format!("did you mean \"{known}\"?")),
            None => mistake.help(format!("add [tls.{wanted}] with its certificates")),
        });
    }
    units.iter().find(|unit| unit.name == wanted).map(|unit| &unit.server)
}
