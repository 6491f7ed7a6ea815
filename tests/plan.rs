//! Servers that are looked at and changed while they serve: counters are summed live, plans are explained,
//! compared and swapped. Through sockets, with nothing but the public API.

mod common;

#[path = "plan/counters.rs"]
mod counters;
