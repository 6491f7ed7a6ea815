//! A request while it is put together. The first mistake is what sending it reports.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Client;
use super::error::{ClientError, ClientErrorKind};
use super::parts::{ClientBody, RequestParts};
use super::proxies::basic;
use super::response::ClientResponse;
use super::send;
use super::url::push_form;

/// A request that is put together, and then sent with [`send`](Self::send).
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    parts: Result<RequestParts, ClientError>,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: &str, url: &str) -> Self {
        let parts = RequestParts::new(method, url, client.options());
        Self { client, parts }
    }

    fn with(mut self, add: impl FnOnce(&mut RequestParts) -> Result<(), ClientError>) -> Self {
        if let Ok(parts) = &mut self.parts
            && let Err(error) = add(parts)
        {
            self.parts = Err(error);
        }
        self
    }

    /// Adds a field. Names are tokens and values have no control characters; those of framing and connection
    /// (`Host`, `Content-Length`, `Transfer-Encoding`, `Connection` …) are the client's.
    pub fn header(self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        self.with(|parts| parts.add(name, value))
    }

    /// `Authorization: Bearer TOKEN`.
    pub fn bearer_auth(self, token: impl fmt::Display) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// `Authorization: Basic …` for this user (RFC 7617), in UTF-8.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        self.header("Authorization", basic(user, password))
    }

    /// Appends pairs to the query, encoded as in forms.
    pub fn query<N: AsRef<str>, V: AsRef<str>>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        self.with(|parts| {
            pairs.into_iter().for_each(|(name, value)| parts.url.push_pair(name.as_ref(), value.as_ref()));
            Ok(())
        })
    }

    /// The content.
    pub fn body(self, body: impl Into<ClientBody>) -> Self {
        self.with(|parts| {
            parts.body = body.into();
            Ok(())
        })
    }

    /// The value as JSON, with its `Content-Type` unless that is set.
    pub fn json(self, value: &impl Serialize) -> Self {
        self.with(|parts| {
            let text = serde_json::to_vec(value).map_err(|error| {
                ClientError::text(ClientErrorKind::Request, format!("the value is no JSON: {error}"))
            })?;
            parts.add_type("application/json")?;
            parts.body = text.into();
            Ok(())
        })
    }

    /// The pairs as a form, with its `Content-Type` unless that is set.
    pub fn form<N: AsRef<str>, V: AsRef<str>>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        self.with(|parts| {
            let mut text = String::new();
            for (name, value) in pairs {
                text.push_str(if text.is_empty() { "" } else { "&" });
                push_form(&mut text, name.as_ref(), value.as_ref());
            }
            parts.add_type("application/x-www-form-urlencoded")?;
            parts.body = text.into();
            Ok(())
        })
    }

    /// The time for all of it, in place of [`ClientOptions::timeout`](super::ClientOptions::timeout); `None`
    /// is no limit. On a clock of 32 ms.
    pub fn timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|parts| {
            parts.timeout = timeout.into();
            Ok(())
        })
    }

    /// Most bytes that are taken into memory, in place of
    /// [`ClientOptions::whole_bytes_max`](super::ClientOptions::whole_bytes_max).
    pub fn whole_bytes_max(self, bytes: usize) -> Self {
        self.with(|parts| {
            parts.whole_bytes_max = bytes;
            Ok(())
        })
    }

    /// Redirects that are followed, in place of
    /// [`ClientOptions::redirects_max`](super::ClientOptions::redirects_max).
    pub fn redirects_max(self, redirects: u32) -> Self {
        self.with(|parts| {
            parts.redirects_max = redirects;
            Ok(())
        })
    }

    /// Holds the content until the server asks for it (`Expect: 100-continue`), or for at most
    /// [`UpstreamTimeouts::expect`](crate::upstream::UpstreamTimeouts::expect).
    pub fn expect_continue(self) -> Self {
        self.with(|parts| {
            parts.expects_continue = true;
            Ok(())
        })
    }

    /// Announces that trailers are read (`TE: trailers`), as gRPC needs.
    pub fn accept_trailers(self) -> Self {
        self.with(|parts| {
            parts.takes_trailers = true;
            Ok(())
        })
    }

    /// Sends it, and waits for the head of the response. Dropping the future closes the connection, or resets
    /// the stream.
    ///
    /// # Errors
    /// There is no response; see [`ClientError`]. A status of 400 or more is none.
    pub async fn send(self) -> Result<ClientResponse, ClientError> {
        send::send(&self.client, self.parts?).await
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parts {
            Ok(parts) => write!(f, "RequestBuilder({})", parts.what()),
            Err(error) => write!(f, "RequestBuilder({error})"),
        }
    }
}
