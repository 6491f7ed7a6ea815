//! Addresses to listen on, and listening sockets with errors that name the remedy.

mod address;
mod listener;
pub mod tls;

pub use self::address::{Address, AddressError};
pub use self::listener::{BindError, Bound, SocketFile};
