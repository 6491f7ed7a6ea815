//! Stores uploaded files in one directory, in constant memory whatever their size:
//!
//! ```text
//! cargo run --release --example upload -- --dir /srv/uploads
//! curl -T video.mp4 http://127.0.0.1:8080/files/video.mp4
//! curl -F file=@a.png -F file=@b.png http://127.0.0.1:8080/files
//! ```
//!
//! - `GET /` is a page with a form. It works without JavaScript; with it, it shows progress.
//! - `PUT /files/{name}` stores its body under a name, in place of what was there; `If-None-Match: *` refuses
//!   that with 412.
//! - `POST /files` stores the files of a form, all or none, and never in place of others: 409.
//! - `GET /files` lists the files, as JSON.
//! - `GET /files/{id}/progress` reports on an upload that was sent with `?progress={id}`, one JSON object per
//!   line until it ends.
//!
//! A file appears when it is complete and on the disk. Incomplete uploads, and those without room on the
//! disk, leave nothing. The files are not served: a page among them would have this site's origin.

mod files;
mod names;
mod page;
mod progress;
mod store;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use quoit::cli::WorkerArgs;
use quoit::filter::SecurityHeaders;
use quoit::http::message::BodyLimits;
use quoit::ring::Ring;
use quoit::server::Limits;
use quoit::service::{ExtractLimits, Router};

use progress::Board;
use store::Store;

#[derive(Parser)]
struct Args {
    /// Directory to store files in
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Largest request taken, in bytes [default: 16 GiB]
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 30, hide_default_value = true)]
    max_bytes: u64,

    #[command(flatten)]
    workers: WorkerArgs,
}

/// What every handler needs, on each core.
struct App {
    ring: Ring,
    store: Store,
    board: Arc<Board>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let store = Store::open(&args.dir).map_err(|error| format!("{}: {error}", args.dir.display()))?;
    let board = Arc::new(Board::default());
    // One bound for all uploads, enforced by the server; streams need no other.
    let body = BodyLimits { body_bytes_max: Some(args.max_bytes), ..BodyLimits::DEFAULT };
    let server = args.workers.server().limits(Limits { body, ..Limits::default() });
    server.try_run(move |core| {
        let app = App { ring: core.ring.clone(), store: store.clone(), board: board.clone() };
        router(app).build()
    })?;
    Ok(())
}

fn router(app: App) -> Router {
    Router::new()
        .get("/", page::show)
        .get("/upload.js", page::script)
        .get("/upload.css", page::style)
        .get("/files", files::list)
        .post("/files", files::post)
        .put("/files/{name}", files::put)
        .get("/files/{id}/progress", progress::follow)
        .filter(SecurityHeaders::new())
        .filter(page::SameSite)
        .problems(page::problem)
        .limits(ExtractLimits {
            multipart_bytes_max: u64::MAX,
            multipart_part_bytes_max: u64::MAX,
            ..ExtractLimits::DEFAULT
        })
        .state(app)
}
