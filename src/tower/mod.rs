//! Runs any [`tower_service::Service`] of `http` requests, such as an axum `Router`, on the workers (cargo
//! feature `tower`). To port an application, change its `main`.
//!
//! ```
//! # use std::convert::Infallible;
//! # use std::future::{Ready, ready};
//! # use std::task::{Context, Poll};
//! # #[derive(Clone)]
//! # struct App;
//! # impl tower_service::Service<http::Request<quoit::tower::Body>> for App {
//! #     type Response = http::Response<String>;
//! #     type Error = Infallible;
//! #     type Future = Ready<Result<Self::Response, Infallible>>;
//! #     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
//! #         Poll::Ready(Ok(()))
//! #     }
//! #     fn call(&mut self, _: http::Request<quoit::tower::Body>) -> Self::Future {
//! #         ready(Ok(http::Response::new("hello".to_owned())))
//! #     }
//! # }
//! # let app = App;
//! use quoit::Server;
//! use quoit::tower::TowerService;
//!
//! // `app` is an axum `Router`, or any other service that is `Clone + Send`.
//! let server = Server::new();
//! # if false {
//! server.run(move |_core| TowerService::new(app.clone())).unwrap();
//! # }
//! ```
//!
//! # Guarantees
//!
//! - The service is cloned for every request, made ready (`poll_ready`), and called. It and its futures stay
//!   on their core and need not be `Send`.
//! - Request bodies are pulled: a piece is received from the client when the service polls for it. Response
//!   bodies are pulled as fast as the client receives them. Trailers pass in both directions. An exact size
//!   hint becomes `Content-Length`; a `Content-Length` of the service is kept, and enforced.
//! - When a client disconnects, the service's future is dropped. A panic answers 500 and ends that connection
//!   alone; an error of the service (`Service::Error`) answers 500 and is logged.
//! - Framing, `Date` and connection-specific fields are the server's: such fields of a response are not sent,
//!   but `Connection: close` is obeyed.
//!
//! # Code that needs tokio
//!
//! The workers are not a tokio runtime. Channels, locks and plain futures work as they are; `tokio::time`,
//! `tokio::net` (and with it most database drivers and HTTP clients), `tokio::fs`, `tokio::spawn`,
//! `spawn_blocking` and axum's `Sse` with `KeepAlive` need one. So an application that uses any of them
//! gets a runtime on a thread of its own, which every poll enters ([`TowerService::within`]):
//!
//! ```no_run
//! # fn app() -> axum::Router {
//! #     axum::Router::new()
//! # }
//! use quoit::Server;
//! use quoit::tower::TowerService;
//! use tokio::runtime::Builder;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Timers, sockets, files and tasks of tokio live on its thread; requests stay on the workers.
//!     let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
//!     let (app, tokio) = (app(), runtime.handle().clone());
//!     Server::new().run(move |_core| {
//!         let tokio = tokio.clone();
//!         TowerService::new(app.clone()).within(move |poll| {
//!             let _entered = tokio.enter();
//!             poll();
//!         })
//!     })?;
//!     Ok(())
//! }
//! ```
//!
//! A handler itself still runs on its core, also between two waits. A wait for tokio costs a wake-up from the
//! other thread, which a handler that needs no tokio does not pay; what it costs all requests is a look into
//! a thread-local variable per poll. Tasks of `tokio::spawn` run on the runtime's thread
//! and are not ended by a drain: await what must be complete.
//!
//! Without a runtime the first use panics with "there is no reactor running": a 500 for that request, and a
//! line in the log.
//!
//! # Upgrades
//!
//! A request for a tunnel, by `Upgrade`, CONNECT or HTTP/2's extended CONNECT, carries hyper's `OnUpgrade` in
//! its extensions, which axum's `WebSocketUpgrade` uses. Where the service answers 101, or 2xx to a CONNECT,
//! further bytes of the client belong to the upgraded stream; any other response fails the `OnUpgrade`. axum
//! handles a WebSocket in a tokio task (`tokio::spawn`), so a runtime must be entered, as above; without one
//! the request fails with 500.
//!
//! Implementation: only hyper can make an `OnUpgrade`, so each such request gets a hyper server connection in
//! memory, which reads a constant request and, once the service has answered, a constant 101. The real
//! request and response never pass through it.
//!
//! - It costs one hyper connection, with two buffers of 8 KiB, per request for a tunnel, until its response;
//!   other requests cost nothing. Within the tunnel each direction is copied once more than in a tunnel of
//!   [`Response::upgrade`], under a lock that the application's thread shares.
//! - Both directions have back-pressure: 32 KiB written by the application are buffered for the client, and
//!   one piece from the client, of the size the connection reads, for the application.
//! - The tunnel ends when the application has closed its direction and the client has received what was
//!   written: input after that is not read.
//! - Over HTTP/2 axum requires `hyper::ext::Protocol` in the extensions where its own feature `http2` is on.
//!   That type is part of hyper's HTTP/2, which is not built here; an application that has it adds it with
//!   [`TowerService::extensions`] from
//!   [`RequestHead::protocol`](crate::http::message::RequestHead::protocol).
//!
//! # Limitations
//!
//! - axum's bounds on handlers apply here too: their futures must be `Send`, so they cannot hold what belongs
//!   to a core, such as its ring's timers. Other services can.

