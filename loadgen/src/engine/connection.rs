//! One connection's task, for any protocol: takes work from its seat, sends it, reads what comes, and
//! records the outcomes. Connects when there is something to send and no connection.

use std::fmt::Display;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use quoit::net::Stream;
use quoit::ring::{Payload, RecvBuf};

use super::core::{Core, Next};
use super::link::Link;
use super::record::{Fault, Flight};
use super::transport::{self, Refusal};

/// Pause of a closed loop after a connection was refused: without it the loop would measure refusals.
const PAUSE: Duration = Duration::from_millis(10);

/// Connections of a core that are being opened at the start at the same time: within any server's backlog.
const OPENING_MAX: usize = 128;

/// ECANCELED, as `Ring::fail_sockets` ends waiting.
const CANCELLED: i32 = 125;

/// A protocol's view of one connection: the requests on it, bytes to send, bytes that came. No sockets.
pub(super) trait Exchanges: Default {
    /// What a server did that the protocol does not allow; it costs the connection.
    type Misdeed: Display;

    /// A new connection stands: nothing is in flight, and what waited to be sent still does.
    fn handle_opened(&mut self, now_ns: u64);
    /// Requests that were sent and not answered.
    fn in_flight(&self) -> usize;
    /// Requests that wait to be sent.
    fn unsent(&self) -> usize;
    /// Requests that may be in flight, given what the plan allows.
    fn room(&self, planned: usize) -> usize;
    /// Takes a request to be sent.
    fn push(&mut self, flight: Flight);
    /// Whether there is something that can be sent now.
    fn wants_to_send(&self) -> bool;
    /// What is to be sent now.
    fn write(&mut self, link: &Link) -> Payload;
    /// Takes what came.
    ///
    /// # Errors
    /// See [`Misdeed`](Self::Misdeed).
    fn handle_input(&mut self, link: &mut Link, input: &[u8]) -> Result<(), Self::Misdeed>;
    /// The server ended the connection, which may be the end of an answer.
    fn handle_end(&mut self, link: &mut Link);
    /// When the request was sent that waits longest.
    fn oldest_ns(&self) -> Option<u64>;
    /// Gives up what waits too long, if the connection may go on without it.
    fn expire(&mut self, link: &mut Link) -> bool;
    /// All requests; none is left.
    fn take_all(&mut self) -> impl Iterator<Item = Flight>;
}

struct TargetConnection<E> {
    link: Link,
    stream: Option<Stream>,
    exchanges: E,
    /// The oldest request's instant of sending, for which the deadline is set.
    deadline_of_ns: Option<u64>,
}

enum Event {
    Mail,
    Flushed(io::Result<()>),
    Input(RecvBuf),
    End(Option<io::Error>),
    Over,
}

pub(super) async fn run<E: Exchanges>(core: Rc<Core>, seat: usize) {
    let link = Link { core: core.clone(), seat, free_since_ns: 0, closing: false };
    let mut connection =
        TargetConnection { link, stream: None, exchanges: E::default(), deadline_of_ns: None };
    connection.open_first().await;
    connection.serve().await;
    drop(connection);
    core.leave();
}

