//! Flags for TLS: certificates, client certificates, and redirects from plain HTTP.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::{seconds, twice};
use crate::Server;
use crate::acme::{Acme, AcmeOptions, ChallengeType};
use crate::filter::{AcmeChallenges, HstsOptions, HttpsOptions};
use crate::net::Address;
use crate::net::tls::{
    CertificateFiles, CipherPreference, ClientAuth, ClientTrust, TlsOptions, TlsServer, TlsVersion, is_name,
};
use crate::plan::{FilterOptions, Listener, TlsReference};

/// TLS options of `quoit serve`.
#[derive(Args, Clone, Debug)]
pub(super) struct TlsArgs {
    /// Serve HTTPS on every --listen with the certificate in this PEM file, its issuers behind it; several
    /// for several names, the first for clients that ask for none; read again whenever it changes
    #[arg(long, value_name = "FILE", env = "QUOIT_TLS_CERT", value_delimiter = ',')]
    tls_cert: Vec<PathBuf>,

    /// Its private key, one for each --tls-cert in their order [default: in the certificate's file]
    #[arg(long, value_name = "FILE", env = "QUOIT_TLS_KEY", value_delimiter = ',')]
    tls_key: Vec<PathBuf>,

    /// Serve HTTPS with a self-signed certificate that is made at the start
    #[arg(long, value_name = "NAMES", env = "QUOIT_TLS_SELF_SIGNED", value_delimiter = ',')]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "localhost,127.0.0.1,::1")]
    #[arg(value_parser = name)]
    tls_self_signed: Vec<String>,

    /// Ask clients for a certificate issued by one of the authorities in this PEM file
    #[arg(long, value_name = "FILE", env = "QUOIT_TLS_CLIENT_CA")]
    tls_client_ca: Option<PathBuf>,

    /// Whether clients need a certificate [default: required with --tls-client-ca]
    #[arg(long, value_name = "WHEN", env = "QUOIT_TLS_CLIENT_AUTH", value_enum)]
    tls_client_auth: Option<When>,

    /// Refuse clients whose certificate is revoked in this PEM file; with any, all authorities need a list
    #[arg(long, value_name = "FILE", env = "QUOIT_TLS_CRL", value_delimiter = ',')]
    tls_crl: Vec<PathBuf>,

    /// The lowest TLS version accepted
    #[arg(long, value_name = "VERSION", env = "QUOIT_TLS_MIN", value_enum, default_value = "1.2")]
    tls_min: TlsVersionArg,

    /// Which AES cipher suites are preferred; clients that put ChaCha20 first get that with either
    #[arg(long, value_name = "CIPHER", env = "QUOIT_TLS_PREFER", value_enum, default_value = "aes-128")]
    tls_prefer: CipherArg,

    /// Listen here for plain HTTP and redirect to HTTPS (308); may be given several times
    #[arg(long, value_name = "ADDR:PORT", env = "QUOIT_REDIRECT_FROM", value_delimiter = ',')]
    redirect_from: Vec<Address>,

    /// Send HSTS with this max-age in seconds; not sent with a self-signed certificate
    #[arg(long, value_name = "MAX_AGE", env = "QUOIT_HSTS")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "31536000")]
    #[arg(value_parser = seconds)]
    hsts: Option<u64>,
}

/// The loaded and validated TLS configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Https {
    tls: Option<Arc<TlsServer>>,
    redirect_from: Vec<Address>,
    filters: Vec<FilterOptions>,
    /// The renewals of the certificates of `tls`.
    acme: Option<Acme>,
}

impl Https {
    /// The TLS configuration; plain HTTP without.
    pub(super) fn tls(&self) -> Option<&Arc<TlsServer>> {
        self.tls.as_ref()
    }

    /// Adds the renewals to the server.
    pub(super) fn apply(&self, server: Server) -> Server {
        match (&self.acme, &self.tls) {
            (Some(acme), Some(tls)) => server.renew(acme.clone(), tls.clone()),
            _ => server,
        }
    }

    /// Listeners on these addresses, with TLS if configured, and those that redirect to them.
    pub(super) fn listeners(&self, listen: &[Address]) -> Vec<Listener> {
        let tls = self.tls.clone().map(TlsReference::from);
        let main = listen.iter().map(|address| Listener { address: address.clone(), tls: tls.clone() });
        let plain = |address: &Address| Listener { address: address.clone(), tls: None };
        main.chain(self.redirect_from.iter().map(plain)).collect()
    }

    /// The filters for the flags, outermost first. They are outside of all others: a CA follows redirects,
    /// but has no password.
    pub(super) fn filters(&self) -> &[FilterOptions] {
        &self.filters
    }
}

/// Whether a client certificate is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    /// No certificate is requested
    Off,
    /// A certificate is optional; handlers see it
    Optional,
    /// A certificate is required
    Required,
}

