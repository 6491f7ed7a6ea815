//! Opens the desktop's browser. A failure is logged and does not stop the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::thread;

use crate::net::Address;
use crate::observe::log;

/// The desktop's command to open a URL with the preferred program.
const OPENER: &str = "xdg-open";

/// Opens the first TCP address in a browser, and returns at once.
pub(super) fn open(scheme: &str, addresses: &[Address]) {
    let Some(url) = addresses.iter().find_map(|address| url(scheme, address)) else {
        log::line(format_args!("no browser was opened: none of the addresses is one of TCP"));
        return;
    };
    let tell = move || {
        // Logged with the URL, so that it can be opened by hand.
        let ended = Command::new(OPENER)
            .arg(&url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => log::line(format_args!("no browser was opened ({OPENER}: {status}); open {url}")),
            Err(error) => log::line(format_args!("no browser was opened ({OPENER}: {error}); open {url}")),
        }
    };
    // Some openers wait for the browser to exit.
    if let Err(error) = thread::Builder::new().name("quoit-open".to_owned()).spawn(tell) {
        log::line(format_args!("no browser was opened: {error}"));
    }
}

/// The URL at which a browser on this machine reaches an address.
fn url(scheme: &str, address: &Address) -> Option<String> {
    let Address::Inet(addr) = address else { return None };
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    Some(format!("{scheme}://{}/", SocketAddr::new(ip, addr.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_urls_for_this_machine() {
        for (address, expected) in [
            ("127.0.0.1:80", Some("http://127.0.0.1:80/")),
            ("0.0.0.0:8080", Some("http://127.0.0.1:8080/")),
            ("[::]:8080", Some("http://[::1]:8080/")),
            ("192.0.2.1:1", Some("http://192.0.2.1:1/")),
            ("unix:/run/x", None),
        ] {
            assert_eq!(url("http", &address.parse().unwrap()).as_deref(), expected);
        }
    }
}
