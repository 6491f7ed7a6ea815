//! What a core counts about itself, and the lines an operator reads.

mod counters;
pub mod log;

pub use self::counters::{Counter, Counters, Totals};
