//! Server-sent events (HTML Living Standard §9.2): a body that is written event by event, and stays alive
//! while there are none.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::body::{BodyFrame, Frame, StreamBody};
use super::fields::FieldBlock;
use super::local::LocalFuture;
use super::response::Response;
use super::writer::{BodyWriter, WriterClosed, WrittenBody};
use crate::http::status::Status;
use crate::ring::Ring;

const FIELDS: &[u8] = b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n";

/// An empty comment, which clients ignore.
const KEEP_ALIVE: &[u8] = b":\n\n";

/// Silence after which a comment is sent. Proxies cut streams that are silent for 30 to 60 seconds, and a
/// client that has vanished is found by what it does not acknowledge.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(15);

/// One event, or a comment. Whatever text it is given, it stays one event: every line of the data is sent as
/// one, and nothing else has more than one.
///
/// ```
/// use quoit::service::Event;
///
/// let event = Event::data("two\nlines").name("note").id("7");
/// assert_eq!(event.to_string(), "event: note\nid: 7\ndata: two\ndata: lines\n\n");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Event {
    fields: String,
    data: String,
}

impl Event {
    /// With this data, of any number of lines.
    pub fn data(text: impl AsRef<str>) -> Self {
        let mut data = String::new();
        for line in lines(text.as_ref()) {
            push(&mut data, "data", line);
        }
        Self { fields: String::new(), data }
    }

    /// With a value as JSON, in one line.
    ///
    /// # Errors
    /// The value's own: `Serialize` failed.
    pub fn json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self::data)
    }

    /// A comment, which clients ignore.
    pub fn comment(text: impl AsRef<str>) -> Self {
        let mut data = String::new();
        for line in lines(text.as_ref()) {
            push(&mut data, "", line);
        }
        Self { fields: String::new(), data }
    }

    /// With a name, for which the page has a listener; the rest of it from a line break on is left out.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        push(&mut self.fields, "event", first_line(name.as_ref()));
        self
    }

    /// With an id, which the client sends as `Last-Event-ID` when it connects again; as [`name`](Self::name).
    /// One with a NUL is ignored by clients.
    pub fn id(mut self, id: impl AsRef<str>) -> Self {
        push(&mut self.fields, "id", first_line(id.as_ref()));
        self
    }

    /// With the time after which the client connects again, in whole milliseconds.
    pub fn retry(mut self, after: Duration) -> Self {
        push(&mut self.fields, "retry", &after.as_millis().to_string());
        self
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{}", self.fields, self.data)
    }
}

fn push(out: &mut String, name: &str, value: &str) {
    out.extend([name, ": ", value, "\n"]);
}

/// Lines as clients see them: ended by CRLF, LF or CR.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn first_line(text: &str) -> &str {
    text.split(['\r', '\n']).next().unwrap_or_default()
}

/// Writes the events of a response made by [`Response::events`].
#[derive(Debug)]
pub struct EventWriter(BodyWriter);

impl EventWriter {
    /// Sends an event; returns once there was room for it, which is when the client has received those
    /// before.
    ///
    /// # Errors
    /// [`WriterClosed`], when the client has left.
    pub async fn send(&mut self, event: Event) -> Result<(), WriterClosed> {
        self.0.write(event.to_string()).await
    }
}

impl Response {
    /// 200 with server-sent events, which `work` sends: a future that runs as part of the exchange, as with
    /// [`written`](Self::written). After 15 seconds of silence a comment is sent.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use quoit::CoreContext;
    /// use quoit::service::{Event, EventWriter, Response, RouteErrors, Router, Routes};
    ///
    /// fn routes(core: &CoreContext) -> Result<Routes, RouteErrors> {
    ///     let (ring, drain) = (core.ring.clone(), core.drain.clone());
    ///     let ticks = async move || {
    ///         let (drain, clock) = (drain.clone(), ring.clone());
    ///         Response::events(&ring, async move |mut out: EventWriter| {
    ///             while !drain.has_begun() && out.send(Event::data("tick")).await.is_ok() {
    ///                 clock.sleep(Duration::from_secs(1)).await;
    ///             }
    ///         })
    ///     };
    ///     Router::new().get("/ticks", ticks).build()
    /// }
    /// # quoit::harness::on_core(async |core| drop(routes(&core).unwrap()));
    /// ```
    pub fn events<F: AsyncFnOnce(EventWriter) + 'static>(ring: &Ring, work: F) -> Self {
        let written = WrittenBody::by(|writer| Box::pin(async move { work(EventWriter(writer)).await }));
        let body = EventBody { written, ring: ring.clone(), pause: None };
        Self::new(Status::OK).with_fields(FieldBlock::Static(FIELDS)).with_stream(body)
    }
}

struct EventBody {
    written: WrittenBody,
    ring: Ring,
    /// Ends when the stream has been silent for too long; since the last frame.
    pause: Option<LocalFuture<'static, ()>>,
}

impl StreamBody for EventBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        if let Poll::Ready(frame) = self.written.poll_frame(cx) {
            self.pause = None;
            return Poll::Ready(frame);
        }
        let pause: &mut Pin<Box<dyn Future<Output = ()>>> = self.pause.get_or_insert_with(|| {
            let ring = self.ring.clone();
            Box::pin(async move { ring.sleep(KEEP_ALIVE_AFTER).await })
        });
        if pause.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.pause = None;
        Poll::Ready(Some(Ok(Frame::Data(Bytes::from_static(KEEP_ALIVE)))))
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) {
        self.written.poll_work(cx);
    }

    fn is_at_end(&self) -> bool {
        self.written.is_at_end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_event() {
        let cases = [
            (Event::data("a"), "data: a\n\n"),
            (Event::data(""), "data: \n\n"),
            (Event::data("a\r\nb\rc\n"), "data: a\ndata: b\ndata: c\ndata: \n\n"),
            (
                Event::data("x\n\nevent: evil\ndata: y"),
                "data: x\ndata: \ndata: event: evil\ndata: data: y\n\n",
            ),
            (Event::data("a").name("n\ndata: evil").id("1\r2"), "event: n\nid: 1\ndata: a\n\n"),
            (Event::data("a").retry(Duration::from_millis(1500)), "retry: 1500\ndata: a\n\n"),
            (Event::comment("here\nthere"), ": here\n: there\n\n"),
            (Event::json(&["a\nb"]).expect("text"), "data: [\"a\\nb\"]\n\n"),
        ];
        for (event, text) in cases {
            assert_eq!(event.to_string(), text);
        }
    }
}
