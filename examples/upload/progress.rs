//! The progress of uploads by id. Shared by all cores: an upload and the request for its progress are seldom
//! on the same one.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use quoit::http::status::Status;
use quoit::ring::Ring;
use quoit::service::{BodyFrame, CacheControl, ContentType, Path, Problem, Response, State, StreamBody};

use crate::App;

/// Uploads that are remembered. Completed ones make room.
const UPLOADS_MAX: usize = 1024;

/// Time between two lines; people do not read faster.
const LINE_EVERY: Duration = Duration::from_millis(200);

/// A page requests the progress when it begins to send: the upload may arrive second.
const APPEARS_WITHIN: Duration = Duration::from_secs(5);

const RECEIVING: u8 = 0;
const STORED: u8 = 1;
const FAILED: u8 = 2;

/// All uploads with an id.
#[derive(Default)]
pub(crate) struct Board {
    uploads: Mutex<HashMap<String, Arc<Upload>>>,
}

/// One of them.
#[derive(Default)]
struct Upload {
    received: AtomicU64,
    expected: Option<u64>,
    state: AtomicU8,
}

/// The upload's handle. Dropped before it is stored, the upload has failed.
#[derive(Default)]
pub(crate) struct Tracker(Option<Arc<Upload>>);

impl Board {
    /// Notes an upload; `expected` is the length of its request, if known.
    pub(crate) fn track(&self, id: Option<&str>, expected: Option<u64>) -> Result<Tracker, Problem> {
        let Some(id) = id else { return Ok(Tracker::default()) };
        if !is_id(id) {
            let detail = "must be 1 to 64 letters, digits, - and _";
            return Err(Problem::new(Status::BAD_REQUEST).detail(detail).field("progress", detail));
        }
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        if uploads.len() >= UPLOADS_MAX {
            uploads.retain(|_, upload| upload.state.load(Ordering::Relaxed) == RECEIVING);
        }
        if uploads.len() >= UPLOADS_MAX {
            // The upload is stored, but its progress is not tracked.
            return Ok(Tracker::default());
        }
        if uploads.get(id).is_some_and(|upload| upload.state.load(Ordering::Relaxed) == RECEIVING) {
            return Err(Problem::new(Status::CONFLICT).detail("an upload with this id is under way"));
        }
        let upload = Arc::new(Upload { expected, ..Upload::default() });
        uploads.insert(id.to_owned(), upload.clone());
        Ok(Tracker(Some(upload)))
    }

    fn find(&self, id: &str) -> Option<Arc<Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

impl Tracker {
    pub(crate) fn received(&self, bytes: usize) {
        if let Some(upload) = &self.0 {
            upload.received.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn stored(&self) {
        if let Some(upload) = &self.0 {
            upload.state.store(STORED, Ordering::Release);
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        if let Some(upload) = &self.0 {
            let _ = upload.state.compare_exchange(RECEIVING, FAILED, Ordering::Release, Ordering::Relaxed);
        }
    }
}

/// `GET /files/{id}/progress`.
pub(crate) async fn follow(app: State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let mut waited = Duration::ZERO;
    let upload = loop {
        if let Some(upload) = app.board.find(&id) {
            break upload;
        }
        if waited >= APPEARS_WITHIN || !is_id(&id) {
            return Err(Problem::new(Status::NOT_FOUND).detail("no upload has this id"));
        }
        app.ring.sleep(LINE_EVERY).await;
        waited += LINE_EVERY;
    };
    let lines = Lines { ring: app.ring.clone(), upload, told: None, pause: None };
    Ok(Response::stream(lines).with(ContentType("application/x-ndjson")).with(CacheControl::no_store()))
}

/// A line after each change, and a last one.
struct Lines {
    ring: Ring,
    upload: Arc<Upload>,
    /// State and bytes of the last line.
    told: Option<(u8, u64)>,
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl StreamBody for Lines {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            if self.told.is_some_and(|(state, _)| state != RECEIVING) {
                return Poll::Ready(None);
            }
            let state = self.upload.state.load(Ordering::Acquire);
            let now = (state, self.upload.received.load(Ordering::Relaxed));
            if state == RECEIVING {
                let ring = self.ring.clone();
                self.pause = Some(Box::pin(async move { ring.sleep(LINE_EVERY).await }));
            }
            if self.told.replace(now) != Some(now) {
                return Poll::Ready(Some(Ok(line(now, self.upload.expected).into())));
            }
        }
    }
}

fn line((state, received): (u8, u64), expected: Option<u64>) -> Bytes {
    let state = match state {
        RECEIVING => "receiving",
        STORED => "stored",
        _ => "failed",
    };
    let expected = expected.map_or_else(|| "null".to_owned(), |bytes| bytes.to_string());
    format!("{{\"state\":\"{state}\",\"received\":{received},\"expected\":{expected}}}\n").into()
}
