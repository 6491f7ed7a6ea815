//! Groups of servers that requests are forwarded to: which endpoint gets a request, the connections to it,
//! and one exchange on one of them. Knows nothing of routes and of the client's connection.
//!
//! ```text
//! UpstreamOptions ─► Group (one per upstream and core)
//!                      pick ─► Pick: an endpoint, held as long as its exchange is in flight
//!                                └─ EndpointState (one per endpoint and process, atomics)
//! ```

mod balance;
mod breaker;
mod budget;
mod ejection;
mod endpoint;
mod group;
mod moment;
mod options;
mod quality;
mod registry;
mod slow_start;
mod state;
mod status;
mod table;
mod watch;

pub use self::breaker::BreakerStatus;
pub use self::endpoint::Endpoint;
pub use self::group::{Group, NoEndpoint, Outcome, Pick, PickKey, Tried, UpstreamMistake};
pub use self::options::{
    Balance, BreakerOptions, CheckKind, CheckOptions, EjectionOptions, EndpointAddress, EndpointAddressError,
    EndpointOptions, HashKey, PoolOptions, RetryOptions, StickyOptions, StickySecret, UpstreamOptions,
    UpstreamProtocol, UpstreamTimeouts, UpstreamTls,
};
pub use self::registry::Upstreams;
pub use self::state::{EndpointState, Health};
pub use self::status::{EndpointStatus, UpstreamStatus};
