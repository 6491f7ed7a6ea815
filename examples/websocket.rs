//! axum's WebSockets on quoit's workers: `websocket [--listen ADDR:PORT] [--workers N] [--cpus LIST]`.
//! `/echo` sends every message back; `/chat` knows one subprotocol.
//!
//! ```sh
//! cargo run --release --features tower --example websocket
//! python -m websockets ws://127.0.0.1:8080/echo
//! ```

use std::error::Error;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use clap::Parser;
use quoit::cli::WorkerArgs;
use quoit::tower::TowerService;
use tokio::runtime::Builder;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    workers: WorkerArgs,
}

fn app() -> Router {
    Router::new()
        .route("/echo", any(async |upgrade: WebSocketUpgrade| echo_on(upgrade)))
        .route("/chat", any(async |upgrade: WebSocketUpgrade| echo_on(upgrade.protocols(["chat"]))))
}

fn echo_on(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Text(_) | Message::Binary(_)) && socket.send(message).await.is_err()
            {
                return;
            }
        }
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let server = Args::parse().workers.server();
    // axum handles each WebSocket in a tokio task: on this runtime's thread.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (app, tokio) = (app(), runtime.handle().clone());
    server.run(move |_core| {
        let tokio = tokio.clone();
        TowerService::new(app.clone()).within(move |poll| {
            let _entered = tokio.enter();
            poll();
        })
    })?;
    Ok(())
}
