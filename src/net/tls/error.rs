//! What can be wrong with the files of a listener: the misdeed, the file, and the remedy.
//!
//! Mistakes end a start; warnings are told and served with. Neither is about a connection.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Everything that is wrong with what a listener was told to present.
#[derive(Debug)]
pub struct TlsError {
    // INVARIANT: never empty.
    problems: Vec<TlsProblem>,
}

impl TlsError {
    pub(super) fn of(problems: Vec<TlsProblem>) -> Self {
        debug_assert!(!problems.is_empty(), "an error says what is wrong");
        Self { problems }
    }

    /// One by one, for a line each.
    pub fn problems(&self) -> &[TlsProblem] {
        &self.problems
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TlsError {}

/// One mistake, with the file that it is in.
#[derive(Debug)]
pub struct TlsProblem {
    file: Option<PathBuf>,
    misdeed: Misdeed,
}

impl TlsProblem {
    pub(super) fn new(file: &Path, misdeed: Misdeed) -> Self {
        Self { file: Some(file.to_owned()), misdeed }
    }

    pub(super) fn without_file(misdeed: Misdeed) -> Self {
        Self { file: None, misdeed }
    }

    /// The file, if it is about one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

#[derive(Debug)]
pub(super) enum Misdeed {
    Missing,
    NoPermission,
    Unreadable(io::Error),
    NotAFile,
    TooLarge(u64),
    /// Somebody else could put another key there.
    Writable(u32),
    NotPem(String),
    NoCertificate,
    /// A file that was to hold a certificate holds a key and nothing else.
    OnlyAKey,
    CertificateBroken {
        place: usize,
        why: String,
    },
    /// The certificate at `place` is not issued by the next one.
    ChainBroken {
        place: usize,
        issuer: String,
        next: String,
    },
    NoNames,
    NoKey,
    /// No key was named, and the file of the chain has none.
    NoKeyBeside,
    KeyEncrypted,
    KeyRefused(String),
    KeyOfAnother {
        chain: PathBuf,
    },
    /// The key is that of a later certificate of the chain.
    LeafNotFirst {
        chain: PathBuf,
        place: usize,
    },
    NothingToPresent,
    NoName(String),
    AuthorityRefused {
        place: usize,
        why: String,
    },
    NoCrl,
    CrlRefused(String),
    /// The parts are sound and yet do not fit together.
    Config(String),
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        self.misdeed.fmt(f)
    }
}

impl fmt::Display for Misdeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "there is no such file; check the spelling, or make a certificate with `quoit cert`",
            ),
            Self::NoPermission => f.write_str(
                "no permission to read it; let this user read the file and search its directories",
            ),
            Self::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Self::NotAFile => f.write_str("it is no plain file; name the PEM file itself"),
            Self::TooLarge(max) => write!(f, "it has more than {max} bytes; is it the right file?"),
            Self::Writable(mode) => write!(
                f,
                "others may overwrite this private key (mode {mode:04o}); chmod 600 it, and replace it if \
                 you do not know who has written it"
            ),
            Self::NotPem(why) => write!(
                f,
                "it is no PEM text ({why}); it should have lines such as -----BEGIN CERTIFICATE-----; DER is \
                 turned into it by openssl x509 -inform der -in FILE"
            ),
            Self::NoCertificate => {
                f.write_str("there is no -----BEGIN CERTIFICATE----- in it; name the file of the chain")
            }
            Self::OnlyAKey => f.write_str(
                "it has a private key and no certificate; name the file of the chain here and this one as \
                 the key",
            ),
            Self::CertificateBroken { place, why } => {
                write!(f, "its certificate {place} cannot be read ({why}); fetch or make it anew")
            }
            Self::ChainBroken { place, issuer, next } => write!(
                f,
                "certificate {place} was issued by `{issuer}`, and certificate {} is `{next}`; put the \
                 server's own first, and behind each the one that issued it",
                place + 1
            ),
            Self::NoNames => f.write_str(
                "its first certificate has no subject alternative name, and clients look at nothing else; \
                 have it issued with the host's name in it",
            ),
            Self::NoKey => f.write_str(
                "there is no private key in it (-----BEGIN PRIVATE KEY-----); name the file of the key",
            ),
            Self::NoKeyBeside => f.write_str(
                "it has no private key beside the certificates; name the key's file (--tls-key FILE)",
            ),
            Self::KeyEncrypted => f.write_str(
                "the private key is encrypted, and nobody is here to type the password; store it without: \
                 openssl pkey -in FILE -out NEW",
            ),
            Self::KeyRefused(why) => write!(
                f,
                "this private key cannot be used ({why}); RSA from 2048 bits, ECDSA P-256, P-384, P-521 and \
                 Ed25519 can"
            ),
            Self::KeyOfAnother { chain } => write!(
                f,
                "this private key does not belong to the certificate in {}; name the one it was made with",
                chain.display()
            ),
            Self::LeafNotFirst { chain, place } => write!(
                f,
                "this private key belongs to certificate {place} in {}; put that one first and its issuers \
                 behind it",
                chain.display()
            ),
            Self::NothingToPresent => f.write_str(
                "a TLS listener has no certificate to present; give one (--tls-cert), or let it make one \
                 (--tls-self-signed)",
            ),
            Self::NoName(name) => write!(
                f,
                "`{name}` is no name for a certificate; write a host name, *.example.com, or an IP address"
            ),
            Self::AuthorityRefused { place, why } => write!(
                f,
                "certificate {place} of those that clients' certificates are checked with cannot be used \
                 ({why}); name the PEM file of the authority"
            ),
            Self::NoCrl => f.write_str(
                "there is no -----BEGIN X509 CRL----- in it; DER is turned into PEM by openssl crl -inform \
                 der -in FILE",
            ),
            Self::CrlRefused(why) => {
                write!(f, "this revocation list cannot be used ({why}); fetch it anew")
            }
            Self::Config(why) => write!(f, "the TLS settings do not fit together: {why}"),
        }
    }
}

