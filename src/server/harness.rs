//! Calls services without sockets, for tests of applications: the parser of connections reads the request,
//! and the response is returned whole.
//!
//! ```
//! use quoit::harness::{Call, on_core};
//! use quoit::service::Router;
//!
//! on_core(async |_core| {
//!     let routes = Router::new().get("/hello/{name}", async || "hi").build().expect("sound routes");
//!     let response = Call::get("/hello/you").header("Accept", "text/plain").send(&routes).await;
//!     assert_eq!((response.status(), response.text()), (200, "hi"));
//! });
//! ```

use std::future::{Future, poll_fn};
use std::panic::resume_unwind;

use bytes::Bytes;
use glommio::{LocalExecutorBuilder, Placement};
use thiserror::Error;

use crate::http::h1::{HeadProgress, RequestDecoder};
use crate::http::message::{HeadLimits, RequestError};
use crate::http::method::Method;
use crate::ring::{File, Ring, RingConfig};
use crate::service::{
    Body, Context, CoreContext, Drain, Frame, LocalValues, ProcessValues, Request, RequestBody, Response,
    Service, negotiate, settle,
};

/// Bytes of a file body that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// Runs `test` on a core of its own, with what handlers use on a worker: the ring, its clock, timers, files
/// and blocking work. Returns the result of `test`, and propagates its panic.
///
/// # Panics
/// If `test` does, or if the kernel refuses a ring.
pub fn on_core<T, F>(test: F) -> T
where
    F: AsyncFnOnce(CoreContext) -> T + Send + 'static,
    T: Send + 'static,
{
    let executor = LocalExecutorBuilder::new(Placement::Unbound).name("quoit-test");
    let running = executor.spawn(move || async move {
        let ring = Ring::new(RingConfig::default()).unwrap_or_else(|error| panic!("{error}"));
        let driver = ring.clone();
        glommio::spawn_local(async move { driver.drive().await }).detach();
        let context = CoreContext {
            ring: ring.clone(),
            worker: 0,
            drain: Drain::default(),
            process: ProcessValues::default(),
            local: LocalValues::default(),
            meters: None,
        };
        let result = caught(test(context)).await;
        ring.stop();
        result
    });
    match running.expect("an executor can be made").join() {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(error) => panic!("the executor was lost: {error}"),
    }
}

/// Catches a panic, because one that ended the executor's thread would lose its message.
async fn caught<T>(test: impl Future<Output = T>) -> std::thread::Result<T> {
    let mut test = std::pin::pin!(test);
    poll_fn(|cx| match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    })
    .await
}

/// A request to be sent to a service.
#[derive(Clone, Debug)]
pub struct Call {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Bytes,
}

impl Call {
    /// A request with this method and target.
    pub fn new(method: &str, target: &str) -> Self {
        let host = ("Host".to_owned(), "localhost".to_owned());
        Self { method: method.to_owned(), target: target.to_owned(), fields: vec![host], body: Bytes::new() }
    }

    /// GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// POST.
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// PUT.
    pub fn put(target: &str) -> Self {
        Self::new("PUT", target)
    }

    /// DELETE.
    pub fn delete(target: &str) -> Self {
        Self::new("DELETE", target)
    }

    /// With one more field; `Host` takes the place of `localhost`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if name.eq_ignore_ascii_case("host") {
            self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case("host"));
        }
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With a JSON body, already written, and its type.
    pub fn json(self, body: impl Into<Bytes>) -> Self {
        self.header("Content-Type", "application/json").body(body)
    }

    /// Sends it and waits for the whole response.
    ///
    /// # Panics
    /// If a server would refuse the request before it calls a service, or if the body fails.
    pub async fn send(self, service: &impl Service) -> Reply {
        let (context, body) = self.into_request();
        let is_head = context.method() == Method::Head;
        let request = Request::new(context.clone(), body);
        let mut response = match service.call_now(request) {
            Ok(response) => response,
            Err(request) => service.call(request).await,
        };
        settle(&context, &mut response);
        negotiate(context.head(), &mut response);
        Reply::read(response, is_head).await
    }

    /// Whether a server would call a service with it.
    ///
    /// # Errors
    /// Why it would refuse the request.
    pub fn check(&self) -> Result<(), CallError> {
        self.head().map(drop)
    }

    fn into_request(self) -> (Context, RequestBody) {
        let context = self.head().unwrap_or_else(|refusal| panic!("{refusal}"));
        (context, RequestBody::from_bytes(self.body))
    }

    fn head(&self) -> Result<Context, CallError> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || !matches!(&*self.method, "GET" | "HEAD") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut context = Context::take();
        let limits = HeadLimits::DEFAULT;
        match RequestDecoder::new().handle_bytes(head.as_bytes(), &limits, context.head_mut()) {
            Ok(HeadProgress::Complete { consumed }) if consumed == head.len() => Ok(context),
            Ok(HeadProgress::Complete { .. }) => Err(CallError::SeveralHeads(head)),
            Ok(HeadProgress::Incomplete) => Err(CallError::Incomplete(head)),
            Err(error) => Err(CallError::Refused { error, head }),
        }
    }
}

