//! The server's own handlers. Each is a service.

mod files;
mod fixed;
mod mounts;
mod proxy;
mod welcome;

pub use self::files::{
    Assets, CacheRule, Files, FilesOptions, Glob, NamedFile, NoCacheRule, NoPreloadRule, PreloadRule,
};
pub use self::fixed::{Fixed, FixedError, RedirectOptions, RespondOptions};
pub use self::mounts::{DirectoryError, DirectoryOptions, Mounts, MountsOptions};
pub use self::proxy::{ForwardedForm, ForwardedOptions, HostPolicy, Proxy, ProxyMistake, ProxyOptions};
pub use self::welcome::welcome;
pub use crate::net::{Network, NetworkError};
