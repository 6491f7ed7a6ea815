//! The connections of one core to one endpoint: idle ones, the most recently used first, and the requests
//! that wait for one where their number is limited.
//!
//! The limit is of the process: cores count together, and a core that returns a connection while others wait
//! closes it instead of keeping it, so that none starves while another holds idle ones. Within a core a
//! connection is handed over directly; another core's is noticed within [`TICK`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::error::ExchangeFailure;
use super::exchange;
use super::h1::Link;
use super::h2::{H2Pool, Spoken};
use super::options::{PoolOptions, UpstreamOptions, UpstreamProtocol, UpstreamTls};
use super::state::EndpointState;
use crate::observe::log;
use crate::ring::{Ring, later};

/// Time between two looks at idle connections, and at what other cores have released.
const TICK: Duration = Duration::from_millis(32);

/// As [`TICK`], of connections whose number is not limited: how long after its time one is closed.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Counts one connection among those of its endpoint until it is dropped.
pub(crate) struct OpenCount {
    state: Arc<EndpointState>,
    /// Where a request may wait for its place.
    pool: Weak<EndpointPool>,
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, Relaxed);
        if self.state.queued.load(Relaxed) > 0
            && let Some(pool) = self.pool.upgrade()
        {
            pool.wake_first();
        }
    }
}

/// What a request gets to begin with.
pub(crate) enum Place {
    /// A connection that was kept.
    Kept(Box<Link>),
    /// Leave to open one.
    Open(OpenCount),
}

/// The connections of one core to one endpoint.
pub(crate) struct EndpointPool {
    state: Arc<EndpointState>,
    protocol: UpstreamProtocol,
    tls: Option<UpstreamTls>,
    #[expect(clippy::vec_box, reason = "a connection moves between here and its exchanges, as a pointer")]
    idle: RefCell<Vec<Box<Link>>>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
    h2: Rc<H2Pool>,
    /// The endpoint, which has the choice, does not choose HTTP/1.1 even for upgrades.
    refuses_http1: Cell<bool>,
    /// Connections are being opened that no request waits for.
    pub(super) is_warming: Cell<bool>,
    is_swept: Cell<bool>,
}

impl fmt::Debug for EndpointPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointPool({} idle)", self.idle.borrow().len())
    }
}

#[derive(Default)]
struct Waiter {
    link: Cell<Option<Box<Link>>>,
    waker: Cell<Option<Waker>>,
    has_left: Cell<bool>,
}

impl EndpointPool {
    pub(super) fn state(&self) -> &EndpointState {
        &self.state
    }

    /// The connections by HTTP/2.
    pub(super) fn h2(&self) -> &Rc<H2Pool> {
        &self.h2
    }

    /// Whether requests go by HTTP/2, as far as is known.
    pub(super) fn uses_http2(&self, needs_http1: bool) -> bool {
        let is_only = self.protocol == UpstreamProtocol::Http2 || self.refuses_http1.get();
        self.h2.spoken() != Some(Spoken::Http1) && (is_only || !needs_http1)
    }

    /// Notes that the endpoint has refused HTTP/1.1. Whether HTTP/2 may be tried instead.
    pub(super) fn speaks_http2_alone(&self) -> bool {
        self.refuses_http1.set(true);
        self.protocol == UpstreamProtocol::Auto && self.h2.spoken() != Some(Spoken::Http1)
    }

    /// Where an exchange may begin at once, if there is such a place.
    #[inline]
    pub(crate) fn take_now(
        &self,
        options: &PoolOptions,
        now: Instant,
        needs_http1: bool,
    ) -> Option<exchange::Link> {
        if self.uses_http2(needs_http1) {
            return self.h2.take_now(now).map(exchange::Link::H2);
        }
        self.take_idle(options, now).map(exchange::Link::H1)
    }

    /// The connection that was used last and may be used again.
    #[inline]
    pub(crate) fn take_idle(&self, options: &PoolOptions, now: Instant) -> Option<Box<Link>> {
        loop {
            let link = self.idle.borrow_mut().pop()?;
            // One that is not usable is closed by its drop, after the borrow.
            if link.is_usable(options, now) {
                return Some(link);
            }
        }
    }

