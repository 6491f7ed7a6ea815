//! One request and its response, whichever version of HTTP carries them: between the service that answers and
//! the drivers that move bytes.
//!
//! ```text
//!             service
//!    call ▲      ▲ │ response, frames, interim responses
//!         │ body │ ▼
//!      ┌──┴──────┴────────────────────────────────────────────┐
//!      │ exchange   call    421, 413, panics, access log      │
//!      │            answer  what may be said, and be sent     │
//!      │            pace    how slow a request's body may be  │
//!      │            source  where a response's body is from   │
//!      └──┬───────────────────────────────────────────────────┘
//!         ▼
//!   server::h1, server::h2
//! ```
//!
//! Every policy stands here once. Knows no frame, no chunk and no socket call; times are handed in.

mod answer;
mod call;
mod limits;
mod pace;
mod source;
mod worker;

pub(crate) use self::answer::{Delivery, Gate, RequestKind, admit};
pub(crate) use self::call::{
    BegunExchange, LogEntry, call, call_now, end_of, flush, open, panicked, peer_of, refuse_head,
    refuse_unread, refused,
};
pub use self::limits::Limits;
pub(crate) use self::pace::{Pace, has_progressed};
pub(crate) use self::source::{Pulled, read_cold};
pub(crate) use self::worker::{Drain, Worker};
