//! `axum-peer ADDR:PORT [ROUTES]`: an axum `Router` on `axum::serve` and a current-thread tokio, one thread
//! in all. Answers `/hello` with thirteen bytes and prices orders on that many routes (200).

#[path = "../axum_app.rs"]
mod axum_app;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::runtime;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("say where to listen: ADDR:PORT")?;
    let routes: usize = arguments.next().as_deref().unwrap_or("200").parse()?;
    runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        // As ours: without it the second of two pipelined answers waits for the client's acknowledgement.
        let listener = TcpListener::bind(address).await?.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, axum_app::app(routes)).await?;
        Ok(())
    })
}
