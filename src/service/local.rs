//! Futures that stay on their core.

use std::future::Future;
use std::pin::Pin;

/// A boxed future that stays on its core.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
