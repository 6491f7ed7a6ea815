//! One connection's task over HTTP/1.1: takes work from its seat, sends it, reads the answers, and tells the
//! books. Connects when there is something to send and no connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use quoit::ring::{Payload, RecvBuf};

use super::core::{Core, Next};
use super::record::{Fault, Flight};
use super::response::{Misdeed, Reader};
use super::transport::Stream;

/// Pause of a closed loop after a connection was refused: without it the loop would measure refusals.
const PAUSE: Duration = Duration::from_millis(10);

/// Connections of a core that are being opened at the start at the same time: within any server's backlog.
const OPENING_MAX: usize = 128;

/// ECANCELED, as `Ring::fail_sockets` ends waiting.
const CANCELLED: i32 = 125;

/// A connection's task.
pub(super) struct Connection {
    core: Rc<Core>,
    seat: usize,
    stream: Option<Stream>,
    reader: Reader,
    /// In the order of sending.
    flights: VecDeque<Flight>,
    /// Of them, those that wait to be sent: the last ones.
    unsent: usize,
    free_since_ns: u64,
    closing: bool,
}

enum Event {
    Mail,
    Input(RecvBuf),
    End(Option<io::Error>),
    Over,
}

pub(super) async fn run(core: Rc<Core>, seat: usize) {
    let mut connection = Connection {
        seat,
        stream: None,
        reader: Reader::default(),
        flights: VecDeque::with_capacity(core.plan.pipeline),
        unsent: 0,
        free_since_ns: 0,
        closing: false,
        core,
    };
    connection.open_first().await;
    connection.serve().await;
    let core = connection.core.clone();
    drop(connection);
    core.leave();
}

