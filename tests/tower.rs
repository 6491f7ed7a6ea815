//! tower services and axum applications on the workers, through a socket. The application is that of the
//! `axum` example, with a laboratory beside it whose routes misbehave as applications may.

mod common;

#[path = "../examples/axum/app.rs"]
mod app;
#[path = "tower/application.rs"]
mod application;
#[path = "tower/bodies.rs"]
mod bodies;
#[path = "tower/exchanges.rs"]
mod exchanges;
#[path = "tower/lab.rs"]
mod lab;
#[path = "tower/services.rs"]
mod services;
#[path = "tower/threads.rs"]
mod threads;
#[path = "tower/upgrades.rs"]
mod upgrades;
#[path = "tower/tokio.rs"]
mod with_tokio;
