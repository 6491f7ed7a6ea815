//! The handlers that store files: pieces from the network are gathered to a step, which is written on a
//! thread beside the core. Meanwhile nothing is received, so a slow disk slows down its client alone.

use std::io;

use bytes::Bytes;
use quoit::http::status::Status;
use quoit::ring::Ring;
use quoit::service::{
    Headers, IntoResponse, Json, Multipart, Path, Problem, Query, Redirect, RequestBody, Response, State,
};
use serde::{Deserialize, Serialize};

use crate::App;
use crate::names::FileName;
use crate::page::wants_html;
use crate::progress::Tracker;
use crate::store::{PublishError, Staged, Stored};

/// Bytes per write: enough to amortize the switch to another thread, little enough to hold per upload.
const STEP_BYTES: usize = 512 * 1024;

/// `?progress={id}`.
#[derive(Deserialize)]
pub(crate) struct Options {
    progress: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    stored: Vec<Stored>,
}

/// `GET /files`.
pub(crate) async fn list(app: State<App>) -> Result<Json<Vec<Stored>>, Problem> {
    let store = app.store.clone();
    app.ring.blocking(move || store.list()).await.map(Json).map_err(disk)
}

/// `PUT /files/{name}`.
pub(crate) async fn put(
    app: State<App>,
    Path(name): Path<String>,
    Query(options): Query<Options>,
    headers: Headers,
    mut body: RequestBody,
) -> Result<Response, Problem> {
    let name = checked("name", &name)?;
    let replaces = headers.get("if-none-match") != Some(b"*");
    let tracker = app.board.track(options.progress.as_deref(), body.length())?;
    let mut writer = Writer::begin(&app).await?;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| Problem::new(error.status()).detail(error.to_string()))?;
        tracker.received(piece.len());
        writer.take(piece).await?;
    }
    let staged = writer.finish().await?;
    let published = publish(&app, vec![(name, staged)], replaces, &tracker).await;
    let published = published.map_err(|problem| match problem.status() {
        // A failed condition of the request (RFC 9110 §13.1.2).
        Status::CONFLICT if !replaces => {
            Problem::new(Status::PRECONDITION_FAILED).detail(problem.detail_text().to_owned())
        }
        _ => problem,
    })?;
    let replaced = published.iter().all(|(_, existed)| *existed);
    Ok((if replaced { Status::OK } else { Status::CREATED }, answer(published)).into_response())
}

/// `POST /files`. Fields that are no files, and file fields left blank, are skipped.
pub(crate) async fn post(
    app: State<App>,
    Query(options): Query<Options>,
    headers: Headers,
    mut form: Multipart,
) -> Result<Response, Problem> {
    let expected = headers.text("content-length").and_then(|length| length.parse().ok());
    let tracker = app.board.track(options.progress.as_deref(), expected)?;
    let mut files: Vec<(FileName, Staged)> = Vec::new();
    while let Some(mut part) = form.next().await? {
        let Some(sent) = part.file_name().filter(|name| !name.is_empty()) else { continue };
        let name = checked(part.name(), sent)?;
        let mut writer = Writer::begin(&app).await?;
        while let Some(piece) = part.next().await? {
            tracker.received(piece.len());
            writer.take(piece).await?;
        }
        files.push((name, writer.finish().await?));
    }
    if files.is_empty() {
        return Err(Problem::new(Status::UNPROCESSABLE_CONTENT).detail("the form has no file"));
    }
    let published = publish(&app, files, false, &tracker).await?;
    if wants_html(&headers) {
        return Ok(Redirect::see_other("/").into_response());
    }
    Ok((Status::CREATED, answer(published)).into_response())
}

fn answer(published: Vec<(Stored, bool)>) -> Json<Answer> {
    Json(Answer { stored: published.into_iter().map(|(stored, _)| stored).collect() })
}

async fn publish(
    app: &App,
    files: Vec<(FileName, Staged)>,
    replaces: bool,
    tracker: &Tracker,
) -> Result<Vec<(Stored, bool)>, Problem> {
    let store = app.store.clone();
    let published = app.ring.blocking(move || store.publish(files, replaces)).await;
    let published = published.map_err(|error| match error {
        PublishError::Taken(name) => {
            let detail = format!("there is a file {:?} already", name.as_str());
            Problem::new(Status::CONFLICT).detail(detail)
        }
        PublishError::Io(error) => disk(error),
    })?;
    tracker.stored();
    Ok(published)
}

fn checked(field: &str, name: &str) -> Result<FileName, Problem> {
    FileName::new(name).map_err(|why| {
        let problem = Problem::new(Status::BAD_REQUEST);
        problem.detail(format!("the name {name:?} {why}")).field(field, why)
    })
}

/// The problem for an error of the disk. Its cause is only logged.
fn disk(error: io::Error) -> Problem {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};

    eprintln!("upload: {error}");
    if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
        return Problem::new(Status::INSUFFICIENT_STORAGE).detail("there is no room for this file");
    }
    Problem::new(Status::INTERNAL_SERVER_ERROR)
}

/// A file that is being written.
struct Writer {
    ring: Ring,
    /// `None` while a step is written; dropped meanwhile, it is gone with the step.
    staged: Option<Staged>,
    step: Vec<u8>,
}

impl Writer {
    async fn begin(app: &App) -> Result<Self, Problem> {
        let store = app.store.clone();
        let staged = app.ring.blocking(move || store.stage()).await.map_err(disk)?;
        Ok(Self { ring: app.ring.clone(), staged: Some(staged), step: Vec::with_capacity(STEP_BYTES) })
    }

    async fn take(&mut self, piece: Bytes) -> Result<(), Problem> {
        let mut rest = &piece[..];
        while self.step.len() + rest.len() >= STEP_BYTES {
            let (fits, later) = rest.split_at(STEP_BYTES - self.step.len());
            self.step.extend_from_slice(fits);
            self.write().await?;
            rest = later;
        }
        self.step.extend_from_slice(rest);
        Ok(())
    }

    async fn finish(mut self) -> Result<Staged, Problem> {
        self.write().await?;
        Ok(self.staged.take().expect("here between writes"))
    }

    async fn write(&mut self) -> Result<(), Problem> {
        let mut staged = self.staged.take().expect("here between writes");
        let mut step = std::mem::take(&mut self.step);
        let work = move || {
            let written = staged.write(&step);
            step.clear();
            (staged, step, written)
        };
        let (staged, step, written) = self.ring.blocking(work).await;
        (self.staged, self.step) = (Some(staged), step);
        written.map_err(disk)
    }
}
