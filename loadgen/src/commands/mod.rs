//! What the program can do, one command each. Below them stand the engine, the reports and the statistics,
//! above them `main` alone.

mod alike;
pub(crate) mod bench;
mod bench_args;
pub(crate) mod capacity;
pub(crate) mod compare;
mod generator;
pub(crate) mod merge;
mod process;
pub(crate) mod report;
#[cfg(test)]
mod samples;
pub(crate) mod selftest;
mod tls_args;
pub(crate) mod usage;
mod words;
