//! Accepting: one task per listener. Over capacity a connection gets a clean 503; out of descriptors the
//! listener pauses instead of spinning.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::h1::{self, Switched, TurnedAway};
use super::h2;
use super::tls;
use crate::exchange::Worker;
use crate::http::status::Status;
use crate::net::Stream;
use crate::net::tls::TlsServer;
use crate::observe::log;
use crate::ring::{Listener, Waits};
use crate::service::{Drain, Service};

/// Pause after an accept that failed for lack of descriptors or memory: long enough for connections to end,
/// short enough that no client's connect times out.
const REST: Duration = Duration::from_millis(100);

/// Turns of the ring, or pauses for lack of descriptors, in which the last connections of a listener are
/// accepted before it closes. One turn takes all there are.
const LAST_TURNS_MAX: u32 = 8;

/// Idle connections that are closed when descriptors run out, and the pause until they are.
const DISMISSED_MAX: usize = 16;
const SHORT_REST: Duration = Duration::from_millis(1);

/// Connections over capacity that are answered 503 at the same time; further ones are reset.
const REFUSALS_MAX: usize = 64;

/// Time for a connection over capacity to send its request.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

const OVER_CAPACITY: TurnedAway = TurnedAway {
    status: Status::SERVICE_UNAVAILABLE,
    detail: "all connections are in use; try again in a moment",
    retry_after: Some("1"),
    within: REFUSAL_TIMEOUT,
};

/// A listener of this worker.
pub(super) struct WorkerListener {
    pub(super) number: u64,
    pub(super) listener: Listener,
    /// Of the connections that it accepts next.
    pub(super) tls: RefCell<Option<Arc<TlsServer>>>,
    /// Begins when it is to accept nothing more, although the worker goes on.
    pub(super) retired: Drain,
}

/// Counts a connection as open for as long as it lives.
struct Open<S>(Rc<Worker<S>>);

impl<S> Drop for Open<S> {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

/// Counts a listener as one that may accept, for as long as its task lives.
struct Accepting<S>(Rc<Worker<S>>);

impl<S> Drop for Accepting<S> {
    fn drop(&mut self) {
        self.0.accepting.set(self.0.accepting.get() - 1);
    }
}

/// Accepts until the drain begins or the listener is retired, and then what has come or is on its way.
pub(super) async fn run<S: Service>(worker: Rc<Worker<S>>, of: Rc<WorkerListener>) {
    let listener = &of.listener;
    let accepting = Accepting(worker);
    let worker = &accepting.0;
    {
        let (mut drain, mut retired) = (pin!(worker.drain.begun()), pin!(of.retired.begun()));
        loop {
            let accepted = poll_fn(|cx| match listener.poll_accept(cx) {
                Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
                Poll::Pending if retired.as_mut().poll(cx).is_ready() => Poll::Ready(None),
                Poll::Pending => drain.as_mut().poll(cx).map(|()| None),
            });
            match accepted.await {
                None => break,
                Some(Ok(fd)) => {
                    admit(worker, fd, of.tls.borrow().as_ref());
                    if worker.open.get() > worker.connections_max.get() + REFUSALS_MAX / 2 {
                        // Those that were dismissed end first.
                        worker.ring.next_turn().await;
                    }
                }
                Some(Err(error)) => recover(worker, &error).await,
            }
        }
    }
    listener.refuse_new();
    let tls = of.tls.borrow().clone();
    accept_last(worker, listener, tls.as_ref()).await;
}

/// Accepts what is being set up, for a time of grace, and then what the kernel still has.
async fn accept_last<S: Service>(worker: &Rc<Worker<S>>, listener: &Listener, tls: Option<&Arc<TlsServer>>) {
    let grace = worker.limits().drain_grace;
    let quiet = |at| worker.ring.now().saturating_duration_since(at);
    let left = worker.accepted_at.get().map_or(Duration::ZERO, |at| grace.saturating_sub(quiet(at)));
    let mut end = pin!(worker.ring.sleep(left.max(grace / 5)));
    let mut turns = 0;
    let mut is_over = false;
    while turns < LAST_TURNS_MAX {
        let accepted = poll_fn(|cx| match listener.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending if is_over => Poll::Ready(None),
            Poll::Pending => end.as_mut().poll(cx).map(|()| None),
        });
        match accepted.await {
            Some(Ok(fd)) => admit(worker, fd, tls),
            // A Unix socket that refuses has no more.
            Some(Err(error)) if error.raw_os_error() == Some(libc::EINVAL) => return,
            Some(Err(error)) => {
                recover(worker, &error).await;
                turns += 1;
            }
            None => {
                is_over = true;
                if !listener.has_waiting() {
                    return;
                }
                turns += 1;
                worker.ring.next_turn().await;
            }
        }
    }
}

