//! The service under test: each path is one behaviour of a handler.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use quoit::http::status::Status;
use quoit::service::{Body, BodyError, BodyFrame, Frame, Request, Response, Service, StreamBody};

use crate::common::pattern;

/// The service; clones share its gate and its count.
#[derive(Clone, Default)]
pub(crate) struct Lab {
    /// `/gate` answers once this is true.
    pub(crate) gate: Arc<AtomicBool>,
    /// Calls so far.
    pub(crate) calls: Arc<AtomicUsize>,
    /// Futures of `/hold`, which never ends by itself, that were dropped so far.
    pub(crate) dropped: Arc<AtomicUsize>,
}

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Lab {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Service for Lab {
    async fn call(&self, mut request: Request) -> Response {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let path = request.head().path().to_owned();
        let (name, argument) =
            path[1.min(path.len())..].split_once('/').unwrap_or((path.trim_matches('/'), ""));
        match name {
            "" => Response::text("Hello, World!"),
            "n" => Response::text(argument.to_owned()),
            "bytes" => Response::new(Status::OK).with_body(Body::Bytes(pattern(number(argument)).into())),
            "reflect" | "*" => reflect(&request),
            // Time is what their tests are about.
            "wait" => {
                glommio::timer::sleep(Duration::from_millis(number(argument) as u64)).await;
                Response::text("waited")
            }
            "later" => {
                glommio::timer::sleep(Duration::from_millis(number(argument) as u64)).await;
                count(&mut request).await
            }
            "panic" => panic!("a handler panics, as the test wants it to"),
            "hold" => {
                let _dropped = CountDrop(self.dropped.clone());
                std::future::pending::<Response>().await
            }
            "closing" => Response::text("bye").closing(),
            "gate" => {
                // The test has no other way into the core.
                while !self.gate.load(Ordering::Relaxed) {
                    glommio::timer::sleep(Duration::from_millis(2)).await;
                }
                Response::text("open")
            }
            "echo" => Response::stream(request.into_body()),
            "count" => count(&mut request).await,
            "all" => match request.body().read_all(number(argument)).await {
                Ok(body) => Response::text(body),
                Err(error) => Response::error(error.status(), &error.to_string()),
            },
            "ignore" => Response::text("ignored"),
            "bodiless" => {
                Response::text("not to be sent").with_status(Status::new(number(argument) as u16).unwrap())
            }
            "stream" => Response::stream(Pieces::from_script(argument)),
            _ => Response::error(Status::NOT_FOUND, "no such behaviour"),
        }
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or(0)
}

fn reflect(request: &Request) -> Response {
    let head = request.head();
    Response::text(format!("{} {} {} {:?}", head.method_str(), head.authority(), head.path(), head.query()))
}

/// Reads the body to its end; its length.
async fn count(request: &mut Request) -> Response {
    let mut length = 0;
    while let Some(piece) = request.body().next().await {
        match piece {
            Ok(piece) => length += piece.len(),
            Err(error) => return Response::error(error.status(), &error.to_string()),
        }
    }
    Response::text(format!("{length} bytes"))
}

/// A body that follows a script: `=N` announces N bytes, `N` is a piece of N bytes, `!` an error, `p` a
/// panic, `wN` a wait of N milliseconds and `~` a short one.
struct Pieces {
    length: Option<u64>,
    steps: VecDeque<String>,
    wait: Option<glommio::timer::Timer>,
}

impl Pieces {
    fn from_script(script: &str) -> Self {
        let mut steps: VecDeque<String> =
            script.split(',').filter(|step| !step.is_empty()).map(str::to_owned).collect();
        let length = steps.front().and_then(|step| step.strip_prefix('=')).map(|n| number(n) as u64);
        if length.is_some() {
            steps.pop_front();
        }
        Self { length, steps, wait: None }
    }

    fn wait(&mut self, milliseconds: usize, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        self.wait = Some(glommio::timer::Timer::new(Duration::from_millis(milliseconds as u64)));
        self.poll_frame(cx)
    }
}

impl StreamBody for Pieces {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        if let Some(wait) = &mut self.wait {
            if std::pin::Pin::new(wait).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.wait = None;
        }
        let Some(step) = self.steps.pop_front() else { return Poll::Ready(None) };
        match step.as_str() {
            "!" => Poll::Ready(Some(Err(BodyError::Disconnected))),
            "p" => panic!("a body panics, as the test wants it to"),
            "~" => self.wait(20, cx),
            step if step.starts_with('w') => self.wait(number(&step[1..]), cx),
            length => Poll::Ready(Some(Ok(Frame::Data(vec![b'x'; number(length)].into())))),
        }
    }

    fn length(&self) -> Option<u64> {
        self.length
    }
}
