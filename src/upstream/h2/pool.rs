//! The HTTP/2 connections of one core to one endpoint, and the requests that wait for room on one.
//!
//! One connection is opened at a time, and another only when those before it are full: requests that come at
//! once share a connection. Those that wait are served in the order in which they came.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::carrier::{Carrier, CarrierOwner};
use crate::net::Stream;
use crate::ring::{Ring, later};
use crate::upstream::error::ExchangeFailure;
use crate::upstream::exchange::Link;
use crate::upstream::options::{UpstreamOptions, UpstreamProtocol};
use crate::upstream::pool::EndpointPool;
use crate::upstream::state::EndpointState;
use crate::upstream::tls::is_http2;
use crate::upstream::{connect, h1};

/// Most connections of one core to one endpoint. An endpoint that takes 100 exchanges on each, as most do,
/// takes 800; one that takes few makes requests wait.
const CONNECTIONS_MAX: usize = 8;

/// Time between two looks at what other cores have released.
const TICK: Duration = Duration::from_millis(32);

/// What an endpoint has chosen, where it has the choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::upstream) enum Spoken {
    Http1,
    Http2,
}

#[derive(Default)]
struct Ticket {
    waker: Cell<Option<Waker>>,
    /// The connection that it waited for could not be made.
    failure: Cell<Option<ExchangeFailure>>,
}

/// Connections, and who waits for them.
pub(in crate::upstream) struct H2Pool {
    /// `None` while that is not known.
    spoken: Cell<Option<Spoken>>,
    carriers: RefCell<Vec<Rc<Carrier>>>,
    queue: RefCell<VecDeque<Rc<Ticket>>>,
    is_connecting: Cell<bool>,
    state: Arc<EndpointState>,
}

impl H2Pool {
    pub(in crate::upstream) fn new(options: &UpstreamOptions, state: &Arc<EndpointState>) -> Rc<Self> {
        let spoken = match options.protocol {
            UpstreamProtocol::Http2 => Some(Spoken::Http2),
            UpstreamProtocol::Auto if options.tls.is_some() => None,
            UpstreamProtocol::Auto | UpstreamProtocol::Http1 => Some(Spoken::Http1),
        };
        Rc::new(Self {
            spoken: Cell::new(spoken),
            carriers: RefCell::default(),
            queue: RefCell::default(),
            is_connecting: Cell::new(false),
            state: state.clone(),
        })
    }

    /// What the endpoint speaks, as far as is known.
    pub(in crate::upstream) fn spoken(&self) -> Option<Spoken> {
        self.spoken.get()
    }

    /// A connection with room, unless others wait for one.
    #[inline]
    pub(in crate::upstream) fn take_now(&self, now: Instant) -> Option<Rc<Carrier>> {
        if self.queue.borrow().is_empty() { self.find(now) } else { None }
    }

    fn find(&self, now: Instant) -> Option<Rc<Carrier>> {
        let found = self.carriers.borrow().iter().find(|carrier| carrier.has_room(now)).cloned();
        self.carriers.borrow_mut().retain(|carrier| !carrier.is_over());
        found
    }

