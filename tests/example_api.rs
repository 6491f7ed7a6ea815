//! The example `api`: the built program over sockets, and its routes in this process. What it promises as a
//! REST service, and that nothing a client sends is ever taken for SQL or HTML.

mod common;

#[path = "example_api/client.rs"]
mod client;
#[path = "example_api/html.rs"]
mod html;
#[path = "example_api/injection.rs"]
mod injection;
#[path = "../examples/api/notes/mod.rs"]
mod notes;
#[path = "example_api/payloads.rs"]
mod payloads;
#[path = "example_api/refusals.rs"]
mod refusals;
#[path = "example_api/rest.rs"]
mod rest;
#[path = "example_api/rules.rs"]
mod rules;
#[path = "example_api/scripts.rs"]
mod scripts;
