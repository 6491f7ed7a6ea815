//! An axum application on quoit's workers: `axum [--listen ADDR:PORT] [--workers N] [--cpus LIST]`. Only this
//! file differs from a `main` for tokio; `app.rs` is axum's alone.
//!
//! ```sh
//! cargo run --release --features tower --example axum
//! curl -d '{"text":"buy rope"}' -H 'Content-Type: application/json' http://127.0.0.1:8080/notes
//! curl 'http://127.0.0.1:8080/notes?contains=rope'
//! ```

mod app;

use clap::Parser;
use quoit::RunError;
use quoit::cli::WorkerArgs;
use quoit::tower::TowerService;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    workers: WorkerArgs,
}

fn main() -> Result<(), RunError> {
    // With tokio: `axum::serve(TcpListener::bind(address).await?, app::app()).await`.
    let app = app::app();
    Args::parse().workers.server().run(move |_core| TowerService::new(app.clone()))
}
