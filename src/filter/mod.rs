//! Filters for [`Router::filter`](crate::service::Router::filter) and
//! [`Router::around`](crate::service::Router::around): functions that most servers need for every
//! request. Each is off until it is added, and each option documents its default and its reason.

mod acme;
#[cfg(feature = "auth")]
mod auth;
#[cfg(feature = "compress")]
mod compress;
mod cors;
mod error_pages;
mod fields;
mod https;
mod request_id;
mod security;
mod timeout;
mod user;
mod vary;

pub use self::acme::AcmeChallenges;
#[cfg(feature = "auth")]
pub use self::auth::{BasicAuth, BasicAuthError, BasicAuthOptions, UsersError};
#[cfg(feature = "compress")]
pub use self::compress::{Compress, CompressOptions};
pub use self::cors::{Cors, CorsError, CorsOptions};
pub use self::error_pages::{ErrorPages, ErrorPagesOptions, PageError, PageSource};
pub use self::fields::{Fields, FieldsOptions};
pub use self::https::{Hsts, HstsOptions, HttpsOptions, HttpsRedirect};
pub use self::request_id::{RequestId, RequestIdOptions, RequestIds};
pub use self::security::{Nonce, SecurityHeaders, SecurityHeadersOptions};
pub use self::timeout::{Timeout, TimeoutOptions};
pub use self::user::User;
