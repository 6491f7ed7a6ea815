//! The access log through a socket: what each exchange leaves in it, what no client can put into it, and what
//! a rotation, a stuck reader or a full disk costs. The log is read from its file, as operators do.

mod common;

#[path = "access_log/endings.rs"]
mod endings;
#[path = "http/lab.rs"]
mod lab;
#[path = "access_log/lines.rs"]
mod lines;
#[path = "access_log/site.rs"]
mod site;
#[path = "access_log/writing.rs"]
mod writing;
