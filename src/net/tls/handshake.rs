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
use rustls::{ClientConfig, CommonState, Error, HandshakeKind, PeerIncompatible, ServerConfig};

use super::challenges::ACME_TLS_ALPN;
use super::early::EarlyData;
use super::hello::{Hello, HelloProgress, HelloRecords};
use super::info::{TlsInfo, is_resumed};
use super::lane::{Lane, Place};
use super::record::{ALERT, HEADER_BYTES};
use super::session::{Session, TlsRole};
use crate::ring::{Payload, PeerState, RecvBuf, Socket, Waits};

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

/// A connection without TLS.
#[derive(Debug)]
pub struct PlainHttp {
    /// Its socket.
    pub socket: Socket,
    /// What was received of it.
    pub input: RecvBuf,
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
    PlainHttp(PlainHttp),
    /// The handshake failed; an alert was sent if possible.
    #[error("the TLS handshake failed: {0}")]
    Failed(#[from] Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::TimedOut } else { Self::Closed }
    }
}

/// RFC 8446 §6.
const FATAL: u8 = 2;
const PROTOCOL_VERSION: u8 = 70;

/// The server side on `socket`, within the socket's deadline, with the configuration that `choose` returns
/// for the ClientHello; `None` stands for one that could not be read. `lane` orders the core's handshakes;
/// with it, the socket may be dismissed while it waits for its peer.
///
/// # Errors
/// See [`HandshakeError`].
pub(in crate::net) async fn accept(
    socket: Socket,
    lane: Option<&Lane>,
    choose: impl FnOnce(Option<&Hello<'_>>) -> ChosenConfig,
) -> Result<Established, HandshakeError> {
    // A connection on which nothing has arrived holds no buffer.
    let mut input = Vec::new();
    if lane.is_some() {
        socket.set_waits(Waits::Handshake);
    }
    let mut records = HelloRecords::default();
    while records.handle_input(&input) == HelloProgress::Part {
        let Some(received) = socket.recv().await? else {
            return Err(HandshakeError::Closed);
        };
        if input.is_empty() {
            if looks_like_http(&received) {
                return Err(HandshakeError::PlainHttp(PlainHttp { socket, input: received }));
            }
            input = socket.ring().take_buffer();
        }
        if input.len() + received.len() > INPUT_BYTES_MAX {
            return Err(HandshakeError::Closed);
        }
        input.extend_from_slice(&received);
    }
    let hello = records.hello();
    if let Some(version) = hello.and_then(|hello| hello.version_too_old()) {
        // rustls looks for what TLS 1.2 requires first, and would send handshake_failure.
        let [high, low] = version.to_be_bytes();
        send_last(&socket, vec![ALERT, high, low, 0, 2, FATAL, PROTOCOL_VERSION]).await;
        return Err(Error::from(PeerIncompatible::Tls12NotOffered).into());
    }
    let ChosenConfig { config, asks_for_certificate, is_challenge } = choose(hello.as_ref());
    let mut config = (*config).clone();
    let early_data = hello.is_some_and(|hello| hello.offers_early_data()).then(EarlyData::new);
    if let Some(early_data) = &early_data {
        config.key_log = early_data.key_log();
    }
    let resolver = Arc::new(Listening { resolver: config.cert_resolver, name: OnceLock::new() });
    config.cert_resolver = resolver.clone();
    let connection = UnbufferedServerConnection::new(Arc::new(config))?;
    let half = ServerHalf { connection, resolver, asks_for_certificate };
    let established = Handshake { early_data, lane, ..Handshake::new(socket, half, input) }.run().await?;
    if lane.is_some() {
        established.socket.set_waits(Waits::No);
    }
    // The ClientHello after a HelloRetryRequest may offer other protocols than the one `choose` has seen.
    if is_challenge && established.session.info().protocol() != Some(ACME_TLS_ALPN) {
        return Err(Error::NoApplicationProtocol.into());
    }
    Ok(established)
}

/// The configuration of one handshake.
pub(in crate::net) struct ChosenConfig {
    pub(in crate::net) config: Arc<ServerConfig>,
    /// Whether the client's second flight holds a certificate, which takes long to verify.
    pub(in crate::net) asks_for_certificate: bool,
    /// Whether it is for a CA, which is not asked for a certificate: the connection ends unless ACME's
    /// protocol is negotiated.
    pub(in crate::net) is_challenge: bool,
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
    asks_for_certificate: bool,
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
    let input = socket.ring().take_buffer();
    Handshake::new(socket, connection, input).run().await
}

/// The operations common to the two connection types of rustls, which share no trait for them.
trait Half {
    type Data;
    const IS_SERVER: bool;
    /// Whether the next flight of the peer takes long to compute with.
    fn is_costly(&self) -> bool;
    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn common(&self) -> &CommonState;
    fn server_name(&self) -> Option<&str>;
    fn finish(self, rest: Vec<u8>, info: TlsInfo) -> Result<Session, Error>;
}

impl Half for ServerHalf {
    type Data = ServerConnectionData;
    const IS_SERVER: bool = true;

    fn is_costly(&self) -> bool {
        // After a HelloRetryRequest the costly part is still to come.
        self.asks_for_certificate
            || self.connection.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest)
    }

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

    fn is_costly(&self) -> bool {
        false
    }

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

struct Handshake<'a, C> {
    socket: Socket,
    connection: C,
    input: Vec<u8>,
    /// Bytes of `input` that rustls sees. INVARIANT: whole records, of which only the last is new to it, so
    /// that it cannot read beyond the end of the handshake: an answer to what follows, or a key that changes
    /// there, would be lost when `session` takes over.
    shown: usize,
    output: Vec<u8>,
    /// Of a client that has announced some.
    early_data: Option<EarlyData>,
    lane: Option<&'a Lane>,
}

