//! The response fields by which browsers protect a site's users.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use crate::http::message::{FieldError, push_field};
use crate::ring::sys;
use crate::service::{Context, Filter, Request, Response};

const NAMES: [&str; 4] =
    ["Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy"];

/// The placeholder of the nonce in a policy.
const NONCE: &str = "{nonce}";

/// A number used once: the value of `nonce="…"` on the script and style elements of one page. Extract it with
/// `Extension<Nonce>`.
#[derive(Clone, Debug)]
pub struct Nonce(
    // INVARIANT: hexadecimal digits.
    String,
);

impl Nonce {
    fn new() -> Self {
        let mut digits = String::with_capacity(32);
        for byte in sys::random::<16>() {
            let _ = write!(digits, "{byte:02x}");
        }
        Self(digits)
    }

    /// 32 hexadecimal digits, from the kernel's random numbers.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The policy that browsers enforce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityHeadersOptions {
    /// The `Content-Security-Policy`; `{nonce}` in it becomes a new [`Nonce`] for every request. Default: the
    /// policy of [`SecurityHeaders::new`].
    pub policy: Option<String>,
}

/// Adds `Content-Security-Policy`, `X-Content-Type-Options`, `X-Frame-Options` and `Referrer-Policy` to every
/// response; a field that the handler has set itself is left as it is.
///
/// ```
/// use quoit::filter::SecurityHeaders;
/// use quoit::service::Router;
///
/// Router::new().filter(SecurityHeaders::new());
/// ```
#[derive(Clone, Debug)]
pub struct SecurityHeaders {
    /// Policy with the place of its nonce, if it has one.
    policy: Option<Policy>,
    /// The lines that are constant.
    lines: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Policy {
    before: String,
    after: String,
}

impl SecurityHeaders {
    /// The defaults: everything from this site alone, no frames around it, no plug-ins, no guessing of
    /// types, and to other sites only the origin as referrer.
    ///
    /// The policy is `default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self';
    /// frame-ancestors 'none'`: inline scripts and styles need [`with`](Self::with) and a nonce.
    pub fn new() -> Self {
        let policy = "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; \
                      frame-ancestors 'none'";
        Self::with(policy).expect("the default policy is a valid value")
    }

    /// With these options.
    ///
    /// # Errors
    /// A policy with a byte that is invalid in a field.
    pub fn with_options(options: &SecurityHeadersOptions) -> Result<Self, FieldError> {
        options.policy.as_deref().map_or_else(|| Ok(Self::new()), Self::with)
    }

    /// The defaults with this `Content-Security-Policy`. `{nonce}` in it becomes a new [`Nonce`] for
    /// every request: `script-src 'nonce-{nonce}'`. `X-Frame-Options` is `SAMEORIGIN` unless the policy has
    /// `frame-ancestors 'none'`.
    ///
    /// # Errors
    /// A byte that is invalid in a field.
    pub fn with(policy: &str) -> Result<Self, FieldError> {
        let frames = if policy.contains("frame-ancestors 'none'") { "DENY" } else { "SAMEORIGIN" };
        let values = [policy, "nosniff", frames, "strict-origin-when-cross-origin"];
        let mut lines = Vec::new();
        for (name, value) in NAMES.into_iter().zip(values) {
            push_field(&mut lines, name, value.as_bytes())?;
        }
        let policy = policy.split_once(NONCE).map(|(before, after)| {
            let first_line = lines.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            lines.drain(..first_line);
            Policy { before: before.to_owned(), after: after.to_owned() }
        });
        Ok(Self { policy, lines })
    }
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy {
    fn filled(&self, nonce: &Nonce) -> String {
        format!("{}{}{}", self.before, nonce.0, self.after.replace(NONCE, &nonce.0))
    }
}

impl Filter for SecurityHeaders {
    fn before(&self, request: &mut Request) -> ControlFlow<Response> {
        if self.policy.is_some() {
            request.context().insert(Nonce::new());
        }
        ControlFlow::Continue(())
    }

    fn after(&self, context: &Context, response: &mut Response) {
        if let Some(policy) = &self.policy
            && let Some(nonce) = context.get::<Nonce>()
            && response.field_value(NAMES[0]).is_none()
        {
            response.add_field(NAMES[0], policy.filled(&nonce)).expect("checked when it was made");
        }
        if !response.has_any_field(&NAMES) {
            return response.add_lines(&self.lines);
        }
        for line in self.lines.split_inclusive(|&byte| byte == b'\n') {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            if response.field_value(&String::from_utf8_lossy(name)).is_none() {
                response.add_lines(line);
            }
        }
    }

    fn refused(&self, context: &Context, response: &mut Response) {
        if self.policy.is_some() && context.get::<Nonce>().is_none() {
            context.insert(Nonce::new());
        }
        self.after(context, response);
    }
}