/// Why a server would not call a service with a request.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// Method, target and fields make more than one head.
    #[error("more than one head: {0}")]
    SeveralHeads(String),
    /// They make no whole head.
    #[error("not a whole head: {0}")]
    Incomplete(String),
    /// The head is refused.
    #[error("a server refuses this with {}: {error}\n{head}", .error.status().code())]
    Refused {
        /// Why.
        #[source]
        error: RequestError,
        /// The head.
        head: String,
    },
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
}

impl Reply {
    async fn read(mut response: Response, is_head: bool) -> Self {
        let mut trailers = Vec::new();
        let body = match response.take_body() {
            _ if is_head => Vec::new(),
            Body::Empty => Vec::new(),
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::File(file, range) => read_file(&file, range.start, range.end).await,
            Body::Stream(mut stream) => {
                let mut body = Vec::new();
                while let Some(frame) = poll_fn(|cx| stream.poll_frame(cx)).await {
                    match frame.expect("the body does not break off") {
                        Frame::Data(piece) => body.extend_from_slice(&piece),
                        Frame::Trailers(fields) => trailers = fields_of(fields.lines()),
                    }
                }
                body
            }
            // A tunnel needs a connection: without one there is only the head.
            Body::Tunnel(_) => Vec::new(),
        };
        Self { status: response.status().code(), fields: fields_of(response.fields()), body, trailers }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first value of a field, by name without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.fields.iter().find(named).map(|(_, value)| value.as_str())
    }

    /// All fields, in order.
    pub fn headers(&self) -> &[(String, String)] {
        &self.fields
    }

    /// The trailers, in order.
    pub fn trailers(&self) -> &[(String, String)] {
        &self.trailers
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it does not decode as a `T`.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }
}

async fn read_file(file: &File, mut at: u64, end: u64) -> Vec<u8> {
    let mut body = Vec::new();
    while at < end {
        let room = READ_BYTES.min((end - at) as usize);
        let mut piece = file.read_at(Vec::with_capacity(room), at).await.expect("the file can be read");
        assert!(!piece.is_empty(), "the file is as long as the response says");
        piece.truncate(room);
        at += piece.len() as u64;
        body.extend_from_slice(&piece);
    }
    body
}

fn fields_of(lines: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(lines);
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Json, RequestBody, Router};

    #[test]
    fn a_router_answers_without_sockets() {
        on_core(async |core| {
            let ring = core.ring.clone();
            let routes = Router::new()
                .post("/echo", async |body: RequestBody| Response::stream(body))
                .get("/off", async move || Json(ring.blocking(|| vec![1, 2]).await))
                .build()
                .unwrap();
            let echo = Call::post("/echo").body("abc").send(&routes).await;
            assert_eq!((echo.status(), echo.bytes()), (200, &b"abc"[..]));
            let off = Call::get("/off").send(&routes).await;
            assert_eq!((off.header("content-type"), off.json()), (Some("application/json"), vec![1, 2]));
            let head = Call::new("HEAD", "/off").send(&routes).await;
            assert_eq!((head.status(), head.bytes()), (200, &b""[..]));
        });
    }

    #[test]
    #[should_panic(expected = "on purpose")]
    fn a_panic_is_the_tests_own() {
        on_core(async |_| panic!("on purpose"));
    }

    #[test]
    #[should_panic(expected = "a server refuses this with 400")]
    fn a_malformed_request_is_told() {
        on_core(async |_| drop(Call::get("/a b").send(&(async |_: Request| Response::text(""))).await));
    }
}
