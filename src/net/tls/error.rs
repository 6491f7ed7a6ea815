//! Errors and warnings about the files of a listener: the file, the problem and the remedy.
//!
//! Errors end the start; warnings are logged while serving. Neither concerns a connection.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::facts::CertificateFactsError;
use super::pem::PemError;

/// Everything that is wrong with the TLS configuration of a listener.
#[derive(Debug, thiserror::Error)]
#[error("{}", in_one_line(.problems))]
pub struct TlsError {
    // INVARIANT: never empty.
    problems: Vec<TlsProblem>,
}

impl TlsError {
    pub(super) fn of(problems: Vec<TlsProblem>) -> Self {
        debug_assert!(!problems.is_empty(), "an error says what is wrong");
        Self { problems }
    }

    /// The problems one by one, for a line each.
    pub fn problems(&self) -> &[TlsProblem] {
        &self.problems
    }
}

fn in_one_line(problems: &[TlsProblem]) -> String {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    problems.join("; ")
}

/// One problem, with the file in which it is.
#[derive(Debug, thiserror::Error)]
#[error("{}{kind}", .file.as_ref().map_or_else(String::new, |file| format!("{}: ", file.display())))]
pub struct TlsProblem {
    file: Option<PathBuf>,
    #[source]
    kind: TlsErrorKind,
}

impl TlsProblem {
    pub(super) fn new(file: &Path, kind: TlsErrorKind) -> Self {
        Self { file: Some(file.to_owned()), kind }
    }

    pub(super) fn without_file(kind: TlsErrorKind) -> Self {
        Self { file: None, kind }
    }

    /// The file, if the problem concerns one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TlsErrorKind {
    #[error("there is no such file; check the spelling, or make a certificate with `quoit cert`")]
    Missing,
    #[error("no permission to read it; let this user read the file and search its directories")]
    NoPermission,
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    #[error("it is no plain file; name the PEM file itself")]
    NotAFile,
    #[error("it has more than {0} bytes; is it the right file?")]
    TooLarge(u64),
    /// Other users could replace the key.
    #[error(
        "others may overwrite this private key (mode {0:04o}); chmod 600 it, and replace it if you do not \
         know who has written it"
    )]
    Writable(u32),
    #[error(
        "it is no PEM text ({0}); it should have lines such as -----BEGIN CERTIFICATE-----; DER is turned \
         into it by openssl x509 -inform der -in FILE"
    )]
    NotPem(#[source] PemError),
    #[error(transparent)]
    PemBroken(PemError),
    #[error("there is no -----BEGIN CERTIFICATE----- in it; name the file of the chain")]
    NoCertificate,
    #[error(
        "it is DER and not PEM; turn a certificate into PEM by openssl x509 -inform der -in FILE, a key by \
         openssl pkey -inform der -in FILE, a bundle (.pfx, .p12) by openssl pkcs12 -nodes -in FILE"
    )]
    Der,
    /// A request is made first, and the CA answers with the certificate.
    #[error("it is a request for a certificate; name the file that the CA sent in return")]
    OnlyARequest,
    /// A file that should hold a certificate holds only a key.
    #[error(
        "it has a private key and no certificate; name the file of the chain here and this one as the key"
    )]
    OnlyAKey,
    #[error("its certificate {place} cannot be read ({why}); fetch or make it anew")]
    CertificateBroken {
        place: usize,
        #[source]
        why: CertificateFactsError,
    },
    /// The certificate at `place` is not issued by the next one.
    #[error(
        "certificate {place} was issued by `{issuer}`, and certificate {} is `{next}`; put the server's \
         own first, and behind each the one that issued it",
        .place + 1
    )]
    ChainBroken { place: usize, issuer: String, next: String },
    #[error(
        "its first certificate has no subject alternative name, and clients look at nothing else; have it \
         issued with the host's name in it"
    )]
    NoNames,
    #[error("there is no private key in it (-----BEGIN PRIVATE KEY-----); name the file of the key")]
    NoKey,
    /// No key file was configured, and the file of the chain holds no key.
    #[error("it has no private key beside the certificates; name the key's file (--tls-key FILE)")]
    NoKeyBeside,
    #[error(
        "the private key is encrypted, and the server cannot ask for its password; store it without: openssl \
         pkey -in FILE -out NEW"
    )]
    KeyEncrypted,
    #[error(
        "this private key cannot be used ({0}); RSA from 2048 bits, ECDSA P-256, P-384, P-521 and Ed25519 \
         can"
    )]
    KeyRefused(String),
    #[error(
        "this private key does not belong to the certificate in {}; name the one it was made with",
        .chain.display()
    )]
    KeyOfAnother { chain: PathBuf },
    /// The key is that of a later certificate of the chain.
    #[error(
        "this private key belongs to certificate {place} in {}; put that one first and its issuers behind \
         it",
        .chain.display()
    )]
    LeafNotFirst { chain: PathBuf, place: usize },
    #[error(
        "a TLS listener has no certificate to present; give one (--tls-cert), or let it make one \
         (--tls-self-signed)"
    )]
    NothingToPresent,
    #[error("`{0}` is no name for a certificate; write a host name, *.example.com, or an IP address")]
    NoName(String),
    #[error(
        "certificate {place} of those that clients' certificates are checked with cannot be used ({why}); \
         name the PEM file of the authority"
    )]
    AuthorityRefused { place: usize, why: String },
    /// It would be trusted as an issuer, and has issued nothing.
    #[error(
        "certificate {place} is that of a server or a client, and not of the authority that issued theirs; \
         name the PEM file of the authority"
    )]
    NoAuthority { place: usize },
    #[error(
        "certificate {place} of those that servers' certificates are checked with cannot be used ({why}); \
         name the PEM file of the authority"
    )]
    RootRefused { place: usize, why: String },
    #[error(
        "this machine has no trusted authorities to check servers with; install ca-certificates, or name \
         the file of the servers' own authority (ca)"
    )]
    NoRoots,
    #[error(
        "there is no -----BEGIN X509 CRL----- in it; DER is turned into PEM by openssl crl -inform der -in \
         FILE"
    )]
    NoCrl,
    #[error("this revocation list cannot be used ({0}); fetch it anew")]
    CrlRefused(String),
    /// The parts are valid, but do not match.
    #[error("the TLS settings do not fit together: {0}")]
    Config(String),
}

/// A problem that does not prevent serving, and should be fixed.
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
                    "every user of this machine may read this private key (mode {mode:04o}); chmod 600 it"
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
