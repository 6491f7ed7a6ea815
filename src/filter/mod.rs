//! Filters for [`Router::filter`](crate::service::Router::filter) and
//! [`Router::around`](crate::service::Router::around): what most servers want said or done about every
//! request. Each is off until it is added, and each option says its default and its reason.

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
pub use self::auth::{BasicAuth, UsersError};
#[cfg(feature = "compress")]
pub use self::compress::Compress;
pub use self::cors::Cors;
pub use self::error_pages::ErrorPages;
pub use self::fields::Fields;
pub use self::https::{Hsts, HttpsRedirect};
pub use self::request_id::{RequestId, RequestIds};
pub use self::security::{Nonce, SecurityHeaders};
pub use self::timeout::Timeout;
pub use self::user::User;