impl Connection {
    /// Opens the first connection before the run, and waits for its start.
    async fn open_first(&mut self) {
        let core = self.core.clone();
        while core.gate.settled.get() + OPENING_MAX <= self.seat {
            core.ring.sleep(Duration::from_millis(1)).await;
        }
        match self.connect().await {
            Ok(()) => core.gate.connected.set(core.gate.connected.get() + 1),
            Err(error) => *core.gate.refusal.borrow_mut() = Some(error.to_string()),
        }
        core.gate.settled.set(core.gate.settled.get() + 1);
        poll_fn(|cx| {
            core.poll_mail(self.seat, cx.waker());
            if core.gate.started.get() || core.gate.closed.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    async fn serve(&mut self) {
        loop {
            let over = self.take_work();
            if self.flights.is_empty() && over {
                return;
            }
            if self.unsent > 0 {
                if self.stream.is_none() && !self.reconnect().await {
                    continue;
                }
                if let Err(error) = self.send().await {
                    self.lose(&error, Fault::Write);
                    continue;
                }
            }
            match self.wait().await {
                Event::Mail | Event::Over => {}
                Event::Input(input) => self.handle_input(&input),
                Event::End(error) => self.handle_end(error),
            }
        }
    }

    /// Fills the pipeline; whether there will be nothing more.
    fn take_work(&mut self) -> bool {
        while self.flights.len() < self.core.plan.pipeline && !self.closing {
            match self.core.next_work(self.seat, self.free_since_ns) {
                Next::Now(flight) => {
                    self.flights.push_back(flight);
                    self.unsent += 1;
                }
                Next::Wait => {
                    if self.flights.is_empty()
                        && let Some(stream) = &self.stream
                    {
                        stream.set_deadline(None);
                    }
                    self.core.list(self.seat, self.free_since_ns);
                    return false;
                }
                Next::Over => return true,
            }
        }
        false
    }

    async fn connect(&mut self) -> io::Result<()> {
        let plan = &self.core.plan;
        let before = self.core.now_ns();
        let stream = Stream::connect(&self.core.ring, &plan.address, plan.connect_timeout).await?;
        let mut record = self.core.record.borrow_mut();
        record.connect.record(self.core.now_ns() - before);
        record.opened += 1;
        drop(record);
        self.reader = Reader::default();
        self.closing = false;
        self.stream = Some(stream);
        Ok(())
    }

    /// Connects for what waits to be sent, which fails if that does.
    async fn reconnect(&mut self) -> bool {
        if self.connect().await.is_ok() {
            let now_ns = self.core.now_ns();
            self.flights.iter_mut().for_each(|flight| flight.ready_ns = now_ns);
            return true;
        }
        self.fail_all(Fault::Connect);
        if self.core.is_closed_loop() {
            self.core.ring.sleep(PAUSE).await;
        }
        false
    }

    /// Sends what waits to be sent, all at once.
    async fn send(&mut self) -> io::Result<()> {
        let stream = self.stream.as_ref().expect("connected by the caller");
        stream.flush().await?;
        let core = &*self.core;
        let first = self.flights.len() - self.unsent;
        // A closed loop looked at the clock when it took the request.
        let now_ns = if core.is_closed_loop() { self.flights[first].ready_ns } else { core.now_ns() };
        let mut record = core.record.borrow_mut();
        let fixed = &core.fixed[self.flights[first].endpoint as usize];
        let payload = if let (1, Some(fixed)) = (self.unsent, fixed) {
            record.handle_sent(&mut self.flights[first], now_ns, fixed.len() as u64);
            Payload::Shared(fixed.clone())
        } else {
            let mut buffer = core.ring.take_buffer();
            for flight in self.flights.range_mut(first..) {
                let before = buffer.len();
                write_request(core, flight.endpoint as usize, &mut buffer);
                record.handle_sent(flight, now_ns, (buffer.len() - before) as u64);
            }
            Payload::Buffer(buffer)
        };
        self.unsent = 0;
        stream.start_send(payload);
        if first == 0 {
            stream.set_deadline(Some(core.plan.timeout));
        }
        Ok(())
    }

    /// Waits for input, or for work where there is room for it.
    async fn wait(&self) -> Event {
        let (core, seat) = (&*self.core, self.seat);
        let room = self.flights.len() < core.plan.pipeline && !self.closing;
        poll_fn(|cx| {
            if let Some(stream) = &self.stream {
                match stream.poll_recv(cx) {
                    Poll::Ready(Ok(Some(input))) => return Poll::Ready(Event::Input(input)),
                    Poll::Ready(Ok(None)) => return Poll::Ready(Event::End(None)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Event::End(Some(error))),
                    Poll::Pending => {}
                }
            }
            if room && core.poll_mail(seat, cx.waker()) {
                return Poll::Ready(Event::Mail);
            }
            let over = self.flights.is_empty() && core.is_over();
            if over { Poll::Ready(Event::Over) } else { Poll::Pending }
        })
        .await
    }

    fn handle_input(&mut self, mut input: &[u8]) {
        let core = self.core.clone();
        let now_ns = core.turn_ns();
        while !input.is_empty() {
            let Some(flight) = self.flights.front().filter(|flight| flight.sent_ns.is_some()) else {
                return self.handle_misdeed(Misdeed::Unasked);
            };
            let endpoint = flight.endpoint as usize;
            let is_head = core.plan.mix.specs()[endpoint].is_head;
            let read = self.reader.handle_bytes(input, is_head, &mut core.known.borrow_mut()[endpoint]);
            match read {
                Ok((used, None)) => input = &input[used..],
                Ok((used, Some(answer))) => {
                    input = &input[used..];
                    self.handle_answer(answer, now_ns);
                }
                Err(misdeed) => return self.handle_misdeed(misdeed),
            }
        }
        self.settle();
    }

    fn handle_answer(&mut self, answer: super::response::Answer, now_ns: u64) {
        let flight = self.flights.pop_front().expect("looked at by the caller");
        let core = &*self.core;
        core.shared.note_answer();
        let is_expected = core.plan.expect.accepts(answer.status);
        core.record.borrow_mut().handle_answer(&flight, answer, is_expected, now_ns, self.seat);
        self.free_since_ns = now_ns;
        self.closing |= answer.closes || core.plan.new_connections || core.is_churn_due(now_ns);
        if let Some(next) = self.flights.front()
            && let (Some(sent_ns), Some(stream)) = (next.sent_ns, &self.stream)
        {
            let passed = Duration::from_nanos(now_ns.saturating_sub(sent_ns));
            stream.set_deadline(Some(core.plan.timeout.saturating_sub(passed)));
        }
        if answer.closes {
            // RFC 9112, section 9.6: what was sent behind it is not answered.
            self.fail_all(Fault::Read);
        }
    }

    /// Drops a connection that is to be closed, once nothing is in flight on it.
    fn settle(&mut self) {
        if self.closing && self.flights.is_empty() {
            self.stream = None;
            self.closing = false;
        }
    }

    fn handle_misdeed(&mut self, misdeed: Misdeed) {
        self.core.shared.note_garbage(&misdeed.to_string());
        self.drop_stream();
        self.fail_all(Fault::Protocol);
    }

    fn handle_end(&mut self, error: Option<io::Error>) {
        if let Some(error) = error {
            return self.lose(&error, Fault::Read);
        }
        let now_ns = self.core.turn_ns();
        match self.reader.handle_end() {
            Ok(Some(answer)) if !self.flights.is_empty() => self.handle_answer(answer, now_ns),
            Ok(_) => {}
            Err(_) => self.drop_stream(),
        }
        self.drop_stream();
        self.fail_all(Fault::Read);
    }

    /// The connection failed.
    fn lose(&mut self, error: &io::Error, otherwise: Fault) {
        self.drop_stream();
        // A run that is broken off cancels what is in flight: that was not the server's fault.
        let cancelled = error.raw_os_error() == Some(CANCELLED);
        if error.kind() != io::ErrorKind::TimedOut && !cancelled {
            return self.fail_all(Fault::of(error, otherwise));
        }
        let now_ns = self.core.now_ns();
        let mut record = self.core.record.borrow_mut();
        self.flights.drain(..).for_each(|flight| record.handle_timeout(&flight, now_ns));
        drop(record);
        self.handle_freed(now_ns);
    }

    fn drop_stream(&mut self) {
        if self.stream.take().is_some() {
            self.core.record.borrow_mut().lost += 1;
        }
        self.closing = false;
    }

    fn fail_all(&mut self, fault: Fault) {
        let now_ns = self.core.now_ns();
        let mut record = self.core.record.borrow_mut();
        self.flights.drain(..).for_each(|flight| record.handle_fault(&flight, fault, now_ns));
        drop(record);
        self.handle_freed(now_ns);
    }

    fn handle_freed(&mut self, now_ns: u64) {
        self.unsent = 0;
        self.free_since_ns = now_ns;
    }
}

fn write_request(core: &Core, endpoint: usize, out: &mut Vec<u8>) {
    if let Some(fixed) = &core.fixed[endpoint] {
        return out.extend_from_slice(fixed);
    }
    let (filling, scratch) = &mut *core.filling.borrow_mut();
    core.plan.mix.specs()[endpoint].render(filling, scratch, out);
    filling.advance();
}
