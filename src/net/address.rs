//! Addresses as operators write them: `ADDR:PORT`, `[V6]:PORT`, `unix:PATH`, and in short `PORT`, `:PORT` and
//! `localhost:PORT`. Other host names are not accepted: name resolution can block, and a listener's address
//! belongs in the configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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
    "`{text}` is no address{}; write 127.0.0.1:8080, [::1]:8080, 8080 for this machine alone, :8080 or \
     0.0.0.0:8080 for every interface, [::]:8080 for the same by IPv6, or unix:/run/quoit.sock",
    cause(.text)
)]
pub struct AddressError {
    text: String,
}

impl AddressError {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
}

/// What is probably wrong with it.
fn cause(text: &str) -> &'static str {
    const PORT: &str = ": a port is a number up to 65535";
    const NO_PORT: &str = ": its port is missing";
    const NAME: &str = ": names but localhost are not looked up";
    let is_address = |host: &str| host.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost");
    if text.starts_with("unix:") {
        return ": the path of a Unix socket has 1 to 107 bytes";
    }
    if text.contains("://") {
        return ": it is a URL, of which only ADDR:PORT is needed";
    }
    if text.contains('%') {
        return ": the interface of a link-local address is written as its number, such as [fe80::1%2]:8080, \
                where `ip link` shows 2";
    }
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        return match rest.strip_prefix(':') {
            _ if host.parse::<Ipv6Addr>().is_err() => ": between the brackets is no IPv6 address",
            None | Some("") => NO_PORT,
            Some(_) => PORT,
        };
    }
    if text.matches(':').count() > 1 {
        return ": an IPv6 address is written in brackets";
    }
    match text.rsplit_once(':') {
        None if is_address(text) => NO_PORT,
        None if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => PORT,
        Some((host, "")) if host.is_empty() || is_address(host) => NO_PORT,
        Some((host, _)) if matches!(host, "" | "*") || is_address(host) => PORT,
        Some((_, port)) if port.parse::<u16>().is_ok() => NAME,
        _ => "",
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = (1..=107).contains(&path.len()) && !path.contains('\0');
            return if fits { Ok(Self::Unix(path.into())) } else { Err(AddressError::new(text)) };
        }
        let found = text.parse().ok().or_else(|| short(text));
        found.map(Self::Inet).ok_or_else(|| AddressError::new(text))
    }
}

/// What is written without an address: a port alone is this machine's, as it is by default; `:PORT` and
/// `*:PORT` are every IPv4 interface. `localhost` is the loopback whatever a resolver says (RFC 6761 §6.3);
/// clients try its IPv4 address as well.
fn short(text: &str) -> Option<SocketAddr> {
    let (ip, port) = match text.rsplit_once(':') {
        None => (Ipv4Addr::LOCALHOST, text),
        Some(("" | "*", port)) => (Ipv4Addr::UNSPECIFIED, port),
        Some((name, port)) if name.eq_ignore_ascii_case("localhost") => (Ipv4Addr::LOCALHOST, port),
        Some(_) => return None,
    };
    // `parse` would accept a sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    if digits { Some(SocketAddr::from((ip, port.parse().ok()?))) } else { None }
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
    fn a_port_is_enough() {
        for (text, ip, port) in [
            ("8080", [127, 0, 0, 1], 8080),
            ("0", [127, 0, 0, 1], 0),
            (":8080", [0, 0, 0, 0], 8080),
            ("*:80", [0, 0, 0, 0], 80),
            ("localhost:9009", [127, 0, 0, 1], 9009),
            ("LocalHost:9009", [127, 0, 0, 1], 9009),
        ] {
            assert_eq!(text.parse(), Ok(Address::Inet((ip, port).into())), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_named_with_the_remedy() {
        for text in [
            "",
            ":",
            "-1",
            "+80",
            "65536",
            ":65536",
            "localhost",
            "localhost:",
            "localhost:+1",
            "a.test:80",
            "127.0.0.1",
            "127.0.0.1:99999",
            "unix:",
            "[::1]",
            "::1:80x",
            "http://127.0.0.1:80",
            " 80",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("127.0.0.1:8080"), "{error}");
        }
        assert!(format!("unix:{}", "x".repeat(108)).parse::<Address>().is_err());
        for (text, cause) in [
            ("127.0.0.1:99999", "a port is a number up to 65535"),
            ("127.0.0.1:-1", "a port is a number"),
            ("65536", "a port is a number"),
            (":http", "a port is a number"),
            ("localhost:http", "a port is a number"),
            ("[::1]:http", "a port is a number"),
            ("127.0.0.1", "its port is missing"),
            ("::1", "in brackets"),
            ("[::1]", "its port is missing"),
            ("[::1]:", "its port is missing"),
            ("localhost", "its port is missing"),
            (":", "its port is missing"),
            ("::1:8080", "in brackets"),
            (":::8080", "in brackets"),
            ("[::g]:80", "no IPv6 address"),
            ("[fe80::1%eth0]:80", "as its number"),
            ("http://127.0.0.1:80", "a URL"),
            ("a.test:80", "are not looked up"),
            ("unix:", "1 to 107 bytes"),
            ("8080/", "is no address; write"),
            ("", "is no address; write"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(cause), "{error}");
        }
    }
}
