//! The axum application of the rows: thirteen bytes on `/hello`, and orders priced on many routes. The same
//! file runs on `axum::serve` (`axum-peer`) and on our workers (`examples/bench_axum.rs`), so it knows
//! neither.

#[path = "order.rs"]
mod order;

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};

use order::{Order, Priced};

pub(crate) fn app(routes: usize) -> Router {
    let mut app = Router::new().route("/", get(hello)).route("/hello", get(hello));
    for route in 0..routes {
        app = app.route(&format!("/v1/r{route}/{{id}}/items"), get(hello_route).post(price));
    }
    app
}

async fn hello() -> &'static str {
    "Hello, World!"
}

async fn hello_route(Path(_id): Path<u64>) -> &'static str {
    "Hello, World!"
}

async fn price(Path(id): Path<u64>, Json(order): Json<Order>) -> Json<Priced> {
    Json(order.priced(id))
}