/// A file that holds certificate and key fails for both.
fn each_once(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for line in lines {
        if !told.contains(&line) {
            told.push(line);
        }
    }
    told
}

/// Strengths of AES.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CipherArg {
    /// AES-128 with SHA-256, for which processors have instructions
    #[value(name = "aes-128")]
    Aes128,
    /// AES-256 with SHA-384, where a policy requires it; handshakes cost more
    #[value(name = "aes-256")]
    Aes256,
}

/// TLS versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TlsVersionArg {
    /// TLS 1.2
    #[value(name = "1.2")]
    V1_2,
    /// TLS 1.3
    #[value(name = "1.3")]
    V1_3,
}

fn name(text: &str) -> Result<String, &'static str> {
    let expected = "expected names such as localhost,127.0.0.1,*.example.test";
    if is_name(text) { Ok(text.to_owned()) } else { Err(expected) }
}

impl TlsArgs {
    /// The addresses of plain HTTP.
    pub(super) fn redirect_from(&self) -> &[Address] {
        &self.redirect_from
    }

    /// Whether there is a plain HTTP listener.
    pub(super) fn redirects(&self) -> bool {
        !self.redirect_from.is_empty()
    }

    /// The TLS options, with `more` certificates after those of the flags; `None` without TLS.
    ///
    /// # Errors
    /// The conflict, and the remedy.
    pub(super) fn options(&self, more: Vec<CertificateFiles>) -> Result<Option<TlsOptions>, String> {
        self.contradiction()?;
        let mut certificates = self.certificates()?;
        certificates.extend(more);
        if !self.tls_self_signed.is_empty() && !certificates.is_empty() {
            return Err("--tls-self-signed is for want of a certificate; leave it out beside --tls-cert or \
                        --acme-domain"
                .to_owned());
        }
        if certificates.is_empty() && self.tls_self_signed.is_empty() {
            return match self.only_with_tls() {
                None => Ok(None),
                Some(flag) => Err(format!(
                    "{flag} needs TLS: add --tls-cert FILE, --acme-domain NAMES, or --tls-self-signed \
                     while developing"
                )),
            };
        }
        Ok(Some(TlsOptions {
            certificates,
            self_signed: self.tls_self_signed.clone(),
            client_auth: self.client_auth()?,
            version_min: match self.tls_min {
                TlsVersionArg::V1_2 => TlsVersion::V1_2,
                TlsVersionArg::V1_3 => TlsVersion::V1_3,
            },
            cipher_preference: match self.tls_prefer {
                CipherArg::Aes128 => CipherPreference::Aes128,
                CipherArg::Aes256 => CipherPreference::Aes256,
            },
            ..TlsOptions::default()
        }))
    }

    /// Flags that need another one, and files that were given twice.
    fn contradiction(&self) -> Result<(), String> {
        if !self.tls_key.is_empty() && self.tls_cert.is_empty() {
            return Err("--tls-key needs --tls-cert FILE, the certificate that this is the key of".to_owned());
        }
        if !self.tls_crl.is_empty() && self.tls_client_ca.is_none() {
            return Err("--tls-crl needs --tls-client-ca FILE, the authorities whose list it is".to_owned());
        }
        if let Some(name) = twice(&self.tls_self_signed) {
            return Err(format!("--tls-self-signed names {name} twice; give the flag once, with every name"));
        }
        if let Some(file) = twice(&self.tls_crl) {
            return Err(format!("--tls-crl names {} twice; give each list once", file.display()));
        }
        match twice(&self.tls_cert) {
            Some(file) => {
                Err(format!("--tls-cert names {} twice; give each certificate once", file.display()))
            }
            None => Ok(()),
        }
    }

    /// Loads the TLS configuration, the certificates of `acme` included, for a server that listens on
    /// `listen`. Without TLS, it is empty.
    ///
    /// # Errors
    /// Every error, a line each.
    pub(super) fn load(&self, listen: &[Address], acme: Option<Acme>) -> Result<Https, Vec<String>> {
        let files = acme.as_ref().map(Acme::certificate_files).unwrap_or_default();
        let awaited = files.iter().map(|file| CertificateFiles::awaited(file, file)).collect();
        let Some(options) = self.options_for(awaited, acme.as_ref().map(Acme::challenge))? else {
            return Ok(Https::default());
        };
        let tls = TlsServer::new(options)
            .map_err(|error| each_once(error.problems().iter().map(ToString::to_string)))?;
        let filters = self.filters_for(listen, &tls, acme.as_ref().map(Acme::challenge))?;
        Ok(Https { redirect_from: self.redirect_from.clone(), filters, acme, tls: Some(tls) })
    }

