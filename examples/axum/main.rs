//! An axum application on quoit's workers: `axum [--listen ADDR:PORT] [--workers N] [--cpus LIST]`. Only this
//! file differs from a `main` for tokio; `app.rs` is axum's and tokio's alone.
//!
//! ```sh
//! cargo run --release --features tower --example axum
//! curl -d '{"text":"buy rope"}' -H 'Content-Type: application/json' http://127.0.0.1:8080/notes
//! curl 'http://127.0.0.1:8080/notes?contains=rope'
//! curl -N http://127.0.0.1:8080/ticks
//! ```

mod app;

use std::error::Error;

use clap::Parser;
use quoit::cli::WorkerArgs;
use quoit::tower::TowerService;
use tokio::runtime::Builder;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    workers: WorkerArgs,
}

fn main() -> Result<(), Box<dyn Error>> {
    // With tokio: `axum::serve(TcpListener::bind(address).await?, app::app()).await`.
    let server = Args::parse().workers.server();
    // Timers, sockets, files and tasks of tokio live on its thread; requests stay on the workers.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (app, tokio) = (app::app(), runtime.handle().clone());
    server.run(move |_core| {
        let tokio = tokio.clone();
        TowerService::new(app.clone()).within(move |poll| {
            let _entered = tokio.enter();
            poll();
        })
    })?;
    Ok(())
}
