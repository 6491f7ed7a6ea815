//! Futures that stay on their core.

use std::future::Future;
use std::pin::Pin;

/// A future of one core, whose type is not known.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