impl<'a, C: Half> Handshake<'a, C> {
    fn new(socket: Socket, connection: C, input: Vec<u8>) -> Self {
        let output = socket.ring().take_buffer();
        Self { socket, connection, input, shown: 0, output, early_data: None, lane: None }
    }

    async fn run(mut self) -> Result<Established, HandshakeError> {
        // Held while this handshake computes, and never while it waits for its peer.
        let mut place = self.enter().await?;
        loop {
            match self.step() {
                HandshakeStep::Again => {}
                HandshakeStep::Done => {
                    drop(place);
                    return self.finish().await;
                }
                HandshakeStep::Failed(error) => {
                    drop(place);
                    return Err(self.fail(error).await);
                }
                HandshakeStep::Blocked if self.show_next() => {}
                HandshakeStep::Blocked => {
                    drop(place.take());
                    if let Err(error) = self.judge_part() {
                        return Err(self.fail(error).await);
                    }
                    self = self.receive().await?;
                    if self.connection.is_costly() && self.has_next() {
                        place = self.enter().await?;
                    }
                }
            }
        }
    }

    async fn enter(&self) -> Result<Option<Place<'a>>, HandshakeError> {
        let Some(lane) = self.lane else { return Ok(None) };
        // From here on the peer waits for us.
        self.socket.set_waits(Waits::No);
        let place = lane.enter(&self.socket.ring()).await;
        // Nobody waits for it any more.
        if self.socket.has_timed_out() {
            return Err(HandshakeError::TimedOut);
        }
        if self.socket.is_broken() || self.lacks_its_peer() {
            return Err(HandshakeError::Closed);
        }
        Ok(Some(place))
    }

    /// Whether the peer will not send the rest. Its last flight may be followed by the end of its input.
    fn lacks_its_peer(&self) -> bool {
        let is_first = self.connection.common().negotiated_cipher_suite().is_none();
        is_first && (self.socket.has_ended() || self.socket.peer_state() != PeerState::Open)
    }

    /// Marks a server's socket as one that may be dismissed, before it waits for its peer.
    fn await_peer(&self) {
        if self.lane.is_some() {
            self.socket.set_waits(Waits::Handshake);
        }
    }

    async fn receive(mut self) -> Result<Self, HandshakeError> {
        self.send().await?;
        self.await_peer();
        let Some(received) = self.socket.recv().await? else {
            return Err(HandshakeError::Closed);
        };
        if self.input.len() + received.len() > INPUT_BYTES_MAX {
            return Err(HandshakeError::Closed);
        }
        self.input.extend_from_slice(&received);
        Ok(self)
    }

    /// Whether the next record is whole.
    fn has_next(&self) -> bool {
        let rest = &self.input[self.shown..];
        record_bytes(rest).is_some_and(|length| length <= rest.len())
    }

    /// Shows rustls the next record; false if it is not whole yet.
    fn show_next(&mut self) -> bool {
        loop {
            let rest = &self.input[self.shown..];
            let Some(length) = record_bytes(rest).filter(|length| *length <= rest.len()) else {
                return false;
            };
            // Nothing is negotiated before the whole ClientHello.
            let negotiated = self.connection.common().negotiated_cipher_suite();
            let is_skipped = self
                .early_data
                .as_mut()
                .zip(negotiated)
                .is_some_and(|(early_data, negotiated)| early_data.skips(&rest[..length], negotiated));
            if !is_skipped {
                self.shown += length;
                return true;
            }
            self.input.drain(self.shown..self.shown + length);
        }
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
            self.await_peer();
            send_last(&self.socket, self.output).await;
        }
        HandshakeError::Failed(error)
    }
}

/// Sends an alert, and closes.
async fn send_last(socket: &Socket, output: Vec<u8>) {
    socket.start_send(Payload::Buffer(output));
    if socket.flush().await.is_ok() {
        socket.shutdown_write();
        // Unread input would turn the close into a reset, and the alert would be lost.
        let mut left = INPUT_BYTES_MAX;
        while let Ok(Some(received)) = socket.recv().await {
            let Some(rest) = left.checked_sub(received.len()) else { break };
            left = rest;
        }
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
