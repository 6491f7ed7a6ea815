//! TLS to the endpoints of an upstream: its configuration, made once for all cores, and handshakes.

use std::sync::{Arc, Weak};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::error::ExchangeFailure;
use super::options::{EndpointAddress, EndpointOptions, UpstreamOptions, UpstreamProtocol, UpstreamTls};
use crate::net::Stream;
use crate::net::tls::{CertificateFiles, FileVersion, TlsClientOptions};
use crate::ring::Socket;

/// The protocols that are offered (RFC 7301).
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// What the connections of an upstream are secured with.
#[derive(Debug)]
pub(crate) struct ClientTls {
    server_name: Option<String>,
    configs: Arc<TlsConfigs>,
}

/// Configurations, which all upstreams with the same files share: those of this machine's authorities are
/// many, and client code has an upstream per origin.
#[derive(Debug)]
pub(crate) struct TlsConfigs {
    options: TlsClientOptions,
    protocol: UpstreamProtocol,
    files: Vec<FileVersion>,
    config: Arc<ClientConfig>,
    /// For what HTTP/2 cannot carry. Sessions are resumed with either.
    http1: Arc<ClientConfig>,
}

fn client_options(options: &UpstreamTls) -> TlsClientOptions {
    TlsClientOptions {
        authorities: options.ca.clone(),
        certificate: options
            .client_certificate
            .as_ref()
            .map(|(chain, key)| CertificateFiles::new(chain.clone(), key.clone())),
        verify: options.verify,
    }
}

/// Finds what is wrong with the names of these options.
///
/// # Errors
/// What to change.
pub(super) fn check_names(options: &UpstreamOptions) -> Result<(), String> {
    let Some(tls) = &options.tls else { return Ok(()) };
    for endpoint in &options.endpoints {
        let name = name(endpoint, tls.server_name.as_deref());
        if ServerName::try_from(name).is_err() {
            return Err(format!("`{name}` is no name of a certificate; give one with `server_name`"));
        }
    }
    Ok(())
}

/// Finds what is wrong with the files of these options. Connects to nothing.
///
/// # Errors
/// What to change.
pub(super) fn check_files(options: &UpstreamOptions) -> Result<(), String> {
    let Some(tls) = &options.tls else { return Ok(()) };
    client_options(tls).check().map_err(|error| error.to_string())
}

/// The name that the certificate must have.
fn name<'a>(endpoint: &'a EndpointOptions, server_name: Option<&'a str>) -> &'a str {
    match (server_name, &endpoint.address) {
        (Some(name), _) => name,
        (None, EndpointAddress::Tcp { host, .. }) => host,
        (None, EndpointAddress::Unix(_)) => "localhost",
        // Each of its hosts is an endpoint with its own name.
        (None, EndpointAddress::Service(name)) => name,
    }
}

impl TlsConfigs {
    /// As the options say; of those that are known the one that was made from the same options, if the files
    /// have not changed.
    ///
    /// # Errors
    /// What to change.
    pub(super) fn find(
        known: &mut Vec<Weak<Self>>,
        tls: &UpstreamTls,
        protocol: UpstreamProtocol,
    ) -> Result<Arc<Self>, String> {
        let options = client_options(tls);
        let files = options.file_versions();
        known.retain(|configs| configs.strong_count() > 0);
        let is_same = |before: &Arc<Self>| {
            before.options == options && before.protocol == protocol && before.files == files
        };
        if let Some(before) = known.iter().filter_map(Weak::upgrade).find(is_same) {
            return Ok(before);
        }
        let offering = |config: &ClientConfig, protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        let config = options.build().map_err(|error| error.to_string())?;
        let protocols: &[&[u8]] = match protocol {
            UpstreamProtocol::Auto => &[HTTP2, HTTP1],
            UpstreamProtocol::Http1 => &[HTTP1],
            UpstreamProtocol::Http2 => &[HTTP2],
        };
        let (http1, config) = (offering(&config, &[HTTP1]), offering(&config, protocols));
        let made = Arc::new(Self { options, protocol, files, config, http1 });
        known.push(Arc::downgrade(&made));
        Ok(made)
    }
}

impl ClientTls {
    pub(super) fn new(tls: &UpstreamTls, configs: Arc<TlsConfigs>) -> Self {
        Self { server_name: tls.server_name.clone(), configs }
    }

    /// The client's side of a handshake, within the socket's deadline.
    ///
    /// # Errors
    /// The endpoint is not who it should be, or does not speak what is spoken here.
    pub(super) async fn connect(
        &self,
        socket: Socket,
        endpoint: &EndpointOptions,
        needs_http1: bool,
    ) -> Result<Stream, ExchangeFailure> {
        let name = name(endpoint, self.server_name.as_deref());
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| ExchangeFailure::Tls(format!("`{name}` is no name of a certificate")))?;
        let config = if needs_http1 { &self.configs.http1 } else { &self.configs.config };
        let stream = Stream::connect(socket, config.clone(), server).await?;
        if self.configs.protocol == UpstreamProtocol::Http2 && !needs_http1 && !is_http2(&stream) {
            let why = "it did not choose HTTP/2 (ALPN h2); set `protocol` to `auto` or `http1`";
            return Err(ExchangeFailure::Tls(why.to_owned()));
        }
        Ok(stream)
    }
}

/// Whether HTTP/2 was chosen in the handshake.
pub(super) fn is_http2(stream: &Stream) -> bool {
    stream.tls().is_some_and(|tls| tls.protocol() == Some(HTTP2))
}
