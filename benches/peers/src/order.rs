//! The work of the JSON row, the same for every program: an order of about 1 KiB comes in, a priced order of
//! about 1 KiB goes out. Shared by path with `examples/bench_api.rs`. Knows no HTTP.

use serde::{Deserialize, Serialize};

/// What a client posts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    customer: String,
    currency: String,
    express: bool,
    note: Option<String>,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sku: String,
    title: String,
    quantity: u32,
    price_cents: u64,
    tags: Vec<String>,
}

/// What it gets back.
#[derive(Serialize)]
pub(crate) struct Priced {
    id: u64,
    customer: String,
    currency: String,
    express: bool,
    note: Option<String>,
    lines: Vec<PricedLine>,
    total_cents: u64,
}

#[derive(Serialize)]
struct PricedLine {
    sku: String,
    title: String,
    quantity: u32,
    total_cents: u64,
    tags: Vec<String>,
}

impl Order {
    /// The order with its totals, under the number that the path gave it.
    pub(crate) fn priced(self, id: u64) -> Priced {
        let mut total_cents = 0;
        let price = |line: Line| {
            let line_cents = line.price_cents.saturating_mul(line.quantity.into());
            total_cents += line_cents;
            PricedLine {
                sku: line.sku,
                title: line.title,
                quantity: line.quantity,
                total_cents: line_cents,
                tags: line.tags,
            }
        };
        let lines = self.lines.into_iter().map(price).collect();
        Priced {
            id,
            customer: self.customer,
            currency: self.currency,
            express: self.express,
            note: self.note,
            lines,
            total_cents,
        }
    }
}
