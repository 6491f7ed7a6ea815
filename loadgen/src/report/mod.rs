//! What people and programs are told of a result.

pub(crate) mod terminal;
