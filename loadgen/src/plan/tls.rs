//! The TLS options of connections: trusted roots, SNI name, protocols. Reads no files
//! and makes no connection.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::ServerName;

/// TLS as it is planned.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// What the certificate must be for; asked for (SNI, RFC 6066, section 3) unless it is an address.
    pub name: ServerName<'static>,
    /// Which certificates are accepted.
    pub trust: Trust,
    /// Whether later connections may go on from earlier ones.
    pub resume: bool,
    /// How keys are agreed on, the preferred first; empty for what rustls has as its default.
    pub groups: Vec<Group>,
}

/// A way to agree on keys (RFC 8446, section 4.2.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    /// X25519MLKEM768: holds against quantum computers too.
    Hybrid,
    /// X25519.
    X25519,
    /// secp256r1.
    P256,
}

impl FromStr for Group {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "hybrid" => Ok(Self::Hybrid),
            "x25519" => Ok(Self::X25519),
            "p256" => Ok(Self::P256),
            _ => Err("the groups are hybrid, x25519 and p256"),
        }
    }
}

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Anybody's: for servers with certificates of their own making.
    Anybody,
    /// Those that lead to one of these.
    Roots(Arc<RootCertStore>),
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Protocol {
    /// HTTP/1.1 (RFC 9112).
    #[default]
    H1,
    /// HTTP/2 (RFC 9113): by ALPN over TLS, by prior knowledge without.
    H2,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H1 => "HTTP/1.1",
            Self::H2 => "HTTP/2",
        })
    }
}

impl Protocol {
    /// Its name in ALPN (RFC 7301).
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::H1 => b"http/1.1",
            Self::H2 => b"h2",
        }
    }

    /// Whether this ALPN result is the protocol. A server that chose none uses HTTP/1.1.
    pub(crate) fn is_chosen(self, chosen: Option<&[u8]>) -> bool {
        chosen.map_or(self == Self::H1, |chosen| chosen == self.alpn())
    }
}
