//! TLS handshakes on a ring socket, by rustls, until the traffic keys are known; `session` handles the
//! connection afterwards.

use std::cell::OnceCell;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConnectionData, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};

use super::info::{TlsInfo, is_resumed};
use super::record::HEADER_BYTES;
use super::session::{Session, TlsRole};
use crate::ring::{Payload, RecvBuf, Socket};

/// Most handshake bytes buffered before they can be processed: the longest flight of a client includes a
/// certificate chain. rustls limits single messages; this limits the buffer.
const INPUT_BYTES_MAX: usize = 128 * 1024;

/// A connection after its handshake.
pub(in crate::net) struct Established {
    pub(in crate::net) socket: Socket,
    pub(in crate::net) session: Session,
    /// Records received together with the end of the handshake, not opened.
    pub(in crate::net) early: Option<RecvBuf>,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The socket's deadline passed.
    #[error("the TLS handshake took too long")]
    TimedOut,
    /// The peer closed the connection, or it failed.
    #[error("the connection ended within the TLS handshake")]
    Closed,
    /// The client sent plain HTTP: the answer must be plain HTTP too.
    #[error("the client sent HTTP without TLS")]
    PlainHttp(Socket),
    /// The handshake failed; an alert was sent if possible.
    #[error("the TLS handshake failed: {0}")]
    Failed(#[from] Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::TimedOut } else { Self::Closed }
    }
}

/// The server side on `socket`, within the socket's deadline.
///
/// # Errors
/// See [`HandshakeError`].
pub(in crate::net) async fn accept(
    socket: Socket,
    config: Arc<ServerConfig>,
) -> Result<Established, HandshakeError> {
    let mut config = (*config).clone();
    let resolver = Arc::new(Listening { resolver: config.cert_resolver, name: OnceLock::new() });
    config.cert_resolver = resolver.clone();
    let connection = UnbufferedServerConnection::new(Arc::new(config))?;
    Handshake::new(socket, ServerHalf { connection, resolver }).run().await
}

/// Records the SNI name: rustls' unbuffered connection does not expose it, but calls its certificate resolver
/// in every handshake, resumed ones included.
#[derive(Debug)]
struct Listening {
    resolver: Arc<dyn ResolvesServerCert>,
    name: OnceLock<Box<str>>,
}

impl ResolvesServerCert for Listening {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name() {
            let _ = self.name.set(name.to_ascii_lowercase().into());
        }
        self.resolver.resolve(hello)
    }
}

struct ServerHalf {
    connection: UnbufferedServerConnection,
    resolver: Arc<Listening>,
}

/// The client side.
///
/// # Errors
/// See [`HandshakeError`].
pub(in crate::net) async fn connect(
    socket: Socket,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Established, HandshakeError> {
    let connection = UnbufferedClientConnection::new(config, name)?;
    Handshake::new(socket, connection).run().await
}

/// The operations common to the two connection types of rustls, which share no trait for them.
trait Half {
    type Data;
    const IS_SERVER: bool;
    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn common(&self) -> &CommonState;
    fn server_name(&self) -> Option<&str>;
    fn finish(self, rest: Vec<u8>, info: TlsInfo) -> Result<Session, Error>;
}

impl Half for ServerHalf {
    type Data = ServerConnectionData;
    const IS_SERVER: bool = true;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.connection.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        &self.connection
    }

    fn server_name(&self) -> Option<&str> {
        self.resolver.name.get().map(|name| &**name)
    }

    fn finish(self, rest: Vec<u8>, info: TlsInfo) -> Result<Session, Error> {
        let (secrets, kernel) = self.connection.dangerous_into_kernel_connection()?;
        let suite = kernel.negotiated_cipher_suite();
        Session::new(&secrets, suite, TlsRole::Server(kernel), rest, info).ok_or_else(unknown_cipher)
    }
}

impl Half for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    const IS_SERVER: bool = false;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn server_name(&self) -> Option<&str> {
        None
    }

    fn finish(self, rest: Vec<u8>, info: TlsInfo) -> Result<Session, Error> {
        let (secrets, kernel) = self.dangerous_into_kernel_connection()?;
        let suite = kernel.negotiated_cipher_suite();
        Session::new(&secrets, suite, TlsRole::Client(kernel), rest, info).ok_or_else(unknown_cipher)
    }
}

fn unknown_cipher() -> Error {
    Error::General("the cipher has no record layer here".to_owned())
}

/// The next action after the input was processed.
enum HandshakeStep {
    Again,
    /// rustls waits for the next record.
    Blocked,
    Done,
    Failed(Error),
}

struct Handshake<C> {
    socket: Socket,
    connection: C,
    input: Vec<u8>,
    /// Bytes of `input` that rustls sees. INVARIANT: whole records, of which only the last is new to it, so
    /// that it cannot read beyond the end of the handshake: an answer to what follows, or a key that changes
    /// there, would be lost when `session` takes over.
    shown: usize,
    output: Vec<u8>,
}

impl<C: Half> Handshake<C> {
    fn new(socket: Socket, connection: C) -> Self {
        let (input, output) = (socket.ring().take_buffer(), socket.ring().take_buffer());
        Self { socket, connection, input, shown: 0, output }
    }

    async fn run(mut self) -> Result<Established, HandshakeError> {
        loop {
            match self.step() {
                HandshakeStep::Again => {}
                HandshakeStep::Done => return self.finish().await,
                HandshakeStep::Failed(error) => return Err(self.fail(error).await),
                HandshakeStep::Blocked if self.show_next() => {}
                HandshakeStep::Blocked => {
                    if let Err(error) = self.judge_part() {
                        return Err(self.fail(error).await);
                    }
                    self = self.receive().await?;
                }
            }
        }
    }

