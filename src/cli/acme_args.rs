//! Flags for certificates that are obtained and renewed by ACME.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::values::twice;
use crate::acme::{Acme, AcmeOptions, Binding, ChallengeType, LETS_ENCRYPT, Names, default_state_directory};

/// ACME options of `quoit serve`.
#[derive(Args, Clone, Debug)]
pub(super) struct AcmeArgs {
    /// Get and renew a certificate for these names, such as example.com,www.example.com, and serve HTTPS on
    /// every --listen with it; this accepts the terms of the CA; may be given several times (in the variable:
    /// with ; in between)
    #[arg(long, value_name = "NAMES", env = "QUOIT_ACME_DOMAIN", value_delimiter = ';')]
    acme_domain: Vec<Names>,

    /// The CA, by the URL of its ACME directory
    #[arg(long, value_name = "URL", env = "QUOIT_ACME_DIRECTORY", default_value = LETS_ENCRYPT)]
    acme_directory: String,

    /// Contact address for the CA
    #[arg(long, value_name = "ADDRESS", env = "QUOIT_ACME_EMAIL")]
    #[arg(value_parser = email)]
    acme_email: Option<String>,

    /// Directory of account and certificates [default: acme in $STATE_DIRECTORY, /var/lib/quoit (root), or
    /// ~/.local/state/quoit]
    #[arg(long, value_name = "DIR", env = "QUOIT_ACME_STATE")]
    acme_state: Option<PathBuf>,

    /// Challenge type [default: dns-01 with --acme-dns-hook, http-01 with --redirect-from, otherwise
    /// tls-alpn-01]
    #[arg(long, value_name = "KIND", env = "QUOIT_ACME_CHALLENGE", value_enum)]
    acme_challenge: Option<ChallengeArg>,

    /// Command that writes and removes DNS records, run as CMD present|cleanup DOMAIN RECORD VALUE; needed
    /// for wildcards
    #[arg(long, value_name = "CMD", env = "QUOIT_ACME_DNS_HOOK")]
    acme_dns_hook: Option<String>,

    /// Trust a private CA's directory by the certificates in this PEM file
    #[arg(long, value_name = "FILE", env = "QUOIT_ACME_CA_ROOT")]
    acme_ca_root: Option<PathBuf>,

    /// The key that binds the account to one at the CA, where it demands that: KID:KEY with KEY in base64url;
    /// arguments are visible to other users, so prefer the variable
    #[arg(long, value_name = "KID:KEY", env = "QUOIT_ACME_EAB")]
    #[arg(hide_env_values = true)]
    acme_eab: Option<Eab>,
}

/// Challenge types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ChallengeArg {
    /// A token on port 80, by --redirect-from
    #[value(name = "http-01")]
    Http01,
    /// A certificate on port 443
    #[value(name = "tls-alpn-01")]
    TlsAlpn01,
    /// A DNS record, by --acme-dns-hook
    #[value(name = "dns-01")]
    Dns01,
}

/// External account binding; a separate type, so that an error is reported as one of the command line.
#[derive(Clone)]
struct Eab(Binding);

impl fmt::Debug for Eab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Eab {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected KID:KEY as the CA shows them, the key in base64url";
        let (key_id, key) = text.rsplit_once(':').ok_or(expected)?;
        Binding::new(key_id, key).map(Self).map_err(|_| expected)
    }
}

fn email(text: &str) -> Result<String, &'static str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\",;?".contains(&byte));
    let (user, host) = text.split_once('@').unwrap_or_default();
    let whole = plain && !user.is_empty() && host.contains('.');
    if whole { Ok(text.to_owned()) } else { Err("expected an address such as admin@example.com") }
}

impl AcmeArgs {
    /// Prepares the renewals that the flags request; `None` without any. `redirects` is whether there is a
    /// plain HTTP listener.
    ///
    /// # Errors
    /// The conflict or failure, and the remedy.
    pub(super) fn open(&self, redirects: bool) -> Result<Option<Acme>, String> {
        match self.options(redirects)? {
            None => Ok(None),
            Some(options) => Acme::open(options).map(Some).map_err(|error| error.to_string()),
        }
    }

    /// The options; `None` without names.
    ///
    /// # Errors
    /// The conflict, and the remedy.
    pub(super) fn options(&self, redirects: bool) -> Result<Option<AcmeOptions>, String> {
        if self.acme_domain.is_empty() {
            return match self.only_with_domains() {
                None => Ok(None),
                Some(flag) => {
                    Err(format!("{flag} needs --acme-domain NAMES, the names to get a certificate for"))
                }
            };
        }
        let names = self.acme_domain.iter().map(ToString::to_string);
        if let Some(names) = twice(names) {
            return Err(format!("--acme-domain names {names} twice; give each certificate once"));
        }
        let state = self.acme_state.clone().or_else(default_state_directory);
        let state = state.ok_or("there is no place for certificates: name one with --acme-state DIR")?;
        Ok(Some(AcmeOptions {
            directory: self.acme_directory.clone(),
            contact: self.acme_email.clone(),
            challenge: self.challenge(redirects)?,
            ca_root: self.acme_ca_root.clone(),
            binding: self.acme_eab.clone().map(|Eab(binding)| binding),
            ..AcmeOptions::new(self.acme_domain.clone(), state)
        }))
    }

