//! Servers that are looked at and changed while they serve: counters are summed live, plans are explained,
//! compared and swapped. Through sockets, with nothing but the public API.

mod common;

#[path = "plan/agreement.rs"]
mod agreement;
#[path = "plan/counters.rs"]
mod counters;
#[path = "h2/peer.rs"]
#[allow(dead_code, reason = "a part of it is needed here")]
mod peer;
#[path = "plan/serving.rs"]
mod serving;
#[path = "plan/swaps.rs"]
mod swaps;
#[path = "plan/values.rs"]
mod values;
#[path = "h2/wire.rs"]
#[allow(dead_code, reason = "a part of it is needed here")]
mod wire;
