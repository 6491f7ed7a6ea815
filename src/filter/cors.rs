//! Cross-origin requests (the Fetch standard's CORS protocol): which scripts of other origins may call this
//! site.

use std::ops::ControlFlow;
use std::time::Duration;

use thiserror::Error;

use super::vary;
use crate::http::message::{FieldError, push_field};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::service::{Context, Filter, Request, Response};

/// Time for which browsers may cache a preflight. Default 10 minutes: changes apply soon enough.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Which origins' scripts may call, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOptions {
    /// Origins that may call, each as browsers write it: `https://app.example.com`, without a path and
    /// without a default port. `None` for every origin. Default: every origin, without credentials.
    pub origins: Option<Vec<String>>,
    /// Whether cookies and `Authorization` may be sent along. Needs a list of origins. Default false.
    pub credentials: bool,
    /// Methods that may be used, such as `"GET, PUT"`. Default `None`: those that the route has.
    pub methods: Option<String>,
    /// Request fields that may be sent, such as `"Authorization, Content-Type"`. Default `None`: those that
    /// the preflight requests.
    pub headers: Option<String>,
    /// Response fields that scripts may read beside the few that they always may. Default `None`.
    pub exposed: Option<String>,
    /// Time for which browsers may remember a preflight. Default 10 minutes.
    pub max_age: Duration,
}

impl Default for CorsOptions {
    fn default() -> Self {
        Self {
            origins: None,
            credentials: false,
            methods: None,
            headers: None,
            exposed: None,
            max_age: MAX_AGE,
        }
    }
}

/// Why options for CORS are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CorsError {
    /// Every site could send requests with its visitors' credentials.
    #[error("CORS with credentials needs a list of origins; a response to any origin cannot have them")]
    CredentialsForAnyOrigin,
    /// An origin, or a list of methods or fields, is not a valid field value.
    #[error("a value of CORS cannot be sent")]
    Value(#[from] FieldError),
}

/// Lets scripts of other origins call these routes, and answers their preflights.
///
/// A request from an origin that is not allowed is answered without the fields that would let the script read
/// the response, as the protocol requires; it is not refused, because CORS is not access control.
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
    options: CorsOptions,
}

impl Cors {
    /// With these options.
    ///
    /// # Errors
    /// Credentials for every origin; an invalid field value.
    pub fn with_options(options: CorsOptions) -> Result<Self, CorsError> {
        if options.credentials && options.origins.is_none() {
            return Err(CorsError::CredentialsForAnyOrigin);
        }
        let lists = [&options.methods, &options.headers, &options.exposed];
        let values = options.origins.iter().flatten().chain(lists.into_iter().flatten());
        let mut scratch = Vec::new();
        for value in values {
            push_field(&mut scratch, "Access-Control-Allow-Origin", value.as_bytes())?;
        }
        Ok(Self { options })
    }

    /// Every origin may call, without credentials: for public data.
    pub fn any_origin() -> Self {
        Self { options: CorsOptions::default() }
    }

    /// These origins may call, each as browsers write it: `https://app.example.com`, without a path and
    /// without a default port.
    pub fn origins<S: Into<String>>(origins: impl IntoIterator<Item = S>) -> Self {
        let origins = Some(origins.into_iter().map(Into::into).collect());
        Self { options: CorsOptions { origins, ..CorsOptions::default() } }
    }

    /// Cookies and `Authorization` may come along.
    ///
    /// # Panics
    /// With [`any_origin`](Self::any_origin): every site could send requests with its visitors' credentials.
    pub fn with_credentials(self) -> Self {
        assert!(self.options.origins.is_some(), "credentials need a list of origins: Cors::origins([…])");
        Self { options: CorsOptions { credentials: true, ..self.options } }
    }

    /// Methods that may be used, such as `"GET, PUT"`. Default: those that the route has.
    pub fn methods(self, methods: &str) -> Self {
        Self { options: CorsOptions { methods: Some(methods.to_owned()), ..self.options } }
    }

    /// Request fields that may be sent, such as `"Authorization, Content-Type"`. Default: those that are
    /// asked for.
    pub fn headers(self, headers: &str) -> Self {
        Self { options: CorsOptions { headers: Some(headers.to_owned()), ..self.options } }
    }

    /// Response fields that scripts may read beside the few that they always may.
    pub fn exposing(self, headers: &str) -> Self {
        Self { options: CorsOptions { exposed: Some(headers.to_owned()), ..self.options } }
    }

    /// Time for which browsers may remember a preflight. Default 10 minutes.
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { options: CorsOptions { max_age, ..self.options } }
    }

    fn allows(&self, origin: &[u8]) -> bool {
        self.options.origins.as_ref().is_none_or(|list| list.iter().any(|known| known.as_bytes() == origin))
    }

    /// Adds the fields that let a script read the response; whether it may.
    fn allow(&self, context: &Context, response: &mut Response) -> bool {
        if self.options.origins.is_some() {
            // Also for requests without an origin: caches must not serve their response to a script.
            vary::add(response, "Origin");
        }
        let Some(origin) = context.head().field("origin").filter(|origin| self.allows(origin)) else {
            return false;
        };
        let value = if self.options.origins.is_some() { origin } else { b"*" };
        let mut allowed = response.set_field("Access-Control-Allow-Origin", value).is_ok();
        if self.options.credentials {
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
        let methods = match &self.options.methods {
            Some(methods) => Some(methods.clone().into_bytes()),
            None => Some(context.allowed_methods().into_bytes()).filter(|methods| !methods.is_empty()),
        };
        let methods = methods.or_else(|| asked("access-control-request-method"));
        let headers = self.options.headers.clone().map(String::into_bytes);
        let headers = headers.or_else(|| asked("access-control-request-headers"));
        let max_age = Some(self.options.max_age.as_secs().to_string().into_bytes());
        for (name, value) in [
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", headers),
            ("Access-Control-Max-Age", max_age),
        ] {
            if let Some(value) = value {
                // An invalid value is a mistake of the configuration: without the field, the browser refuses.
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
            && let Some(exposed) = &self.options.exposed
        {
            let _ = response.set_field("Access-Control-Expose-Headers", exposed);
        }
    }

    /// So that a script reads the status and the reason, and does not see an error of the network. A list of
    /// origins is compared with the request's, if that could be read; every origin may read anything.
    fn refused(&self, context: &Context, response: &mut Response) {
        self.after(context, response);
        if self.options.origins.is_none() {
            response.set_field("Access-Control-Allow-Origin", "*").expect("a valid value");
        }
    }
}
