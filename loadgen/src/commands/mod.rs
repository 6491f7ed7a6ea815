//! What the binary can do, a file each: arguments in, an exit code out.

pub(crate) mod merge;
pub(crate) mod report;