    /// A place for a request: a kept connection, or leave to open one. Waits where the number is limited.
    ///
    /// # Errors
    /// Too many wait, or nothing became free in time.
    pub(crate) async fn place(
        self: &Rc<Self>,
        options: &PoolOptions,
        ring: &Ring,
        is_fresh: bool,
    ) -> Result<Place, ExchangeFailure> {
        if let Some(place) = self.place_now(options, ring.now(), is_fresh) {
            return Ok(place);
        }
        if self.state.queued.fetch_add(1, Relaxed) >= options.queue_max {
            self.state.queued.fetch_sub(1, Relaxed);
            return Err(ExchangeFailure::QueueFull);
        }
        let waiting = Waiting { waiter: Rc::default(), pool: self };
        self.waiting.borrow_mut().push_back(waiting.waiter.clone());
        let deadline = later(ring.now(), options.queue_time);
        loop {
            let mut tick = pin!(ring.sleep(TICK));
            let is_woken = poll_fn(|cx| {
                if let Some(link) = waiting.waiter.link.take() {
                    return Poll::Ready(Some(link));
                }
                if tick.as_mut().poll(cx).is_ready()
                    || self.is_first(&waiting.waiter) && self.has_room(options)
                {
                    return Poll::Ready(None);
                }
                waiting.waiter.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            });
            match is_woken.await {
                Some(link) if link.is_usable(options, ring.now()) => return Ok(Place::Kept(link)),
                // It was closed on its way here, and the place in the queue had been given up for it.
                Some(_) => self.waiting.borrow_mut().push_front(waiting.waiter.clone()),
                None => {}
            }
            // In the order in which they came.
            if self.is_first(&waiting.waiter)
                && let Some(open) = self.open_now(options)
            {
                return Ok(Place::Open(open));
            }
            if ring.now() >= deadline {
                return Err(ExchangeFailure::QueueTimeout);
            }
        }
    }

    /// As [`place`](Self::place), where nothing has to be waited for.
    pub(crate) fn place_now(
        self: &Rc<Self>,
        options: &PoolOptions,
        now: Instant,
        is_fresh: bool,
    ) -> Option<Place> {
        if !is_fresh && let Some(link) = self.take_idle(options, now) {
            return Some(Place::Kept(link));
        }
        if options.connections_max.is_some()
            && self.waiting.borrow().iter().any(|other| !other.has_left.get())
        {
            return None;
        }
        if is_fresh && !self.has_room(options) {
            // A kept connection makes room for a fresh one.
            let oldest = (!self.idle.borrow().is_empty()).then(|| self.idle.borrow_mut().remove(0));
            drop(oldest);
        }
        self.open_now(options).map(Place::Open)
    }

    /// Whether fewer connections are ready than are to be; one is enough by HTTP/2.
    pub(super) fn lacks_warm(&self, options: &PoolOptions, now: Instant) -> bool {
        if self.state.queued.load(Relaxed) > 0 {
            return false;
        }
        if self.uses_http2(false) {
            return !self.h2.has_connection();
        }
        let ready = self.idle.borrow().iter().filter(|link| link.is_usable(options, now)).count();
        ready < (options.warm as usize).min(options.idle_max)
    }

    fn has_room(&self, options: &PoolOptions) -> bool {
        options.connections_max.is_none_or(|max| self.state.open.load(Relaxed) < max)
    }

    /// Counts one more connection, if there may be one.
    pub(crate) fn open_now(self: &Rc<Self>, options: &PoolOptions) -> Option<OpenCount> {
        let max = options.connections_max.unwrap_or(u32::MAX);
        let add = |open: u32| (open < max).then_some(open + 1);
        self.state.open.fetch_update(Relaxed, Relaxed, add).ok()?;
        Some(OpenCount { state: self.state.clone(), pool: Rc::downgrade(self) })
    }

