//! The smallest server: `hello [--listen ADDR:PORT] [--workers N] [--cpus LIST]` answers every request with
//! 200 and thirteen bytes.

use clap::Parser;
use quoit::RunError;
use quoit::cli::WorkerArgs;
use quoit::service::{Request, Response};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    workers: WorkerArgs,
}

fn main() -> Result<(), RunError> {
    let args = Args::parse();
    args.workers.server().run(|_core| async |_request: Request| Response::text("Hello, World!"))
}
