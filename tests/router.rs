//! Routers through a socket: which route answers, what the router answers by itself, and the filters around
//! both. Knows no extractor beyond the simplest.

mod common;

#[path = "router/filters.rs"]
mod filters;
#[path = "router/routes.rs"]
mod routes;
#[path = "router/standard.rs"]
mod standard;
