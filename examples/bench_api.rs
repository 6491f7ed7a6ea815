//! The JSON API that `scripts/bench` measures: `bench_api [--listen ADDR:PORT] [--workers N] [--cpus LIST]
//! [--routes N]`. Each route answers a GET with thirteen bytes and prices the order that is posted to it.

#[path = "../benches/peers/src/order.rs"]
mod order;

use clap::Parser;
use quoit::RunError;
use quoit::cli::WorkerArgs;
use quoit::service::extract::Path;
use quoit::service::{Json, RouteErrors, Router, Routes};

use order::{Order, Priced};

/// The route that is requested; it exists with any number of routes.
const ASKED: usize = 117;

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
    let routes = args.routes;
    args.workers.server().try_run(move |_core| api(routes))
}

fn api(routes: usize) -> Result<Routes, RouteErrors> {
    let first = (ASKED + 1).saturating_sub(routes);
    let mut router = Router::new().get("/hello", async || "Hello, World!");
    for route in first..first + routes {
        let pattern = format!("/v1/r{route}/{{id}}/items");
        router = router.get(&pattern, hello).post(&pattern, price);
    }
    router.build()
}

async fn hello(Path(_id): Path<u64>) -> &'static str {
    "Hello, World!"
}

async fn price(Path(id): Path<u64>, Json(order): Json<Order>) -> Json<Priced> {
    Json(order.priced(id))
}
