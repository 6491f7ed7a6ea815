//! Requests to other servers, for handlers on a worker: over the same connections, timeouts and machines of
//! HTTP/1.1 and HTTP/2 as the proxy's.
//!
//! ```text
//! RequestBuilder ─► origin: an upstream with addresses ─► upstream::call ─► ClientResponse
//!                     ▲                                        │
//!                     └────────────── redirects ◄──────────────┘
//! ```
//!
//! A [`Client`] belongs to its core, as handlers do. Nothing runs beside the task that sends a request:
//! dropping its future, or the response before its end, closes the connection or resets the stream. See the
//! [guide](crate::guide::client).

#[cfg(feature = "compress")]
mod decode;
mod error;
mod options;
mod origins;
mod parts;
mod proxies;
mod request;
mod response;
mod send;
mod url;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

pub use self::error::{ClientError, ClientErrorKind, ErrorSide, TimeoutKind};
pub use self::options::{AddressRule, ClientOptions, is_public};
use self::origins::Origins;
pub use self::parts::ClientBody;
pub use self::proxies::{ClientProxies, ClientProxyError};
pub use self::request::RequestBuilder;
pub use self::response::ClientResponse;
pub use self::url::UrlError;
use crate::http::message::push_field;
use crate::service::CoreContext;
use crate::upstream::{TlsConfigs, Upstreams};

/// Sends requests. One per core is made where the service is built; clones share its connections.
///
/// ```
/// use quoit::client::{Client, ClientError};
/// use quoit::service::{CoreContext, Json, Path, Router, State};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Price {
///     cents: u32,
/// }
///
/// async fn price(client: State<Client>, Path(id): Path<u64>) -> Result<Json<Price>, ClientError> {
///     let response = client.get(format!("http://prices.internal/items/{id}")).send().await?;
///     Ok(Json(response.error_for_status()?.json().await?))
/// }
///
/// fn service(core: &CoreContext) -> impl quoit::service::Service {
///     Router::new().state(Client::new(core)).get("/prices/{id}", price).build().expect("sound routes")
/// }
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Rc<ClientCore>,
}

struct ClientCore {
    options: Rc<ClientOptions>,
    core: CoreContext,
    origins: Origins,
    /// Held, so that an origin finds it even when no other is known.
    _tls: Option<Arc<TlsConfigs>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl Client {
    /// A client with the defaults, on this core. Reads the machine's authorities, once per process.
    pub fn new(core: &CoreContext) -> Self {
        let options = ClientOptions::default();
        // Without authorities requests by https fail, and say so.
        let tls = core.process.get::<Upstreams>().tls_configs(&options.tls, options.protocol).ok();
        Self::of(options, core, tls)
    }

    /// A client with these options, on this core. Reads the files that they name, once per
    /// process.
    ///
    /// # Errors
    /// The first mistake in the options.
    pub fn with_options(options: ClientOptions, core: &CoreContext) -> Result<Self, ClientError> {
        let wrong = |text| ClientError::text(ClientErrorKind::Request, text);
        for (name, value) in &options.fields {
            parts::check_field(name)?;
            push_field(&mut Vec::new(), name, value.as_bytes())
                .map_err(|error| parts::refused_field(name, error))?;
        }
        let tls = core.process.get::<Upstreams>().tls_configs(&options.tls, options.protocol);
        Ok(Self::of(options, core, Some(tls.map_err(wrong)?)))
    }

    fn of(options: ClientOptions, core: &CoreContext, tls: Option<Arc<TlsConfigs>>) -> Self {
        let (options, core, origins) = (Rc::new(options), core.clone(), Origins::new());
        Self { inner: Rc::new(ClientCore { options, core, origins, _tls: tls }) }
    }

    /// Its options.
    pub fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    /// GET this URL.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("GET", url)
    }

    /// HEAD this URL.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("HEAD", url)
    }

    /// POST to this URL.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("POST", url)
    }

    /// PUT to this URL.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("PUT", url)
    }

    /// PATCH this URL.
    pub fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("PATCH", url)
    }

    /// DELETE this URL.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request("DELETE", url)
    }

    /// A request with any method but CONNECT. What is wrong with method and URL is reported by
    /// [`send`](RequestBuilder::send).
    pub fn request(&self, method: &str, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, url.as_ref())
    }
}