    async fn receive(mut self) -> Result<Self, HandshakeError> {
        self.send().await?;
        let Some(received) = self.socket.recv().await? else {
            return Err(HandshakeError::Closed);
        };
        let is_first = C::IS_SERVER && self.input.is_empty();
        if is_first && self.is_untouched() && looks_like_http(&received) {
            return Err(HandshakeError::PlainHttp(self.socket));
        }
        if self.input.len() + received.len() > INPUT_BYTES_MAX {
            return Err(HandshakeError::Closed);
        }
        self.input.extend_from_slice(&received);
        Ok(self)
    }

    /// Whether nothing was received yet.
    fn is_untouched(&self) -> bool {
        self.connection.common().protocol_version().is_none()
    }

    /// Shows rustls the next record; false if it is not whole yet.
    fn show_next(&mut self) -> bool {
        let rest = &self.input[self.shown..];
        let Some(length) = record_bytes(rest).filter(|length| *length <= rest.len()) else { return false };
        self.shown += length;
        true
    }

    /// Lets rustls judge the header of a record that is not whole; it consumes none of it.
    fn judge_part(&mut self) -> Result<(), Error> {
        if self.input.len() == self.shown {
            return Ok(());
        }
        self.connection.process(&mut self.input).state.map(drop)
    }

    fn step(&mut self) -> HandshakeStep {
        let UnbufferedStatus { discard, state, .. } = self.connection.process(&mut self.input[..self.shown]);
        let step = match state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut data, &mut self.output);
                HandshakeStep::Again
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                // Output is sent before more input is awaited.
                data.done();
                HandshakeStep::Again
            }
            Ok(ConnectionState::BlockedHandshake) => HandshakeStep::Blocked,
            Ok(ConnectionState::WriteTraffic(_)) => HandshakeStep::Done,
            // Early data is disabled, and rustls sees nothing beyond the end of the handshake.
            Ok(_) => HandshakeStep::Failed(Error::HandshakeNotComplete),
            Err(error) => HandshakeStep::Failed(error),
        };
        self.input.drain(..discard);
        self.shown -= discard;
        step
    }

    async fn send(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            let next = self.socket.ring().take_buffer();
            let output = std::mem::replace(&mut self.output, next);
            self.socket.send(Payload::Buffer(output)).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Established, HandshakeError> {
        let common = self.connection.common();
        let version = common.protocol_version().ok_or(Error::HandshakeNotComplete)?;
        let cipher = common.negotiated_cipher_suite().ok_or(Error::HandshakeNotComplete)?.suite();
        let info = TlsInfo {
            server_name: self.connection.server_name().map(Into::into),
            protocol: common.alpn_protocol().map(Into::into),
            version,
            cipher,
            resumed: is_resumed(common.handshake_kind()),
            client: OnceCell::new(),
            peer_certificates: common
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect(),
        };
        // TLS 1.3 tickets may leave with the first response; in 1.2 the client waits for the last flight, and
        // a server always waits for the client's.
        let waits = !C::IS_SERVER || version != rustls::ProtocolVersion::TLSv1_3;
        if waits {
            self.send().await?;
        }
        let rest = if waits { Vec::new() } else { std::mem::take(&mut self.output) };
        let session = self.connection.finish(rest, info)?;
        let ring = self.socket.ring();
        self.input.drain(..self.shown);
        let early = if self.input.is_empty() {
            ring.give_buffer(self.input);
            None
        } else {
            Some(RecvBuf::heap(self.input))
        };
        ring.give_buffer(self.output);
        Ok(Established { socket: self.socket, session, early })
    }

    /// Sends the alert that rustls has queued, and closes.
    async fn fail(mut self, error: Error) -> HandshakeError {
        // Only while there is output: rustls would otherwise continue with the input after the failure.
        while self.connection.common().wants_write() {
            let UnbufferedStatus { state, .. } = self.connection.process(&mut []);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { break };
            encode(&mut data, &mut self.output);
        }
        if !self.output.is_empty() && self.socket.flush().await.is_ok() {
            self.socket.start_send(Payload::Buffer(self.output));
            if self.socket.flush().await.is_ok() {
                self.socket.shutdown_write();
                // Unread input would turn the close into a reset, and the alert would be lost.
                let mut left = INPUT_BYTES_MAX;
                while let Ok(Some(received)) = self.socket.recv().await {
                    let Some(rest) = left.checked_sub(received.len()) else { break };
                    left = rest;
                }
            }
        }
        HandshakeError::Failed(error)
    }
}

/// Appends a message to the output.
fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, output: &mut Vec<u8>) {
    let start = output.len();
    let mut room = 1024;
    loop {
        output.resize(start + room, 0);
        match data.encode(&mut output[start..]) {
            Ok(written) => return output.truncate(start + written),
            Err(EncodeError::InsufficientSize(size)) => room = size.required_size,
            Err(EncodeError::AlreadyEncoded) => return output.truncate(start),
        }
    }
}

/// The length of the record at the start of `input`, header included, if the header is whole. Its content is
/// rustls' to judge.
fn record_bytes(input: &[u8]) -> Option<usize> {
    let &[_, _, _, high, low, ..] = input else { return None };
    Some(HEADER_BYTES + usize::from(u16::from_be_bytes([high, low])))
}

/// A TLS record begins with 22, which is not the first byte of any method.
fn looks_like_http(input: &[u8]) -> bool {
    input.first().is_some_and(u8::is_ascii_uppercase)
}