/// What is served with, and should not stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsWarning {
    pub(super) file: PathBuf,
    pub(super) concern: Concern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Concern {
    KeyReadable(u32),
    Expired { days: i64 },
    NotYetValid { begins: String },
    LeafAlone { issuer: String },
    NotForServers,
    ExpiresSoon { names: String, days: i64, at: String },
    CrlExpired { days: i64 },
}

impl fmt::Display for TlsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        match &self.concern {
            Concern::KeyReadable(mode) => {
                write!(
                    f,
                    "everybody on this machine may read this private key (mode {mode:04o}); chmod 600 it"
                )
            }
            Concern::Expired { days } => write!(
                f,
                "THE CERTIFICATE EXPIRED {days} days ago, and clients will refuse it; renew it, the new file \
                 is taken at once"
            ),
            Concern::ExpiresSoon { names, days, at } => write!(
                f,
                "the certificate for {names} expires in {days} days ({at}); renew it, the new file is taken \
                 at once"
            ),
            Concern::NotYetValid { begins } => write!(
                f,
                "the certificate is valid only from {begins}, and clients will refuse it until then; is this \
                 machine's clock right?"
            ),
            Concern::LeafAlone { issuer } => write!(
                f,
                "it has the server's certificate alone, and clients may not know `{issuer}` that issued it; \
                 use the file with the full chain"
            ),
            Concern::NotForServers => f.write_str(
                "the certificate was not issued for servers (extended key usage without serverAuth), and \
                 clients will refuse it; have it issued for a server",
            ),
            Concern::CrlExpired { days } => write!(
                f,
                "the revocation list should have been replaced {days} days ago; it is still used, but newer \
                 revocations are unknown: fetch it anew"
            ),
        }
    }
}