    /// Keeps a connection for another exchange, or closes it.
    pub(crate) fn give(self: &Rc<Self>, link: Box<Link>, options: &PoolOptions) {
        if self.state.queued.load(Relaxed) > 0 {
            while let Some(waiter) = self.waiting.borrow_mut().pop_front() {
                if !waiter.has_left.get() {
                    waiter.link.set(Some(link));
                    waiter.waker.take().into_iter().for_each(Waker::wake);
                    return;
                }
            }
            // Requests of other cores wait for its place.
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() < options.idle_max {
            idle.push(link);
            drop(idle);
            self.sweep_later(options);
        }
    }

    fn is_first(&self, waiter: &Rc<Waiter>) -> bool {
        let waiting = self.waiting.borrow();
        waiting.iter().find(|other| !other.has_left.get()).is_some_and(|first| Rc::ptr_eq(first, waiter))
    }

    fn wake_first(&self) {
        let first = self.waiting.borrow().iter().find(|other| !other.has_left.get()).cloned();
        first.and_then(|first| first.waker.take()).into_iter().for_each(Waker::wake);
    }

    /// Closes idle connections at their time, while there are any.
    fn sweep_later(self: &Rc<Self>, options: &PoolOptions) {
        if self.is_swept.replace(true) {
            return;
        }
        let Some(ring) = self.idle.borrow().first().map(|link| link.ring()) else { return };
        let (pool, options, tick) = (Rc::downgrade(self), *options, ring.clone());
        let every = if options.connections_max.is_some() { TICK } else { SWEEP_EVERY };
        let sweep = async move {
            loop {
                tick.sleep(every).await;
                let Some(pool) = pool.upgrade() else { return };
                if pool.sweep(&options, tick.now()) {
                    pool.is_swept.set(false);
                    return;
                }
            }
        };
        ring.spawn(sweep, |panic| {
            log::line(format_args!("the sweep of idle connections panicked: {}", log::panic_text(&*panic)));
        });
    }

    /// Closes what may not be used again, and what others wait for. Whether nothing is left.
    fn sweep(&self, options: &PoolOptions, now: Instant) -> bool {
        let is_wanted = self.state.queued.load(Relaxed) > 0;
        let mut idle = self.idle.take();
        let mut closed = idle.extract_if(.., |link| is_wanted || !link.is_usable(options, now));
        closed.by_ref().for_each(drop);
        drop(closed);
        // Nothing was kept meanwhile: drops keep no connection.
        let is_empty = idle.is_empty();
        self.idle.replace(idle);
        is_empty
    }
}

/// A place in the queue; left on drop.
struct Waiting<'a> {
    waiter: Rc<Waiter>,
    pool: &'a Rc<EndpointPool>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiter.has_left.set(true);
        self.pool.state.queued.fetch_sub(1, Relaxed);
        self.pool.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.waiter));
        // It may have been the first, or have got a connection that it no longer needs.
        match self.waiter.link.take() {
            Some(link) => {
                let mut waiting = self.pool.waiting.borrow_mut();
                match waiting.pop_front() {
                    Some(next) => {
                        next.link.set(Some(link));
                        next.waker.take().into_iter().for_each(Waker::wake);
                    }
                    None => self.pool.idle.borrow_mut().push(link),
                }
            }
            None => self.pool.wake_first(),
        }
    }
}

/// The pools of a core, those of all plans. Held weakly, so that a plan finds the connections to endpoints
/// that the plan before it has too.
#[derive(Default)]
pub(crate) struct LocalPools(RefCell<Vec<Weak<EndpointPool>>>);

impl LocalPools {
    /// The pool of an endpoint.
    pub(crate) fn pool(&self, state: &Arc<EndpointState>, options: &UpstreamOptions) -> Rc<EndpointPool> {
        let mut pools = self.0.borrow_mut();
        pools.retain(|pool| pool.strong_count() > 0);
        let is_it = |pool: &Rc<EndpointPool>| {
            Arc::ptr_eq(&pool.state, state) && pool.protocol == options.protocol && pool.tls == options.tls
        };
        if let Some(pool) = pools.iter().filter_map(Weak::upgrade).find(is_it) {
            return pool;
        }
        let pool = Rc::new(EndpointPool {
            state: state.clone(),
            protocol: options.protocol,
            tls: options.tls.clone(),
            idle: RefCell::default(),
            waiting: RefCell::default(),
            h2: H2Pool::new(options, state),
            refuses_http1: Cell::new(false),
            is_warming: Cell::new(false),
            is_swept: Cell::new(false),
        });
        pools.push(Rc::downgrade(&pool));
        pool
    }
}
