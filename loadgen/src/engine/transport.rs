//! The way to the server: TCP or a Unix socket, and TLS over it where the plan has it. The protocol over a
//! stream does not see what it is made of.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use quoit::net::tls::HandshakeError;
use quoit::net::{Address, Stream};
use quoit::ring::{Ring, Socket};
use rustls::AlertDescription;

use super::core::Core;
use super::record::Fault;

/// RFC 8305, section 5: how long an address may take before the next one is tried as well.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

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
        let fault = Fault::of(&error, Fault::Connect);
        let remedy = match fault {
            Fault::Generator => "this machine has no port, descriptor or memory left for it; lower -c",
            _ => "is the server running there?",
        };
        // A reset while connecting is a refusal of another kind.
        let fault = if fault == Fault::Generator { fault } else { Fault::Connect };
        Self { fault, why: error.to_string(), remedy }
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
    let (socket, begun_ns) = reach(core, begun_ns).await?;
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

/// Connects to the address that answered first in this run; the first connections find out which that is (RFC
/// 8305): they try one after another, the next as soon as one failed or has not answered for a moment. The
/// socket, and when the attempt began that led to it.
async fn reach(core: &Core, begun_ns: u64) -> io::Result<(Socket, u64)> {
    let (plan, ring, all) = (&core.plan, &core.ring, core.plan.addresses.len());
    if core.shared.address(all).is_none() {
        let (address, socket, begun_ns) = race(core).await?;
        // Another core may have found another one meanwhile, and a run has one target.
        if core.shared.choose_address(address) == address {
            return Ok((socket, begun_ns));
        }
    }
    let known = core.shared.address(all).expect("it was chosen");
    Ok((connect(ring, &plan.addresses[known], plan.connect_timeout).await?, begun_ns))
}

async fn race(core: &Core) -> io::Result<(usize, Socket, u64)> {
    let (plan, ring) = (&core.plan, &core.ring);
    let mut attempts: Vec<Attempt<'_>> = Vec::new();
    let mut untried = plan.addresses.iter().enumerate();
    let (mut stagger, mut is_staggered) = (pin!(ring.sleep(ATTEMPT_DELAY)), false);
    let mut failure = None;
    poll_fn(|cx| {
        loop {
            let mut index = 0;
            while index < attempts.len() {
                match attempts[index].connecting.as_mut().poll(cx) {
                    Poll::Ready(Ok(socket)) => {
                        return Poll::Ready(Ok((attempts[index].address, socket, attempts[index].begun_ns)));
                    }
                    Poll::Ready(Err(error)) => {
                        attempts.remove(index);
                        is_staggered = false;
                        // Of several the first: it is that of the address which counts most.
                        failure.get_or_insert(error);
                    }
                    Poll::Pending => index += 1,
                }
            }
            if is_staggered && stagger.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            is_staggered = false;
            match untried.next() {
                Some((address, target)) => {
                    let connecting = Box::pin(connect(ring, target, plan.connect_timeout));
                    attempts.push(Attempt { address, begun_ns: core.now_ns(), connecting });
                    stagger.set(ring.sleep(ATTEMPT_DELAY));
                    is_staggered = true;
                }
                None if attempts.is_empty() => {
                    return Poll::Ready(Err(failure.take().expect("there is an address, and it was tried")));
                }
                // The last ones: only they can end this.
                None => return Poll::Pending,
            }
        }
    })
    .await
}

/// An attempt to connect to one of several addresses.
struct Attempt<'a> {
    address: usize,
    begun_ns: u64,
    connecting: Pin<Box<dyn Future<Output = io::Result<Socket>> + 'a>>,
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
