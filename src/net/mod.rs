//! Addresses to listen on, listening sockets with errors that name the remedy, and connected streams, plain
//! or TLS.

mod address;
mod interfaces;
mod listener;
mod network;
mod stream;
pub mod tls;

pub use self::address::{Address, AddressError};
pub use self::interfaces::reachable_addresses;
pub use self::listener::{BindError, Bound, SocketFile};
pub use self::network::{Network, NetworkError};
pub use self::stream::Stream;
