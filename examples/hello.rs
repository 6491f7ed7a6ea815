//! The smallest server: `hello [--listen ADDR:PORT] [--workers N] [--cpus LIST] [--tls-cert FILE --tls-key
//! FILE] [--work NANOSECONDS]` answers every request with 200 and thirteen bytes.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use quoit::cli::WorkerArgs;
use quoit::net::tls::{CertificateFiles, TlsOptions, TlsServer};
use quoit::service::{Request, Response};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    workers: WorkerArgs,
    /// Serve TLS with this certificate
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// And its private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// CPU time to spend per request, to try measuring tools: see loadgen/README
    #[arg(long, value_name = "NANOSECONDS", default_value_t = 0)]
    work: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let tls = match (args.tls_cert, args.tls_key) {
        (Some(chain), Some(key)) => {
            let certificates = vec![CertificateFiles::new(chain, key)];
            Some(TlsServer::new(TlsOptions { certificates, ..TlsOptions::default() })?)
        }
        _ => None,
    };
    let server = args.workers.server_with(tls.as_ref());
    // Chosen once, so that requests do not check it.
    if args.work == 0 {
        return Ok(server.run(|_core| async |_request: Request| Response::text("Hello, World!"))?);
    }
    let work = Duration::from_nanos(args.work);
    Ok(server.run(move |_core| {
        async move |_request: Request| {
            let begun = Instant::now();
            while begun.elapsed() < work {
                std::hint::spin_loop();
            }
            Response::text("Hello, World!")
        }
    })?)
}
