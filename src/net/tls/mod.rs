//! TLS: certificates and listener configuration, handshakes by rustls, and in-place record protection.

mod certificate;
mod challenges;
mod client;
mod client_auth;
mod config;
mod early;
mod error;
mod facts;
mod files;
mod handshake;
#[doc(hidden)]
pub mod hello;
mod info;
mod lane;
#[doc(hidden)]
pub mod messages;
#[doc(hidden)]
pub mod pem;
mod record;
mod self_signed;
mod session;
mod table;
#[cfg(test)]
mod tests;
mod tickets;

pub use self::certificate::CertificateFiles;
pub use self::challenges::{ACME_TLS_ALPN, Challenges, HTTP_CHALLENGE_PREFIX};
pub use self::client::TlsClientOptions;
#[cfg(feature = "cli")]
pub(crate) use self::client::UnverifiedServers;
pub use self::client_auth::{ClientAuth, ClientCertificate, ClientTrust};
pub use self::config::{CipherPreference, Reloaded, TlsOptions, TlsServer, TlsVersion};
pub use self::error::{TlsError, TlsProblem, TlsWarning};
pub use self::facts::{AlternativeName, CertificateFacts, CertificateFactsError, date};
pub use self::files::FileVersion;
pub(in crate::net) use self::handshake::{ChosenConfig, Established, accept, connect};
pub use self::handshake::{HandshakeError, PlainHttp};
pub use self::info::TlsInfo;
pub use self::lane::Lane;
pub use self::record::RecordError;
pub use self::self_signed::is_name;
pub use self::session::Session;
