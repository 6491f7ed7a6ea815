//! A small REST service: notes in an embedded SQLite, as JSON for programs and as a page for people.
//!
//! ```text
//! cargo run --release --example api -- --db notes.db
//! curl -i http://127.0.0.1:8080/notes -H 'Content-Type: application/json' -d '{"title": "Milk"}'
//! ```
//!
//! | request | does |
//! |---|---|
//! | `GET /` | the page; `POST /` takes its form |
//! | `GET /notes?q=&tag=&pinned=&limit=&after=` | newest first, page by page (`Link: …; rel="next"`) |
//! | `POST /notes` | makes one: 201, `Location`, `ETag` |
//! | `GET /notes/{id}` | one, with its `ETag` |
//! | `PUT /notes/{id}`, `DELETE /notes/{id}` | if it is still as `If-Match` says: else 412, without it 428 |
//!
//! Without `--db` the notes live in memory and end with the process; all its cores share them.

mod notes;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use quoit::cli::WorkerArgs;

#[derive(Parser)]
struct Args {
    /// File of the database, made where there is none [default: in memory, gone with the process]
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    /// Title of the page
    #[arg(long, value_name = "TEXT", default_value = "Notes")]
    title: String,

    #[command(flatten)]
    workers: WorkerArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // Opened before anything is served, so that an error is one line; shared by every core.
    let database = match notes::Database::open(args.db.as_deref()) {
        Ok(database) => database,
        Err(error) => {
            eprintln!(
                "api: the database cannot be opened: {error}; check --db, its directory and permissions"
            );
            return ExitCode::FAILURE;
        }
    };
    let shared = Arc::new(notes::Shared { title: args.title, database });
    match args.workers.server().try_run(move |core| notes::routes(core, shared.clone())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("api: {error}");
            ExitCode::FAILURE
        }
    }
}
