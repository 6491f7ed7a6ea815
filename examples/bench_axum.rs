//! The axum application that `scripts/bench` also runs on `axum::serve`, on quoit's workers:
//! `bench_axum [--listen ADDR:PORT] [--workers N] [--cpus LIST] [--routes N]`.

#[path = "../benches/peers/src/axum_app.rs"]
mod axum_app;

use clap::Parser;
use quoit::RunError;
use quoit::cli::WorkerArgs;
use quoit::tower::TowerService;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    workers: WorkerArgs,
    /// Routes of the JSON API
    #[arg(long, default_value_t = 200)]
    routes: usize,
}

fn main() -> Result<(), RunError> {
    let args = Args::parse();
    let app = axum_app::app(args.routes);
    args.workers.server().run(move |_core| TowerService::new(app.clone()))
}
