//! Addresses as operators write them: `ADDR:PORT`, `[V6]:PORT`, `unix:PATH`. Host names are not accepted:
//! name resolution can block, and a listener's address belongs in the configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on or to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Inet(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
}

/// The text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no address; write 127.0.0.1:8080, [::1]:8080, 0.0.0.0:8080 for every interface, or \
     unix:/run/quoit.sock"
)]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = (1..=107).contains(&path.len()) && !path.contains('\0');
            return if fits { Ok(Self::Unix(path.into())) } else { Err(AddressError(text.to_owned())) };
        }
        text.parse().map(Self::Inet).map_err(|_| AddressError(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => write!(f, "http://{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert_eq!("127.0.0.1:80".parse(), Ok(Address::Inet(([127, 0, 0, 1], 80).into())));
        assert!(matches!("[::1]:0".parse(), Ok(Address::Inet(SocketAddr::V6(_)))));
        assert_eq!("unix:/run/q.sock".parse(), Ok(Address::Unix("/run/q.sock".into())));
    }

    #[test]
    fn what_is_no_address_is_named_with_the_remedy() {
        for text in ["", "8080", "localhost:80", "127.0.0.1", "127.0.0.1:99999", "unix:", "[::1]"] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("127.0.0.1:8080"), "{error}");
        }
        assert!(format!("unix:{}", "x".repeat(108)).parse::<Address>().is_err());
    }
}
