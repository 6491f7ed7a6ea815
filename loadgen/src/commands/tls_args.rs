//! Flags for the version of HTTP and for TLS. Reads the files of certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::exit::Failure;
use crate::plan::target::Url;
use crate::plan::tls::{Group, Protocol, Tls, Trust};
use crate::plan::units;

/// Where systems keep the certificates they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Streams per connection at the most, as `--pipeline` has it.
const STREAMS_MAX: u64 = 1024;

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TlsArgs {
    /// Believes any certificate; with https only
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// Believes certificates of these authorities (PEM) instead of the system's; with https only
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Every TLS handshake is a full one
    #[arg(long)]
    no_resume: bool,
    /// How keys are agreed on in TLS, the preferred first: hybrid, x25519, p256 [default: as rustls does]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    groups: Vec<Group>,
    /// What is spoken: h1, h2 (with https) or h2c (HTTP/2 without TLS)
    #[arg(long, value_name = "PROTO", default_value = "h1", value_parser = ["h1", "h2", "h2c"])]
    proto: String,
    /// Requests in flight per connection of HTTP/2, as far as the server lets us
    #[arg(long, value_name = "N", conflicts_with_all = ["pipeline", "new_conn"], value_parser = units::count)]
    streams: Option<u64>,
}

impl TlsArgs {
    /// What is spoken.
    ///
    /// # Errors
    /// Where the flags contradict each other or the URL.
    pub(super) fn protocol(&self, url: &Url) -> Result<Protocol, Failure> {
        let refuse = |line: &str| Err(Failure::Usage(line.to_owned()));
        match (self.proto.as_str(), url.is_tls) {
            ("h2", false) => return refuse("--proto h2 needs an https URL; without TLS it is --proto h2c"),
            ("h2c", true) => return refuse("--proto h2c is without TLS; give an http URL, or --proto h2"),
            ("h1", _) if self.streams.is_some() => {
                return refuse("--streams: HTTP/1.1 has none; give --proto h2 or h2c, or --pipeline");
            }
            _ => {}
        }
        if self.streams.is_some_and(|streams| streams == 0 || streams > STREAMS_MAX) {
            return refuse("--streams: from 1 to 1024");
        }
        Ok(if self.proto == "h1" { Protocol::H1 } else { Protocol::H2 })
    }

    /// Requests in flight per connection, if these flags set it.
    pub(super) fn streams(&self) -> Option<usize> {
        self.streams.map(|streams| streams as usize)
    }

    /// The TLS of these flags; `None` for an http URL.
    ///
    /// # Errors
    /// One line with cause and remedy.
    pub(super) fn tls(&self, url: &Url) -> Result<Option<Tls>, Failure> {
        if !url.is_tls {
            for (flag, is_given) in [
                ("--insecure", self.insecure),
                ("--ca", self.ca.is_some()),
                ("--no-resume", self.no_resume),
                ("--groups", !self.groups.is_empty()),
            ] {
                if is_given {
                    let line = format!("{flag}: there is no TLS without https; leave it out");
                    return Err(Failure::Usage(line));
                }
            }
            return Ok(None);
        }
        let name = ServerName::try_from(url.host.clone()).map_err(|_| {
            Failure::Usage(format!("https: `{}` can be no name of a certificate; check the URL", url.host))
        })?;
        let trust = match (&self.ca, self.insecure) {
            (_, true) => Trust::Anybody,
            (Some(path), _) => Trust::Roots(roots(path)?),
            (None, false) => Trust::Roots(system_roots()?),
        };
        Ok(Some(Tls { name, trust, resume: !self.no_resume, groups: self.groups.clone() }))
    }
}

/// The certificates of a PEM file.
fn roots(path: &Path) -> Result<Arc<RootCertStore>, Failure> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| {
        Failure::Usage(format!("--ca: {shown} cannot be read: {error}; check the path and its permissions"))
    })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| Failure::Usage(format!("--ca: {shown} is no PEM file: {error}")))?;
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found);
    if added == 0 {
        let line = format!("--ca: {shown} holds no certificate that can be read; give authorities as PEM");
        return Err(Failure::Usage(line));
    }
    Ok(Arc::new(store))
}

fn system_roots() -> Result<Arc<RootCertStore>, Failure> {
    match BUNDLES.iter().map(Path::new).find(|path| path.exists()) {
        Some(path) => roots(path),
        None => Err(Failure::Usage(format!(
            "https: this system keeps no authorities in {}; give them with --ca FILE, or --insecure",
            BUNDLES.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn args(proto: &str) -> TlsArgs {
        TlsArgs { proto: proto.to_owned(), ..TlsArgs::default() }
    }

    fn refusal<T>(result: Result<T, Failure>) -> String {
        match result {
            Err(failure) => failure.to_string(),
            Ok(_) => panic!("it was taken"),
        }
    }

    #[test]
    fn protocols_and_urls_agree() {
        assert_eq!(args("h1").protocol(&url("https://h/")).unwrap(), Protocol::H1);
        assert_eq!(args("h2").protocol(&url("https://h/")).unwrap(), Protocol::H2);
        assert_eq!(args("h2c").protocol(&url("http://h/")).unwrap(), Protocol::H2);
        assert!(refusal(args("h2").protocol(&url("http://h/"))).contains("--proto h2c"));
        assert!(refusal(args("h2c").protocol(&url("https://h/"))).contains("--proto h2"));
        let many = TlsArgs { streams: Some(2), ..args("h1") };
        assert!(refusal(many.protocol(&url("http://h/"))).contains("--pipeline"));
        let none = TlsArgs { streams: Some(0), ..args("h2c") };
        assert!(refusal(none.protocol(&url("http://h/"))).contains("1024"));
    }

    #[test]
    fn certificates_are_asked_for_where_there_are_some() {
        let insecure = TlsArgs { insecure: true, ..args("h1") };
        assert!(refusal(insecure.tls(&url("http://h/"))).contains("without https"));
        assert!(args("h1").tls(&url("http://h/")).unwrap().is_none());
        let tls = insecure.tls(&url("https://[::1]:8443/")).unwrap().unwrap();
        assert!(tls.resume && matches!(tls.trust, Trust::Anybody));
        assert!(matches!(tls.name, ServerName::IpAddress(_)));
    }

    #[test]
    fn files_that_hold_no_authority_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let with = |path: &Path| TlsArgs { ca: Some(path.to_owned()), ..args("h1") }.tls(&url("https://h/"));
        assert!(refusal(with(&path)).contains("cannot be read"));
        std::fs::write(&path, "hello").unwrap();
        assert!(refusal(with(&path)).contains("holds no certificate"));
    }
}
