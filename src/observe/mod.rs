//! What a core counts about itself, the log of exchanges, and the lines an operator reads.

pub mod access;
mod counters;
pub mod log;

pub use self::counters::{Counter, Counters, Totals};
