//! An ordinary axum application: routes, path, query, JSON, state, a middleware, streams, and tokio's timers,
//! tasks, files and sockets. Knows no server.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, stream};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};

/// The notes, shared by all cores as they would be by tokio's threads.
#[derive(Clone, Default)]
struct Notes(Arc<RwLock<BTreeMap<u64, Note>>>);

impl Notes {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Note>> {
        self.0.read().expect("no handler panics while it writes")
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Note>> {
        self.0.write().expect("no handler panics while it writes")
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Note {
    #[serde(skip_deserializing)]
    id: u64,
    text: String,
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    contains: String,
}

/// The application.
pub(crate) fn app() -> Router {
    Router::new()
        .route("/", get(async || "Hello, World!"))
        .route("/notes", get(search).post(add))
        .route("/notes/{id}", get(show).delete(remove))
        .route("/echo", post(echo))
        .route("/measure", post(measure))
        .route("/ticks", get(ticks))
        .route("/kernel", get(kernel))
        .layer(middleware::from_fn(timing))
        .with_state(Notes::default())
}

async fn search(State(notes): State<Notes>, Query(search): Query<Search>) -> Json<Vec<Note>> {
    let notes = notes.read();
    Json(notes.values().filter(|note| note.text.contains(&search.contains)).cloned().collect())
}

async fn add(State(notes): State<Notes>, Json(mut note): Json<Note>) -> impl IntoResponse {
    let mut notes = notes.write();
    note.id = notes.last_key_value().map_or(1, |(id, _)| id + 1);
    notes.insert(note.id, note.clone());
    (StatusCode::CREATED, [(header::LOCATION, format!("/notes/{}", note.id))], Json(note))
}

async fn show(State(notes): State<Notes>, Path(id): Path<u64>) -> Result<Json<Note>, StatusCode> {
    notes.read().get(&id).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn remove(State(notes): State<Notes>, Path(id): Path<u64>) -> StatusCode {
    match notes.write().remove(&id) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

/// Echoes the body as it arrives, trailers included.
async fn echo(body: Body) -> Body {
    body
}

/// Counts what is uploaded, in constant memory.
async fn measure(mut body: Body) -> Result<String, (StatusCode, String)> {
    let (mut bytes, mut trailers) = (0, HeaderMap::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        match frame.into_data() {
            Ok(data) => bytes += data.len(),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    let sum = trailers.get("x-sum").and_then(|sum| sum.to_str().ok()).unwrap_or("none");
    Ok(format!("{bytes} bytes, sum {sum}"))
}

/// An event every tenth of a second, by tokio's clock.
async fn ticks() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = stream::unfold(1_u64, async |tick| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok(Event::default().data(tick.to_string())), tick + 1))
    });
    Sse::new(ticks).keep_alive(KeepAlive::default())
}

/// The version of the kernel, read by a task of its own.
async fn kernel() -> Result<String, StatusCode> {
    let read = tokio::spawn(tokio::fs::read_to_string("/proc/sys/kernel/osrelease"));
    let version = read.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    version.map_err(|_| StatusCode::NOT_FOUND)
}

/// A middleware that measures the time of the handler.
async fn timing(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let mut response = next.run(request).await;
    let took = format!("app;dur={:.3}", began.elapsed().as_secs_f64() * 1000.0);
    if let Ok(took) = HeaderValue::from_str(&took) {
        response.headers_mut().insert("server-timing", took);
    }
    response
}