    /// As [`load`](Self::load), without reading a file or touching the state of ACME, to print what would be
    /// served; with the options of the TLS.
    ///
    /// # Errors
    /// As [`load`](Self::load), but for the files.
    pub(super) fn outline(
        &self,
        listen: &[Address],
        acme: Option<&AcmeOptions>,
    ) -> Result<(Https, Option<TlsOptions>), Vec<String>> {
        let absent = CertificateFiles::awaited("/nonexistent/quoit", "/nonexistent/quoit");
        let challenge = acme.map(|acme| &acme.challenge);
        let awaited = acme.iter().map(|_| absent.clone()).collect();
        let Some(mut options) = self.options_for(awaited, challenge)? else {
            return Ok((Https::default(), None));
        };
        let outline = TlsOptions { certificates: vec![absent.clone()], ..TlsOptions::default() };
        let tls = TlsServer::new(outline).map_err(|error| vec![error.to_string()])?;
        let filters = self.filters_for(listen, &tls, challenge)?;
        options.certificates.retain(|files| *files != absent);
        let https = Https { redirect_from: self.redirect_from.clone(), filters, acme: None, tls: Some(tls) };
        Ok((https, Some(options)))
    }

    fn options_for(
        &self,
        awaited: Vec<CertificateFiles>,
        challenge: Option<&ChallengeType>,
    ) -> Result<Option<TlsOptions>, Vec<String>> {
        let Some(mut options) = self.options(awaited).map_err(|error| vec![error])? else {
            return Ok(None);
        };
        options.acme_tls_alpn = challenge == Some(&ChallengeType::TlsAlpn01);
        if options.acme_tls_alpn && matches!(options.client_auth, ClientAuth::Required(_)) {
            return Err(vec![
                "the CA has no client certificate, so it cannot prove names by tls-alpn-01 here; use \
                 --acme-challenge http-01 with --redirect-from, or dns-01"
                    .to_owned(),
            ]);
        }
        Ok(Some(options))
    }

    fn filters_for(
        &self,
        listen: &[Address],
        tls: &Arc<TlsServer>,
        challenge: Option<&ChallengeType>,
    ) -> Result<Vec<FilterOptions>, Vec<String>> {
        let redirect_to_port = self.redirect(listen).map_err(|error| vec![error])?;
        let mut filters = Vec::new();
        if challenge == Some(&ChallengeType::Http01) {
            filters.push(FilterOptions::AcmeChallenges(AcmeChallenges::new(tls.challenges().clone())));
        }
        let promised = |seconds| HstsOptions { tls: tls.clone(), max_age: Duration::from_secs(seconds) };
        let https = HttpsOptions { redirect_to_port, hsts: self.hsts.map(promised) };
        if https != HttpsOptions::default() {
            filters.push(FilterOptions::Https(https));
        }
        Ok(filters)
    }

    /// The port to redirect to, if there is a plain HTTP listener.
    fn redirect(&self, listen: &[Address]) -> Result<Option<u16>, String> {
        if self.redirect_from.is_empty() {
            return Ok(None);
        }
        let port = listen.iter().find_map(|address| match address {
            Address::Inet(addr) if addr.port() != 0 => Some(addr.port()),
            _ => None,
        });
        port.map(Some).ok_or_else(|| {
            "--redirect-from needs a port to redirect to: give --listen ADDR:PORT, such as 0.0.0.0:443"
                .to_owned()
        })
    }

    fn certificates(&self) -> Result<Vec<CertificateFiles>, String> {
        let (chains, keys) = (&self.tls_cert, &self.tls_key);
        if keys.is_empty() {
            return Ok(chains.iter().map(|chain| CertificateFiles::new(chain, chain)).collect());
        }
        if chains.len() != keys.len() {
            return Err(format!(
                "there are {} --tls-cert and {} --tls-key; give each certificate its key, in the same order \
                 (a key in the certificate's file: name that file again)",
                chains.len(),
                keys.len()
            ));
        }
        Ok(chains.iter().zip(keys).map(|(chain, key)| CertificateFiles::new(chain, key)).collect())
    }

    fn client_auth(&self) -> Result<ClientAuth, String> {
        let Some(authorities) = self.tls_client_ca.clone() else {
            return match self.tls_client_auth {
                None | Some(When::Off) => Ok(ClientAuth::Off),
                Some(_) => Err("--tls-client-auth needs --tls-client-ca FILE to check with".to_owned()),
            };
        };
        let trust = ClientTrust { authorities, crls: self.tls_crl.clone() };
        Ok(match self.tls_client_auth {
            Some(When::Off) => ClientAuth::Off,
            Some(When::Optional) => ClientAuth::Optional(trust),
            Some(When::Required) | None => ClientAuth::Required(trust),
        })
    }

