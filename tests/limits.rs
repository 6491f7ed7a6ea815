//! The limits on clients: time, rate, number; and that broken, hostile or disconnecting clients do not affect
//! others. Waits are real, so limits are set short; lower bounds are strict, upper ones generous.

mod common;

#[path = "limits/capacity.rs"]
mod capacity;
#[path = "limits/drain.rs"]
mod drain;
#[path = "limits/isolation.rs"]
mod isolation;
#[path = "http/lab.rs"]
mod lab;
#[path = "limits/process.rs"]
mod process;
#[path = "limits/time.rs"]
mod time;
