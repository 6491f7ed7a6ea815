//! Handlers that come with the server. Each answers requests as any service does.

mod files;
mod welcome;

pub use self::files::{Assets, CacheRule, Files, FilesOptions, Glob, NoCacheRule};
pub use self::welcome::welcome;
