//! Handlers that come with the server. Each answers requests as any service does.

mod files;
mod welcome;

pub use self::files::{Files, FilesOptions};
pub use self::welcome::welcome;
