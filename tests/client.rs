//! The client over sockets: against scripted endpoints, which record what they get, and against this server.

mod common;

#[path = "client/basics.rs"]
mod basics;
#[path = "proxy_h2/certs.rs"]
mod certs;
#[cfg(feature = "compress")]
#[path = "client/codings.rs"]
mod codings;
#[path = "client/errors.rs"]
mod errors;
#[cfg(feature = "cli")]
#[path = "client/example.rs"]
mod example;
#[allow(dead_code, reason = "shared with the tests of the proxy, which use more of it")]
#[path = "proxy_h2/frames.rs"]
mod frames;
#[path = "proxy/lab.rs"]
#[allow(dead_code, reason = "shared with the tests of the proxy, which use more of it")]
mod lab;
#[path = "client/pooling.rs"]
mod pooling;
#[path = "client/proxies.rs"]
mod proxies;
#[path = "client/redirects.rs"]
mod redirects;
#[allow(dead_code, reason = "shared with the tests of the proxy, which use more of it")]
#[path = "proxy_h2/secure.rs"]
mod secure;
#[path = "client/versions.rs"]
mod versions;
#[allow(dead_code, reason = "shared with the tests of HTTP/2, which use more of it")]
#[path = "h2/wire.rs"]
mod wire;

use std::time::{Duration, Instant};

use quoit::client::{Client, ClientOptions};
use quoit::harness::on_core;
use quoit::service::CoreContext;

/// Runs a test with a client on a core of its own.
pub(crate) fn with<T, F>(options: ClientOptions, test: F) -> T
where
    F: AsyncFnOnce(Client, CoreContext) -> T + Send + 'static,
    T: Send + 'static,
{
    on_core(async move |core| {
        let client = Client::with_options(options, &core).expect("sound options");
        test(client, core).await
    })
}

/// As [`with`], with the defaults.
pub(crate) fn default<T, F>(test: F) -> T
where
    F: AsyncFnOnce(Client, CoreContext) -> T + Send + 'static,
    T: Send + 'static,
{
    with(ClientOptions::default(), test)
}

/// Waits until `condition` holds, while the core goes on.
pub(crate) async fn eventually(core: &CoreContext, what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < common::PATIENCE, "{what}");
        core.ring.sleep(Duration::from_millis(1)).await;
    }
}
