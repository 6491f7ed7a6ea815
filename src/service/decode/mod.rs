//! Decodes text to typed values: path parameters, queries and forms, JSON. Errors have a place and a reason
//! that a client can act on, without names of Rust types. Knows no request and no status.

mod error;
mod form;
mod json;
mod path;
mod value;

pub(crate) use error::{Fault, FaultKind};
pub(crate) use form::from_form;
pub(crate) use json::from_json;
pub(crate) use path::from_path;