mod body;
mod fields;
mod request;
mod response;
mod upgrade;
mod within;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use http::Extensions;
use http_body::Body as HttpBody;

pub use self::body::Body;
use self::body::{Pump, Pumped};
use self::request::Refused;
use self::response::{BoxError, failed, respond, respond_with_tunnel};
use self::upgrade::Upgrade;
use self::within::{Held, HeldPinned, Within};
use crate::http::status::Status;
use crate::service::{Context, Request, Response, Service};

type Extend = dyn Fn(&Context, &mut Extensions);

/// A tower service as a [`Service`]; see the [module](self).
pub struct TowerService<S> {
    service: Held<S>,
    extend: Option<Box<Extend>>,
    within: Within,
}

impl<S> TowerService<S> {
    /// Serves `service`, cloned for every request.
    pub fn new(service: S) -> Self {
        let within = Within::default();
        Self { service: Held::new(service, &within), extend: None, within }
    }

    /// Lets `extend` add to the extensions of every request before the service is called. By default they are
    /// empty, because the first entry costs three allocations. An axum handler gets the peer's address so:
    ///
    /// ```ignore
    /// TowerService::new(app).extensions(|context, extensions| {
    ///     if let Some(addr) = context.peer().addr() {
    ///         extensions.insert(axum::extract::ConnectInfo(addr));
    ///     }
    /// })
    /// ```
    pub fn extensions(mut self, extend: impl Fn(&Context, &mut Extensions) + 'static) -> Self {
        self.extend = Some(Box::new(extend));
        self
    }

    /// Calls, polls and drops the service, its futures and its bodies inside `around`, which must call its
    /// argument: for applications that need a context, such as that of tokio's runtime.
    pub fn within(mut self, around: impl Fn(&mut dyn FnMut()) + 'static) -> Self {
        self.within = Within::new(around);
        self.service = Held::new(self.service.into_inner(), &self.within);
        self
    }

    /// The request for the service, and the pump of its body.
    fn take_over(&self, request: Request) -> Result<(http::Request<Body>, Option<Pump>), Refused> {
        let (context, body) = request.into_parts();
        let (body, pump) = Body::new(body);
        let mut taken = http::Request::new(body);
        request::fill(&mut taken, context.head())?;
        if let Some(extend) = &self.extend {
            extend(&context, taken.extensions_mut());
        }
        Ok((taken, pump))
    }
}

impl<S, B> Service for TowerService<S>
where
    S: tower_service::Service<http::Request<Body>, Response = http::Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody + 'static,
    B::Error: Into<BoxError>,
{
    async fn call(&self, request: Request) -> Response {
        let method = request.method();
        let offer = if upgrade::is_asked_for(request.head()) { Upgrade::offer() } else { None };
        let (mut offer, on_upgrade) = offer.unzip();
        let mut service = Held::new(self.within.run(|| S::clone(&self.service)), &self.within);
        let ready = poll_fn(|cx| service.run(|service| service.poll_ready(cx))).await;
        if let Err(error) = ready {
            return failed(error.into());
        }
        let (mut request, mut pump) = match self.take_over(request) {
            Ok(taken) => taken,
            Err(Refused::Method) => return Response::error(Status::NOT_IMPLEMENTED, "no such method"),
            Err(Refused::Target) => return Response::error(Status::BAD_REQUEST, "the target is no URI"),
        };
        if let Some(on_upgrade) = on_upgrade {
            request.extensions_mut().insert(on_upgrade);
        }
        let answer = pin!(Some(service.run(|service| service.call(request))));
        let mut answer = HeldPinned::new(answer, &self.within);
        poll_fn(|cx| {
            loop {
                match answer.poll(cx) {
                    Poll::Ready(Ok(answer)) => {
                        if response::opens_tunnel(method, answer.status())
                            && let Some(offer) = offer.take()
                        {
                            return Poll::Ready(respond_with_tunnel(answer, offer, &self.within));
                        }
                        return Poll::Ready(respond(answer, pump.take(), method, &self.within, cx));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(failed(error.into())),
                    Poll::Pending => {}
                }
                // The service may wait for its body: then it continues as soon as a frame is ready.
                if pump.as_mut().map_or(Pumped::Wait, |pump| pump.poll(cx)) == Pumped::Wait {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}