    /// A flag that was given and has no effect without names.
    fn only_with_domains(&self) -> Option<&'static str> {
        [
            (self.acme_email.is_some(), "--acme-email"),
            (self.acme_state.is_some(), "--acme-state"),
            (self.acme_challenge.is_some(), "--acme-challenge"),
            (self.acme_dns_hook.is_some(), "--acme-dns-hook"),
            (self.acme_ca_root.is_some(), "--acme-ca-root"),
            (self.acme_eab.is_some(), "--acme-eab"),
            (self.acme_directory != LETS_ENCRYPT, "--acme-directory"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }

    fn challenge(&self, redirects: bool) -> Result<ChallengeType, String> {
        match (self.acme_challenge, &self.acme_dns_hook) {
            (None | Some(ChallengeArg::Dns01), Some(command)) => Ok(ChallengeType::Dns01(command.clone())),
            (Some(ChallengeArg::Dns01), None) => {
                Err("--acme-challenge dns-01 needs --acme-dns-hook CMD to write records with".to_owned())
            }
            (Some(_), Some(_)) => {
                Err("--acme-dns-hook is for --acme-challenge dns-01; leave one of them out".to_owned())
            }
            (Some(ChallengeArg::Http01), None) if !redirects => Err(
                "--acme-challenge http-01 needs a listener without TLS: add --redirect-from 0.0.0.0:80, or \
                 use tls-alpn-01"
                    .to_owned(),
            ),
            (Some(ChallengeArg::Http01), None) => Ok(ChallengeType::Http01),
            (None, None) if redirects => Ok(ChallengeType::Http01),
            (Some(ChallengeArg::TlsAlpn01) | None, None) => Ok(ChallengeType::TlsAlpn01),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        acme: AcmeArgs,
    }

    fn parse(line: &str) -> Result<AcmeArgs, String> {
        let words = std::iter::once("quoit").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.acme).map_err(|error| error.to_string())
    }

    fn options(line: &str, redirects: bool) -> Result<AcmeOptions, String> {
        parse(line).unwrap().options(redirects).map(Option::unwrap)
    }

    #[test]
    fn a_flag_is_a_certificate() {
        assert!(parse("").unwrap().options(false).unwrap().is_none());
        let line = "--acme-domain a.example,www.a.example --acme-domain B.example --acme-state s";
        let options = options(line, false).unwrap();
        let names: Vec<_> = options.certificates.iter().map(Names::to_string).collect();
        assert_eq!(names, ["a.example, www.a.example", "b.example"]);
        assert_eq!((options.directory.as_str(), options.state), (LETS_ENCRYPT, "s".into()));
        assert!(parse("--acme-domain localhost").unwrap_err().contains("no public host name"));
        for flag in ["--acme-email a@b.example", "--acme-state s", "--acme-eab a:YQ", "--acme-dns-hook x"] {
            let said = parse(flag).unwrap().options(false).unwrap_err();
            let name = flag.split(' ').next().unwrap();
            assert!(said.starts_with(&format!("{name} needs --acme-domain")), "{said}");
        }
    }

    #[test]
    fn the_way_to_prove_names_follows_from_what_is_there() {
        let challenge = |line: &str, redirects| {
            options(&format!("--acme-domain a.example --acme-state s {line}"), redirects)
                .map(|options| options.challenge)
        };
        assert_eq!(challenge("", false), Ok(ChallengeType::TlsAlpn01));
        assert_eq!(challenge("", true), Ok(ChallengeType::Http01));
        assert_eq!(challenge("--acme-dns-hook /bin/dns", true), Ok(ChallengeType::Dns01("/bin/dns".into())));
        assert_eq!(challenge("--acme-challenge tls-alpn-01", true), Ok(ChallengeType::TlsAlpn01));
        assert!(challenge("--acme-challenge http-01", false).unwrap_err().contains("--redirect-from"));
        assert!(challenge("--acme-challenge dns-01", false).unwrap_err().contains("--acme-dns-hook"));
        assert!(challenge("--acme-challenge http-01 --acme-dns-hook x", true).is_err());
    }

    #[test]
    fn keys_and_addresses_are_checked() {
        let with = |flag: &str| parse(&format!("--acme-domain a.example {flag}"));
        assert!(with("--acme-eab kid:1:AAEC").is_ok());
        for flag in ["--acme-eab kid", "--acme-eab kid:!", "--acme-email admin", "--acme-email a@b.c?x"] {
            assert!(with(flag).is_err(), "{flag}");
        }
    }
}
