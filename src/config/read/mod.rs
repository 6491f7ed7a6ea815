//! From tables to options: one file for each part of a configuration, with its keys and what they become.
//! What
//! `validate` can find is not looked for again here.

pub(super) mod files;
pub(super) mod filters;
pub(super) mod handlers;
pub(super) mod limits;
pub(super) mod proxy;
pub(super) mod root;
pub(super) mod server;
pub(super) mod site;
pub(super) mod tests;
pub(super) mod tls;
pub(super) mod upstreams;