    fn wake_all(&self) {
        for ticket in self.queue.borrow().iter() {
            ticket.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// A connection with room for an exchange, or one of HTTP/1.1 where that is what the endpoint speaks;
    /// `None` where another request has found that out. Waits for either.
    ///
    /// # Errors
    /// Nothing was sent.
    pub(in crate::upstream) async fn place(
        self: &Rc<Self>,
        of: &Rc<EndpointPool>,
        options: &UpstreamOptions,
        ring: &Ring,
        connect: impl AsyncFnOnce() -> Result<Stream, ExchangeFailure>,
    ) -> Result<Option<Link>, ExchangeFailure> {
        let state = of.state();
        if state.queued.fetch_add(1, Relaxed) >= options.pool.queue_max {
            state.queued.fetch_sub(1, Relaxed);
            return Err(ExchangeFailure::QueueFull);
        }
        let waiting = Waiting { ticket: Rc::default(), pool: self, of };
        self.queue.borrow_mut().push_back(waiting.ticket.clone());
        let deadline = later(ring.now(), options.pool.queue_time);
        loop {
            if let Some(failure) = waiting.ticket.failure.take() {
                return Err(failure);
            }
            if self.spoken.get() == Some(Spoken::Http1) {
                return Ok(None);
            }
            let is_first =
                self.queue.borrow().front().is_some_and(|first| Rc::ptr_eq(first, &waiting.ticket));
            if is_first {
                if let Some(carrier) = self.find(ring.now()) {
                    return Ok(Some(Link::H2(carrier)));
                }
                if self.may_connect()
                    && let Some(open) = of.open_now(&options.pool)
                {
                    let connecting = Connecting::begin(self);
                    let stream = connect().await;
                    drop(connecting);
                    return match stream {
                        Ok(stream) => Ok(Some(self.opened(stream, options, open))),
                        Err(failure) => {
                            self.fail(Some(&waiting.ticket), &failure);
                            Err(failure)
                        }
                    };
                }
            }
            // A connection that is being made has its own limits.
            if ring.now() >= deadline && !self.is_connecting.get() {
                return Err(ExchangeFailure::QueueTimeout);
            }
            let mut tick = pin!(ring.sleep(TICK));
            let mut is_new = true;
            poll_fn(|cx| {
                // Woken by a release, or by the clock.
                if !std::mem::take(&mut is_new) {
                    return Poll::Ready(());
                }
                waiting.ticket.waker.set(Some(cx.waker().clone()));
                tick.as_mut().poll(cx)
            })
            .await;
        }
    }

    /// Whether there is a connection, or one is being made.
    pub(in crate::upstream) fn has_connection(&self) -> bool {
        self.is_connecting.get() || self.carriers.borrow().iter().any(|carrier| !carrier.is_over())
    }

    /// Not before the SETTINGS of all connections have come, which have the time of a connection, nor while
    /// one of them allows no request.
    fn may_connect(&self) -> bool {
        let carriers = self.carriers.borrow();
        !self.is_connecting.get()
            && carriers.len() < CONNECTIONS_MAX
            && carriers.iter().all(|carrier| carrier.state.borrow().machine.is_open_to_requests())
    }

    /// A connection was made.
    pub(in crate::upstream) fn opened(
        self: &Rc<Self>,
        stream: Stream,
        options: &UpstreamOptions,
        open: impl std::any::Any,
    ) -> Link {
        let is_prior = options.tls.is_none();
        if !is_prior && !is_http2(&stream) {
            self.spoken.set(Some(Spoken::Http1));
            self.wake_all();
            return Link::H1(h1::Link::new(stream, open));
        }
        self.spoken.set(Some(Spoken::Http2));
        let weak: Weak<Self> = Rc::downgrade(self);
        let carrier = Carrier::start(stream, options, weak, open);
        self.carriers.borrow_mut().push(carrier.clone());
        Link::H2(carrier)
    }

    /// The connection that all wait for could not be made: each decides for itself what to do then.
    fn fail(&self, own: Option<&Rc<Ticket>>, failure: &ExchangeFailure) {
        let is_own = |ticket: &Rc<Ticket>| own.is_some_and(|own| Rc::ptr_eq(ticket, own));
        for ticket in self.queue.borrow().iter().filter(|ticket| !is_own(ticket)) {
            ticket.failure.set(Some(connect::copy_of(failure)));
            ticket.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl CarrierOwner for H2Pool {
    fn wake_first(&self) {
        let first = self.queue.borrow().front().cloned();
        first.and_then(|first| first.waker.take()).into_iter().for_each(Waker::wake);
    }

    fn is_wanted_elsewhere(&self) -> bool {
        self.state.queued.load(Relaxed) as usize > self.queue.borrow().len()
    }

    fn forget(&self, carrier: &Carrier) {
        self.carriers.borrow_mut().retain(|known| !std::ptr::eq(&**known, carrier));
        self.wake_first();
    }

    fn failed(&self, failure: &ExchangeFailure) {
        self.fail(None, failure);
    }
}

impl Drop for H2Pool {
    /// No plan uses them any more.
    fn drop(&mut self) {
        self.carriers.borrow().iter().for_each(|carrier| carrier.leave());
    }
}

/// A connection that is being made, until this is dropped.
struct Connecting<'a>(&'a H2Pool);

impl<'a> Connecting<'a> {
    fn begin(pool: &'a H2Pool) -> Self {
        pool.is_connecting.set(true);
        Self(pool)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.is_connecting.set(false);
        self.0.wake_first();
    }
}

/// A place in the queue; left on drop.
struct Waiting<'a> {
    ticket: Rc<Ticket>,
    pool: &'a H2Pool,
    of: &'a EndpointPool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.of.state().queued.fetch_sub(1, Relaxed);
        self.pool.queue.borrow_mut().retain(|ticket| !Rc::ptr_eq(ticket, &self.ticket));
        self.pool.wake_first();
    }
}