impl<E: Exchanges> TargetConnection<E> {
    /// Opens the first connection before the run, and waits for its start.
    async fn open_first(&mut self) {
        let (core, seat) = (self.link.core.clone(), self.link.seat);
        while core.gate.settled.get() + OPENING_MAX <= seat {
            core.ring.sleep(Duration::from_millis(1)).await;
        }
        match self.connect().await {
            Ok(()) => core.gate.connected.set(core.gate.connected.get() + 1),
            Err(refusal) => *core.gate.refusal.borrow_mut() = Some(refusal),
        }
        core.gate.settled.set(core.gate.settled.get() + 1);
        poll_fn(|cx| {
            core.poll_mail(seat, cx.waker());
            if core.gate.started.get() || core.gate.closed.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    async fn serve(&mut self) {
        loop {
            self.link.core.worked.set(self.link.core.worked.get() + 1);
            let over = self.take_work();
            if self.in_hand() == 0 && over {
                return;
            }
            if self.stream.is_none() && self.exchanges.unsent() > 0 && !self.reconnect().await {
                continue;
            }
            if self.stream.is_some()
                && self.exchanges.wants_to_send()
                && let Err(error) = self.send().await
            {
                self.lose(&error, Fault::Write);
                continue;
            }
            match self.wait().await {
                Event::Mail | Event::Over | Event::Flushed(Ok(())) => {}
                Event::Flushed(Err(error)) => self.lose(&error, Fault::Write),
                Event::Input(input) => self.handle_input(&input),
                Event::End(error) => self.handle_end(error),
            }
        }
    }

    fn in_hand(&self) -> usize {
        self.exchanges.in_flight() + self.exchanges.unsent()
    }

    fn has_room(&self) -> bool {
        !self.link.closing && self.in_hand() < self.exchanges.room(self.link.core.plan.pipeline)
    }

    /// Fills the connection; whether there will be nothing more.
    fn take_work(&mut self) -> bool {
        while self.has_room() {
            match self.link.core.next_work(self.link.seat, self.link.free_since_ns) {
                Next::Now(flight) => self.exchanges.push(flight),
                Next::Wait => {
                    if self.in_hand() == 0
                        && let Some(stream) = &self.stream
                    {
                        stream.set_deadline(None);
                        self.deadline_of_ns = None;
                    }
                    self.link.core.list(self.link.seat, self.link.free_since_ns);
                    return false;
                }
                Next::Over => return true,
            }
        }
        false
    }

    async fn connect(&mut self) -> Result<(), Refusal> {
        self.stream = Some(transport::open(&self.link.core).await?);
        self.exchanges.handle_opened(self.link.core.now_ns());
        self.link.closing = false;
        self.deadline_of_ns = None;
        Ok(())
    }

    /// Connects for what waits to be sent, which fails if that does.
    async fn reconnect(&mut self) -> bool {
        let (core, seat) = (self.link.core.clone(), self.link.seat);
        let connected = {
            let mut connecting = pin!(self.connect());
            poll_fn(|cx| {
                if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                    return Poll::Ready(Some(connected));
                }
                // A connection that is not there yet cannot be cancelled with the others.
                core.poll_mail(seat, cx.waker());
                if core.gate.closed.get() { Poll::Ready(None) } else { Poll::Pending }
            })
            .await
        };
        match connected {
            Some(Ok(())) => return true,
            Some(Err(refusal)) => self.link.fail(self.exchanges.take_all(), refusal.fault),
            None => {
                self.link.leave_unfinished(self.exchanges.take_all());
                return false;
            }
        }
        if self.link.core.is_closed_loop() {
            self.link.core.ring.sleep(PAUSE).await;
        }
        false
    }

    /// Sends what is to be sent, unless what was sent before has not left yet.
    async fn send(&mut self) -> io::Result<()> {
        let stream = self.stream.as_ref().expect("looked at by the caller");
        if let Poll::Ready(flushed) = poll_fn(|cx| Poll::Ready(stream.poll_flush(cx))).await {
            flushed?;
            let was_idle = self.exchanges.in_flight() == 0;
            stream.start_send(self.exchanges.write(&self.link));
            let oldest_ns = self.exchanges.oldest_ns();
            if was_idle && oldest_ns.is_some() {
                self.deadline_of_ns = oldest_ns;
                stream.set_deadline(Some(self.link.core.plan.timeout));
            }
        }
        Ok(())
    }

    /// Moves the deadline to that of the oldest request.
    fn keep_deadline(&mut self) {
        let oldest_ns = self.exchanges.oldest_ns();
        if oldest_ns == self.deadline_of_ns {
            return;
        }
        self.deadline_of_ns = oldest_ns;
        if let (Some(sent_ns), Some(stream)) = (oldest_ns, &self.stream) {
            let passed = Duration::from_nanos(self.link.core.turn_ns().saturating_sub(sent_ns));
            stream.set_deadline(Some(self.link.core.plan.timeout.saturating_sub(passed)));
        }
    }

    /// Waits for input, for work where there is room for it, and until what is to be sent can be.
    async fn wait(&self) -> Event {
        let (core, seat, has_room) = (&*self.link.core, self.link.seat, self.has_room());
        let wants_to_send = self.exchanges.wants_to_send();
        poll_fn(|cx| {
            if let Some(stream) = &self.stream {
                match stream.poll_recv(cx) {
                    Poll::Ready(Ok(Some(input))) => return Poll::Ready(Event::Input(input)),
                    Poll::Ready(Ok(None)) => return Poll::Ready(Event::End(None)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Event::End(Some(error))),
                    Poll::Pending => {}
                }
                if wants_to_send && let Poll::Ready(flushed) = stream.poll_flush(cx) {
                    return Poll::Ready(Event::Flushed(flushed));
                }
            }
            if has_room && core.poll_mail(seat, cx.waker()) {
                return Poll::Ready(Event::Mail);
            }
            let over = self.in_hand() == 0 && core.is_over();
            if over { Poll::Ready(Event::Over) } else { Poll::Pending }
        })
        .await
    }

    fn handle_input(&mut self, input: &[u8]) {
        let core = &*self.link.core;
        core.record.borrow_mut().handle_received(input.len(), core.is_within(core.turn_ns()));
        match self.exchanges.handle_input(&mut self.link, input) {
            Ok(()) if self.link.closing && self.exchanges.in_flight() == 0 => {
                self.stream = None;
                self.link.closing = false;
            }
            Ok(()) => {
                if self.exchanges.in_flight() > 0 {
                    self.keep_deadline();
                }
            }
            Err(misdeed) => {
                self.link.core.shared.note_garbage(&misdeed.to_string());
                if self.exchanges.in_flight() == 0 {
                    self.link.core.record.borrow_mut().connections.unasked += 1;
                }
                self.drop_stream();
                self.link.fail(self.exchanges.take_all(), Fault::Protocol);
            }
        }
    }

    fn handle_end(&mut self, error: Option<io::Error>) {
        if let Some(error) = error {
            return self.lose(&error, Fault::Read);
        }
        self.exchanges.handle_end(&mut self.link);
        self.drop_stream();
        self.link.fail(self.exchanges.take_all(), Fault::Read);
    }

    /// The connection failed, or its deadline came.
    fn lose(&mut self, error: &io::Error, otherwise: Fault) {
        let is_late = error.kind() == io::ErrorKind::TimedOut;
        if is_late && self.exchanges.expire(&mut self.link) {
            self.deadline_of_ns = None;
            return self.keep_deadline();
        }
        self.drop_stream();
        if is_late {
            self.link.time_out(self.exchanges.take_all());
        } else if error.raw_os_error() == Some(CANCELLED) {
            // By the end of the run, which is not the server's fault.
            self.link.leave_unfinished(self.exchanges.take_all());
        } else {
            self.link.fail(self.exchanges.take_all(), Fault::of(error, otherwise));
        }
    }

    fn drop_stream(&mut self) {
        if self.stream.take().is_some() {
            self.link.core.record.borrow_mut().connections.lost += 1;
        }
        self.link.closing = false;
    }
}
