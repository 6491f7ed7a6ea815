//! loadgen: an honest load generator for HTTP servers, and comparisons that a CI job can trust.

mod histogram;
mod result;
mod stats;

fn main() {}