    /// A flag that was given and has no effect without TLS.
    fn only_with_tls(&self) -> Option<&'static str> {
        [
            (self.tls_client_ca.is_some(), "--tls-client-ca"),
            (!self.redirect_from.is_empty(), "--redirect-from"),
            (self.hsts.is_some(), "--hsts"),
            (self.tls_client_auth.is_some(), "--tls-client-auth"),
            (self.tls_min != TlsVersionArg::V1_2, "--tls-min"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        tls: TlsArgs,
    }

    fn parse(line: &str) -> Result<TlsArgs, String> {
        let words = std::iter::once("quoit").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.tls).map_err(|error| error.to_string())
    }

    fn options(line: &str) -> Result<Option<TlsOptions>, String> {
        parse(line).unwrap().options(Vec::new())
    }

    #[test]
    fn certificates_come_with_their_keys() {
        assert!(options("").unwrap().is_none());
        let pairs = |line: &str| options(line).unwrap().unwrap().certificates;
        assert_eq!(pairs("--tls-cert a --tls-key b"), [CertificateFiles::new("a", "b")]);
        assert_eq!(pairs("--tls-cert a"), [CertificateFiles::new("a", "a")]);
        let two = [CertificateFiles::new("a", "ak"), CertificateFiles::new("b", "bk")];
        assert_eq!(pairs("--tls-cert a --tls-key ak --tls-cert b --tls-key bk"), two);
        assert_eq!(pairs("--tls-cert a,b --tls-key ak,bk"), two);
        let error = options("--tls-cert a --tls-cert b --tls-key ak").unwrap_err();
        assert!(error.contains("2 --tls-cert and 1 --tls-key"), "{error}");
        assert!(options("--tls-key a").unwrap_err().starts_with("--tls-key needs --tls-cert FILE"));
        assert!(options("--tls-cert a --tls-cert a").unwrap_err().contains("names a twice"));
        assert!(options("--tls-cert a --tls-self-signed").unwrap_err().contains("leave it out"));
        let awaited = vec![CertificateFiles::awaited("c", "k")];
        assert!(parse("--tls-self-signed").unwrap().options(awaited).unwrap_err().contains("--acme-domain"));
    }

    #[test]
    fn self_signed_has_names_of_its_own_or_given_ones() {
        let names = |line: &str| options(line).unwrap().unwrap().self_signed;
        assert_eq!(names("--tls-self-signed"), ["localhost", "127.0.0.1", "::1"]);
        assert_eq!(names("--tls-self-signed=a.test,*.b.test"), ["a.test", "*.b.test"]);
        assert!(parse("--tls-self-signed=a..b").is_err());
    }

    #[test]
    fn clients_are_asked_as_told() {
        let auth = |line: &str| options(&format!("--tls-cert a {line}")).map(|tls| tls.unwrap().client_auth);
        let trust = |crls: &[&str]| ClientTrust {
            authorities: "ca".into(),
            crls: crls.iter().map(PathBuf::from).collect(),
        };
        assert_eq!(auth(""), Ok(ClientAuth::Off));
        assert_eq!(auth("--tls-client-ca ca"), Ok(ClientAuth::Required(trust(&[]))));
        assert_eq!(
            auth("--tls-client-ca ca --tls-client-auth optional --tls-crl x --tls-crl y"),
            Ok(ClientAuth::Optional(trust(&["x", "y"])))
        );
        assert_eq!(auth("--tls-client-ca ca --tls-client-auth off"), Ok(ClientAuth::Off));
        assert!(auth("--tls-client-auth required").unwrap_err().contains("--tls-client-ca"));
        assert!(auth("--tls-crl x").unwrap_err().starts_with("--tls-crl needs --tls-client-ca FILE"));
    }

    #[test]
    fn what_means_nothing_without_tls_is_told() {
        for flag in ["--redirect-from 127.0.0.1:80", "--hsts", "--hsts=60", "--tls-client-ca ca"] {
            let error = options(flag).unwrap_err();
            let name = flag.split([' ', '=']).next().unwrap();
            assert!(error.starts_with(name) && error.contains("--tls-cert"), "{error}");
        }
        let args = parse("--hsts --redirect-from 127.0.0.1:80 --tls-min 1.3 --tls-prefer aes-256").unwrap();
        assert_eq!((args.hsts, args.redirect_from.len()), (Some(31_536_000), 1));
        let redirect = |listen: &str| args.redirect(&[listen.parse().unwrap()]);
        assert!(redirect("unix:/run/a").is_err() && redirect("0.0.0.0:0").is_err());
        assert!(redirect("0.0.0.0:443").unwrap().is_some());
        let options = args.options(vec![CertificateFiles::awaited("c", "k")]).unwrap().unwrap();
        assert_eq!(options.version_min, TlsVersion::V1_3);
        assert_eq!(options.cipher_preference, CipherPreference::Aes256);
        assert_eq!(options.certificates, [CertificateFiles::awaited("c", "k")]);
    }
}
