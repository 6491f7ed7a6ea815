//! A service in front of two others: asks both at once, within a time, and combines their JSON.
//!
//! ```text
//! cargo run --release --example aggregate -- --prices http://127.0.0.1:9001 --stock http://127.0.0.1:9002
//! curl -i http://127.0.0.1:8080/items/7      # {"id":7,"price_cents":250,"in_stock":3}
//! ```
//!
//! A price is needed: without it the answer is an error that says which side failed. The number in stock is
//! not: where it does not come in time, or makes no sense, it is `null`.

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use futures_util::future::join;
use quoit::cli::WorkerArgs;
use quoit::client::{Client, ClientError, ClientOptions};
use quoit::http::status::Status;
use quoit::observe::log;
use quoit::service::{IntoResponse, Json, Path, Problem, Response, Router, State};
use serde::{Deserialize, Serialize};

/// For both requests together: a client that asks for an item does not wait longer.
const DEADLINE: Duration = Duration::from_millis(500);

#[derive(Parser)]
struct Args {
    /// Where prices are asked for: GET URL/prices/ID
    #[arg(long, value_name = "URL")]
    prices: String,

    /// Where numbers in stock are asked for: GET URL/stock/ID
    #[arg(long, value_name = "URL")]
    stock: String,

    #[command(flatten)]
    workers: WorkerArgs,
}

/// What the other services answer.
#[derive(Deserialize)]
struct Price {
    cents: u32,
}

#[derive(Deserialize)]
struct Stock {
    count: u32,
}

/// What this one answers.
#[derive(Serialize)]
struct Item {
    id: u64,
    price_cents: u32,
    in_stock: Option<u32>,
}

/// The other services, as a core knows them.
struct Services {
    client: Client,
    prices: String,
    stock: String,
}

/// Why there is no item.
enum Failure {
    NoSuchItem,
    Service(ClientError),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::NoSuchItem => {
                Problem::new(Status::NOT_FOUND).detail("there is no such item").into_response()
            }
            // 502 or 504; the cause goes to the log.
            Self::Service(error) => error.into_response(),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error.status() {
            Some(Status::NOT_FOUND) => Self::NoSuchItem,
            _ => Self::Service(error),
        }
    }
}

async fn item(services: State<Services>, Path(id): Path<u64>) -> Result<Json<Item>, Failure> {
    let (price, stock) = join(services.price(id), services.stock(id)).await;
    let in_stock = stock.map(|stock| stock.count);
    let in_stock = in_stock.inspect_err(|error| log::line(format_args!("without stock: {error}"))).ok();
    Ok(Json(Item { id, price_cents: price?.cents, in_stock }))
}

impl Services {
    async fn price(&self, id: u64) -> Result<Price, ClientError> {
        let response = self.client.get(format!("{}/prices/{id}", self.prices)).send().await?;
        response.error_for_status()?.json().await
    }

    async fn stock(&self, id: u64) -> Result<Stock, ClientError> {
        let response = self.client.get(format!("{}/stock/{id}", self.stock)).send().await?;
        response.error_for_status()?.json().await
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let server = args.workers.server();
    server.run(move |core| {
        let options = ClientOptions { timeout: Some(DEADLINE), ..ClientOptions::default() };
        let client = Client::with_options(options, core).expect("the machine has authorities");
        let services = Services { client, prices: args.prices.clone(), stock: args.stock.clone() };
        Router::new().state(services).get("/items/{id}", item).build().expect("sound routes")
    })?;
    Ok(())
}
