//! Answers every request with its own body, as it arrives: an upload of any size in constant memory, with
//! back-pressure from the client's reading to its sending.

use clap::Parser;
use quoit::RunError;
use quoit::cli::WorkerArgs;
use quoit::http::message::BodyLimits;
use quoit::server::Limits;
use quoit::service::{Request, Response};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    workers: WorkerArgs,
}

fn main() -> Result<(), RunError> {
    // Any length: nothing is stored.
    let body = BodyLimits { body_bytes_max: None, ..BodyLimits::DEFAULT };
    let server = Args::parse().workers.server().limits(Limits { body, ..Limits::default() });
    server.run(|_core| {
        async |request: Request| {
            let content_type =
                request.head().field("content-type").unwrap_or(b"application/octet-stream").to_vec();
            Response::stream(request.into_body())
                .field("Content-Type", content_type)
                .unwrap_or_else(|_| Response::new(quoit::http::status::Status::BAD_REQUEST))
        }
    })
}
