//! A real handshake over a plain socket, to show what a server presents. Verifies no trust and therefore
//! sends no data: the connection ends with the handshake.

use std::fmt::Display;
use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Error, InvalidMessage};

use crate::net::tls::UnverifiedServers;

/// Time limit for connecting, and for each read.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a server presented.
pub(super) struct Presented {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) version: String,
    pub(super) cipher: String,
    pub(super) group: String,
    pub(super) protocol: Option<String>,
}

/// Connects to the server at `place` (HOST:PORT) with SNI `server_name`, or HOST.
pub(super) fn look(place: &str, server_name: Option<&str>) -> Result<Presented, String> {
    let (host, _) = place.rsplit_once(':').expect("the caller has seen a port");
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = server_name.unwrap_or(host);
    let name = match name.parse::<IpAddr>() {
        Ok(addr) => ServerName::from(addr),
        Err(_) => ServerName::try_from(name.to_owned()).map_err(|_| format!("`{name}` is no host name"))?,
    };
    let mut socket = connect(place)?;
    let failed = |error: &dyn Display| format!("{place}: the handshake failed: {error}");
    let mut client = ClientConnection::new(config(), name).map_err(|error| failed(&error))?;
    while client.is_handshaking() {
        let Err(error) = client.complete_io(&mut socket) else { continue };
        if client.peer_certificates().is_some() {
            // It requires a client certificate, and has already presented its own.
            break;
        }
        return Err(match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                format!("{place}: it does not use TLS; is it the right port?")
            }
            _ if error.kind() == ErrorKind::WouldBlock => {
                format!("{place}: it does not reply; is it a TLS server?")
            }
            _ => failed(&error),
        });
    }
    client.send_close_notify();
    let _ = client.complete_io(&mut socket);
    Ok(Presented {
        chain: client.peer_certificates().unwrap_or_default().to_vec(),
        version: client.protocol_version().map_or_else(String::new, |version| format!("{version:?}")),
        cipher: client
            .negotiated_cipher_suite()
            .map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        group: client
            .negotiated_key_exchange_group()
            .map_or_else(String::new, |group| format!("{:?}", group.name())),
        protocol: client.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
    })
}

fn connect(place: &str) -> Result<TcpStream, String> {
    let addrs =
        place.to_socket_addrs().map_err(|error| format!("{place}: the host is not known: {error}"))?;
    let mut last = format!("{place}: the host has no address");
    for addr in addrs {
        match TcpStream::connect_timeout(&addr, HANDSHAKE_TIMEOUT) {
            Ok(socket) => {
                let limited = socket
                    .set_read_timeout(Some(HANDSHAKE_TIMEOUT))
                    .and_then(|()| socket.set_write_timeout(Some(HANDSHAKE_TIMEOUT)));
                return limited.map(|()| socket).map_err(|error| format!("{place}: {error}"));
            }
            Err(error) => last = format!("{place}: cannot connect to {addr}: {error}"),
        }
    }
    Err(last)
}

fn config() -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(UnverifiedServers(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.into()
}
