//! One request and its response, whichever version of HTTP carries them: between the service that answers and
//! the drivers that move bytes.
//!
//! ```text
//!             service
//!    call ▲      ▲ │ response, frames, interim responses
//!         │ body │ ▼
//!      ┌──┴──────┴────────────────────────────────────────────┐
//!      │ exchange   call    421, 413, panics, access log      │
//!      │            gate    what may still be said            │
//!      │            answer  what a response may be            │
//!      │            pace    how slow a request's body may be  │
//!      │            source  where a response's body is from   │
//!      └──┬───────────────────────────────────────────────────┘
//!         ▼
//!   server::h1, server::h2
//! ```
//!
//! Every policy stands here once. Knows no frame, no chunk and no socket call; times are handed in.

mod access;
mod answer;
mod call;
mod gate;
mod limits;
mod pace;
mod source;
mod worker;

pub(crate) use self::access::{Entry, end_of, flush, peer_of, refused};
pub(crate) use self::answer::{Asked, Delivery, admit};
pub(crate) use self::call::{Opened, call, call_now, open, panicked, refuse_head, refuse_unread};
pub(crate) use self::gate::Gate;
pub use self::limits::Limits;
pub(crate) use self::pace::{Pace, has_progressed};
pub(crate) use self::source::{Pulled, read_cold};
pub(crate) use self::worker::{Drain, Worker};
