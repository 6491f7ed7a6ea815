//! The way to the server: TCP or a Unix socket, and TLS over it where the plan has it. The protocol over a
//! stream does not see what it is made of.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use quoit::net::tls::HandshakeError;
use quoit::net::{Address, Stream};
use quoit::ring::{Ring, Socket};
use rustls::AlertDescription;

use super::core::Core;
use super::record::Fault;

/// Why there is no connection.
pub(super) struct Refusal {
    pub(super) fault: Fault,
    why: String,
    remedy: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.why, self.remedy)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { fault: Fault::Connect, why: error.to_string(), remedy: "is the server running there?" }
    }
}

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Self {
        let remedy = match &error {
            HandshakeError::Failed(rustls::Error::InvalidCertificate(_)) => {
                "give its authority with --ca FILE, the name it is for in the URL, or --insecure"
            }
            HandshakeError::Failed(rustls::Error::InvalidMessage(_)) => "does it speak TLS there?",
            HandshakeError::Failed(
                rustls::Error::NoApplicationProtocol
                | rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol),
            ) => "choose another --proto",
            _ => "look into the server's log",
        };
        Self { fault: Fault::Tls, why: error.to_string(), remedy }
    }
}

/// Connects, within the time that the plan gives it, and books how long each part took. Gives up when the
/// core hands out nothing more: a run that is ended does not wait for a server that does not answer.
pub(super) async fn open(core: &Core) -> Result<Stream, Refusal> {
    let mut opening = pin!(open_in_time(core));
    poll_fn(|cx| match opening.as_mut().poll(cx) {
        Poll::Pending if core.gate.closed.get() => {
            Poll::Ready(Err(io::Error::from(io::ErrorKind::Interrupted).into()))
        }
        polled => polled,
    })
    .await
}

async fn open_in_time(core: &Core) -> Result<Stream, Refusal> {
    let (plan, begun_ns) = (&core.plan, core.now_ns());
    let socket = connect(&core.ring, &plan.address, plan.connect_timeout).await?;
    let connect_ns = core.now_ns() - begun_ns;
    let Some(client) = &core.tls else {
        socket.set_multishot(true);
        let mut record = core.record.borrow_mut();
        record.connections.connect.record(connect_ns);
        record.connections.opened += 1;
        return Ok(Stream::from(socket));
    };
    socket.set_deadline(Some(plan.connect_timeout.saturating_sub(Duration::from_nanos(connect_ns))));
    let stream = Stream::connect(socket, client.config.clone(), client.name.clone()).await?;
    let handshake_ns = (core.now_ns() - begun_ns).saturating_sub(connect_ns);
    stream.set_deadline(None);
    stream.set_multishot(true);
    let info = stream.tls().expect("the handshake is over");
    if plan.protocol.is_chosen(info.protocol()) {
        let mut record = core.record.borrow_mut();
        record.connections.connect.record(connect_ns);
        record.connections.opened += 1;
        let suite = format!("{} {:?}", info.version(), info.cipher());
        record.connections.tls.get_or_insert_default().note(info.is_resumed(), handshake_ns, suite);
        return Ok(stream);
    }
    let why = "the server speaks TLS and not HTTP/2: it chose nothing by ALPN".to_owned();
    Err(Refusal { fault: Fault::Tls, why, remedy: "choose another --proto" })
}

async fn connect(ring: &Ring, address: &Address, timeout: Duration) -> io::Result<Socket> {
    let mut limit = pin!(ring.sleep(timeout));
    let mut connecting = pin!(async {
        match address {
            Address::Inet(addr) => ring.connect(*addr).await,
            Address::Unix(path) => ring.connect_unix(path.as_os_str().as_bytes()).await,
        }
    });
    poll_fn(|cx| {
        if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
            return Poll::Ready(connected);
        }
        limit.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}
