//! `actix-peer ADDR:PORT [ROUTES]`: actix-web with one worker. Answers `/hello` with thirteen bytes and
//! prices orders on that many routes (200). Its accept loop is a second thread, which keep-alive connections
//! do not use.

#[path = "../order.rs"]
mod order;

use actix_web::web::{Json, Path, ServiceConfig, get, post, resource};
use actix_web::{App, HttpServer};

use order::{Order, Priced};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("say where to listen: ADDR:PORT")?;
    let routes: usize = arguments.next().as_deref().unwrap_or("200").parse()?;
    actix_web::rt::System::new().block_on(async {
        let app = move || App::new().configure(|app| configure(app, routes));
        HttpServer::new(app).workers(1).bind(address)?.run().await?;
        Ok(())
    })
}

fn configure(app: &mut ServiceConfig, routes: usize) {
    app.route("/", get().to(hello)).route("/hello", get().to(hello));
    for route in 0..routes {
        let items = resource(format!("/v1/r{route}/{{id}}/items"));
        app.service(items.route(get().to(hello_route)).route(post().to(price)));
    }
}

async fn hello() -> &'static str {
    "Hello, World!"
}

async fn hello_route(_id: Path<u64>) -> &'static str {
    "Hello, World!"
}

async fn price(id: Path<u64>, order: Json<Order>) -> Json<Priced> {
    Json(order.into_inner().priced(id.into_inner()))
}
