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
mod call;
mod connect;
mod connect_tunnel;
mod ejection;
mod endpoint;
mod error;
mod exchange;
mod group;
mod h1;
mod h2;
mod incoming;
mod local;
mod moment;
mod options;
mod outgoing;
mod pool;
mod progress;
mod quality;
mod registry;
mod slow_start;
mod state;
mod status;
mod table;
mod tls;
mod tunnel;
mod warm;
mod watch;

pub use self::breaker::BreakerStatus;
pub(crate) use self::call::{Answered, NoAnswer, Requester, call, held_bytes_max};
pub(crate) use self::connect_tunnel::ConnectTunnel;
pub use self::endpoint::Endpoint;
pub use self::error::{ExchangeError, ExchangeFailure};
pub(crate) use self::exchange::{Exchange, Link};
pub use self::group::{Group, NoEndpoint, Outcome, Pick, PickKey, Tried, UpstreamMistake};
pub(crate) use self::incoming::Incoming;
pub(crate) use self::local::LocalUpstream;
pub use self::options::{
    Balance, BreakerOptions, CheckKind, CheckOptions, EjectionOptions, EndpointAddress, EndpointAddressError,
    EndpointOptions, HashKey, PoolOptions, RetryOptions, StickyOptions, StickySecret, UpstreamOptions,
    UpstreamProtocol, UpstreamTimeouts, UpstreamTls,
};
pub(crate) use self::outgoing::{Outgoing, TrailerRule};
pub use self::registry::Upstreams;
pub use self::state::{EndpointState, Health};
pub use self::status::{EndpointStatus, UpstreamStatus};
pub(crate) use self::tls::TlsConfigs;
pub(crate) use self::tunnel::Tunnelled;
pub(crate) use self::watch::{NameState, look_up};
#[cfg(feature = "config")]
pub(crate) use self::watch::{Wanted, look_up_wanted};
