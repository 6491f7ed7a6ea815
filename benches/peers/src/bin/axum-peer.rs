//! `axum-peer ADDR:PORT [ROUTES]`: an axum `Router` on `axum::serve` and a current-thread tokio, one thread
//! in all. Answers `/hello` with thirteen bytes and prices orders on that many routes (200).

#[path = "../order.rs"]
mod order;

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};

use order::{Order, Priced};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("say where to listen: ADDR:PORT")?;
    let routes: usize = arguments.next().as_deref().unwrap_or("200").parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        // hyper gathers an answer into one write; without TCP_NODELAY pipelined ones would wait for ours.
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, app(routes)).await?;
        Ok(())
    })
}

fn app(routes: usize) -> Router {
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
