//! The smallest server: `hello [--listen ADDR:PORT] [--workers N] [--cpus LIST] [--work NANOSECONDS]` answers
//! every request with 200 and thirteen bytes.

use std::time::{Duration, Instant};

use clap::Parser;
use quoit::RunError;
use quoit::cli::WorkerArgs;
use quoit::service::{Request, Response};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    workers: WorkerArgs,
    /// Burns so much CPU per request: for trying measuring tools, see loadgen/README
    #[arg(long, value_name = "NANOSECONDS", default_value_t = 0)]
    work: u64,
}

fn main() -> Result<(), RunError> {
    let args = Args::parse();
    let server = args.workers.server();
    // Chosen once: without work there is nothing in a request's way that asks for it.
    if args.work == 0 {
        return server.run(|_core| async |_request: Request| Response::text("Hello, World!"));
    }
    let work = Duration::from_nanos(args.work);
    server.run(move |_core| {
        async move |_request: Request| {
            let begun = Instant::now();
            while begun.elapsed() < work {
                std::hint::spin_loop();
            }
            Response::text("Hello, World!")
        }
    })
}
