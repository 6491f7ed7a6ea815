//! TLS: handshakes by rustls, records protected in place.

mod handshake;
mod info;
mod record;
mod session;

pub use self::handshake::HandshakeError;
pub(in crate::net) use self::handshake::{Established, accept, connect};
pub use self::info::TlsInfo;
pub use self::record::RecordError;
pub use self::session::Session;
