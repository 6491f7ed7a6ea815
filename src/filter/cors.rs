//! Cross-origin requests (the Fetch standard's CORS protocol): which other sites' scripts may call this one.

use std::ops::ControlFlow;
use std::time::Duration;

use super::vary;
use crate::http::method::Method;
use crate::http::status::Status;
use crate::service::{Context, Filter, Request, Response};

/// Time for which browsers may remember a preflight. Default 10 minutes: a change shows soon enough.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Lets scripts of other origins call these routes, and answers their preflights.
///
/// A request from an origin that is not allowed is answered without the fields that would let the script
/// read the response, as the protocol has it; it is not refused, since CORS is no access control.
///
/// ```
/// use quoit::filter::Cors;
/// use quoit::service::Router;
///
/// let cors = Cors::origins(["https://app.example.com"]).with_credentials().headers("Authorization");
/// Router::new().filter(cors);
/// ```
#[derive(Clone, Debug)]
pub struct Cors {
    /// `None` for every origin.
    origins: Option<Vec<String>>,
    credentials: bool,
    /// `None` for what the route answers to.
    methods: Option<String>,
    /// `None` for what the preflight asks.
    headers: Option<String>,
    exposed: Option<String>,
    max_age: Duration,
}

impl Cors {
    /// Every origin may call, without credentials: for public data.
    pub fn any_origin() -> Self {
        Self {
            origins: None,
            credentials: false,
            methods: None,
            headers: None,
            exposed: None,
            max_age: MAX_AGE,
        }
    }

    /// These origins may call, each as browsers write it: `https://app.example.com`, without a path and
    /// without a default port.
    pub fn origins<S: Into<String>>(origins: impl IntoIterator<Item = S>) -> Self {
        Self { origins: Some(origins.into_iter().map(Into::into).collect()), ..Self::any_origin() }
    }

    /// Cookies and `Authorization` may come along.
    ///
    /// # Panics
    /// With [`any_origin`](Self::any_origin): every site could act in the name of whoever visits it.
    pub fn with_credentials(self) -> Self {
        assert!(self.origins.is_some(), "credentials need a list of origins: Cors::origins([…])");
        Self { credentials: true, ..self }
    }

    /// Methods that may be used, such as `"GET, PUT"`. Default: those that the route has.
    pub fn methods(self, methods: &str) -> Self {
        Self { methods: Some(methods.to_owned()), ..self }
    }

    /// Request fields that may be sent, such as `"Authorization, Content-Type"`. Default: those that are
    /// asked for.
    pub fn headers(self, headers: &str) -> Self {
        Self { headers: Some(headers.to_owned()), ..self }
    }

    /// Response fields that scripts may read beside the few that they always may.
    pub fn exposing(self, headers: &str) -> Self {
        Self { exposed: Some(headers.to_owned()), ..self }
    }

    /// Time for which browsers may remember a preflight. Default 10 minutes.
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age, ..self }
    }

    fn allows(&self, origin: &[u8]) -> bool {
        self.origins.as_ref().is_none_or(|list| list.iter().any(|known| known.as_bytes() == origin))
    }

    /// Adds what lets the script read the response; whether it may.
    fn allow(&self, context: &Context, response: &mut Response) -> bool {
        if self.origins.is_some() {
            // Also for requests without an origin: caches must not give their answer to a script.
            vary::add(response, "Origin");
        }
        let Some(origin) = context.head().field("origin").filter(|origin| self.allows(origin)) else {
            return false;
        };
        let value = if self.origins.is_some() { origin } else { b"*" };
        let mut allowed = response.set_field("Access-Control-Allow-Origin", value).is_ok();
        if self.credentials {
            allowed &= response.set_field("Access-Control-Allow-Credentials", "true").is_ok();
        }
        allowed
    }

    fn preflight(&self, context: &Context) -> Response {
        let mut response = Response::new(Status::NO_CONTENT);
        let allowed = self.allow(context, &mut response);
        vary::add(&mut response, "Access-Control-Request-Method");
        vary::add(&mut response, "Access-Control-Request-Headers");
        if !allowed {
            return response;
        }
        let asked = |name: &str| context.head().field(name).map(<[u8]>::to_vec);
        let methods = match &self.methods {
            Some(methods) => Some(methods.clone().into_bytes()),
            None => Some(context.allowed_methods().into_bytes()).filter(|methods| !methods.is_empty()),
        };
        let methods = methods.or_else(|| asked("access-control-request-method"));
        let headers = self.headers.clone().map(String::into_bytes);
        let headers = headers.or_else(|| asked("access-control-request-headers"));
        let max_age = Some(self.max_age.as_secs().to_string().into_bytes());
        for (name, value) in [
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", headers),
            ("Access-Control-Max-Age", max_age),
        ] {
            if let Some(value) = value {
                // A value that no field may have was written by whoever configured it: the browser refuses.
                let _ = response.set_field(name, value);
            }
        }
        response
    }
}

impl Filter for Cors {
    fn before(&self, request: &mut Request) -> ControlFlow<Response> {
        let head = request.head();
        let is_preflight = head.method() == Method::Options
            && head.field("origin").is_some()
            && head.field("access-control-request-method").is_some();
        if is_preflight {
            ControlFlow::Break(self.preflight(request.context()))
        } else {
            ControlFlow::Continue(())
        }
    }

    fn after(&self, context: &Context, response: &mut Response) {
        if self.allow(context, response)
            && let Some(exposed) = &self.exposed
        {
            let _ = response.set_field("Access-Control-Expose-Headers", exposed);
        }
    }
}
