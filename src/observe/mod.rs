//! Counters and meters of a core, the access log, and log lines for the operator.

pub mod access;
mod counters;
pub mod log;
pub mod meters;
mod span;

pub use self::counters::{Counter, Counters, Totals};
pub(crate) use self::span::{RequestSpan, SpanEnd};