fn admit<S: Service>(worker: &Rc<Worker<S>>, fd: OwnedFd, tls: Option<&Arc<TlsServer>>) {
    worker.counters.accepted.bump();
    worker.accepted_at.set(Some(worker.ring.now()));
    let open = worker.open.get() + 1;
    // Room is made by the client that has asked for nothing for the longest time.
    let has_room = open <= worker.connections_max.get() || worker.ring.dismiss_waiting(Waits::No);
    if open > worker.connections_max.get() + REFUSALS_MAX {
        worker.counters.over_capacity.bump();
        return;
    }
    worker.open.set(open);
    let guard = Open(worker.clone());
    let socket = worker.ring.adopt(fd);
    let on_panic = {
        let worker = worker.clone();
        move |panic: Box<dyn std::any::Any + Send>| {
            worker.counters.panics.bump();
            log::line(format_args!("a connection panicked and was closed: {}", log::panic_text(&*panic)));
        }
    };
    if !has_room {
        worker.counters.over_capacity.bump();
        // A client that begins with TLS cannot read a plain response.
        if tls.is_none() {
            let opened = h1::open(worker, Stream::from(socket));
            worker
                .ring
                .spawn(async move { h1::turn_away(&guard.0, opened, None, OVER_CAPACITY).await }, on_panic);
        }
    } else {
        socket.set_waits(if tls.is_some() { Waits::Handshake } else { Waits::Request });
        match tls.cloned() {
            None => {
                let opened = h1::open(worker, Stream::from(socket));
                worker.ring.spawn(async move { serve_h1(&guard.0, opened).await }, on_panic);
            }
            Some(tls) => {
                // Its memory is released before the first request.
                let shaken = Box::pin({
                    let worker = worker.clone();
                    async move { tls::handshake(&worker, socket, tls).await }
                });
                worker.ring.spawn(
                    async move {
                        let Some(stream) = shaken.await else { return };
                        match begin(&guard.0, stream) {
                            NegotiatedProtocol::H1(opened) => serve_h1(&guard.0, opened).await,
                            NegotiatedProtocol::H2(switched) => serve_h2(&guard.0, *switched).await,
                        }
                    },
                    on_panic,
                );
            }
        }
    }
}

async fn serve_h1<S: Service>(worker: &Rc<Worker<S>>, opened: h1::NewConnection) {
    if let Some(switched) = h1::serve(worker, opened).await {
        serve_h2(worker, *switched).await;
    }
}

/// The protocol of a connection, by ALPN; HTTP/1.1 may still turn out to be an HTTP/2 preface.
enum NegotiatedProtocol {
    H1(h1::NewConnection),
    H2(Box<Switched>),
}

/// A plain function, so that the connection's future has no room for the stream.
fn begin<S>(worker: &Worker<S>, stream: Stream) -> NegotiatedProtocol {
    if stream.tls().is_some_and(|tls| tls.protocol() == Some(b"h2")) {
        NegotiatedProtocol::H2(Box::new(Switched { stream, early: Vec::new(), input: None }))
    } else {
        NegotiatedProtocol::H1(h1::open(worker, stream))
    }
}

/// Boxed, because an idle HTTP/1 connection would keep room for it.
fn serve_h2<S: Service>(worker: &Rc<Worker<S>>, switched: Switched) -> Pin<Box<impl Future<Output = ()>>> {
    let Switched { stream, early, input } = switched;
    Box::pin(h2::serve(worker, stream, early, input))
}

async fn recover<S: Service>(worker: &Rc<Worker<S>>, error: &io::Error) {
    match error.raw_os_error() {
        // The peer closed before the accept: nothing to do.
        Some(libc::ECONNABORTED | libc::EPROTO | libc::EINTR) => {}
        _ => {
            worker.counters.accept_failures.bump();
            // At powers of two, so that a flood of failures does not become a flood of lines.
            if worker.counters.accept_failures.count().is_power_of_two() {
                log::line(format_args!(
                    "accepting failed ({error}), {} times so far; raise the descriptor limit (ulimit -n, \
                     LimitNOFILE=) or lower the number of connections",
                    worker.counters.accept_failures.count()
                ));
            }
            let dismissed = (0..DISMISSED_MAX).take_while(|_| worker.ring.dismiss_waiting(Waits::No)).count();
            worker.ring.sleep(if dismissed > 0 { SHORT_REST } else { REST }).await;
        }
    }
}
