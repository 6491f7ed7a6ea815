//! axum's WebSockets on quoit's workers: `websocket [--listen ADDR:PORT] [--workers N] [--cpus LIST]`.
//! `/echo` sends every message back; `/chat` knows one subprotocol.
//!
//! ```sh
//! cargo run --release --features tower --example websocket
//! python -m websockets ws://127.0.0.1:8080/echo
//! ```

use std::io;
use std::thread;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use clap::Parser;
use quoit::RunError;
use quoit::cli::WorkerArgs;
use quoit::tower::TowerService;
use tokio::runtime::{Builder, Handle};

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

/// axum handles a WebSocket in a tokio task, so there is a runtime, on a thread of its own.
fn start_runtime() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("tokio".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

fn main() -> Result<(), RunError> {
    let app = app();
    let tokio = start_runtime().unwrap_or_else(|error| panic!("the runtime: {error}"));
    Args::parse().workers.server().run(move |core| {
        let tokio = tokio.clone();
        TowerService::new(app.clone())
            .within(move |poll| {
                let _entered = tokio.enter();
                poll();
            })
            .woken_from_outside(&core.ring)
    })
}
