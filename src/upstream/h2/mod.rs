//! HTTP/2 to endpoints. A connection (`carrier`) belongs to one core and carries many exchanges; one task of
//! the ring drives it, and exchanges have no task of their own. `pool` finds a connection with room for one
//! more stream, opens another, or lets the request wait.
//!
//! ```text
//! exchange ─► head, data ─► output ─┐                    ┌─► inbox ─► exchange
//! exchange ─► ...                   ├─► driver ◄─► socket ┤
//! exchange ─► credit, resets ───────┘                    └─► inbox ─► exchange
//! ```

mod carrier;
mod exchange;
mod pool;
mod tunnel;

pub(super) use self::carrier::Carrier;
pub(super) use self::exchange::H2Exchange;
pub(super) use self::pool::{H2Pool, Spoken};
pub(crate) use self::tunnel::H2Tunnel;
