//! One request and its response, for every version of HTTP: the layer between the service and the drivers
//! that move bytes.
//!
//! ```text
//!             service
//!    call ▲      ▲ │ response, frames, interim responses
//!         │ body │ ▼
//!      ┌──┴──────┴────────────────────────────────────────────┐
//!      │ exchange   call    421, 413, panics                  │
//!      │            entry   access log, fields of refusals    │
//!      │            answer  which responses may be sent       │
//!      │            pace    minimum rate of request bodies    │
//!      │            source  the content of response bodies    │
//!      └──┬───────────────────────────────────────────────────┘
//!         ▼
//!   server::h1, server::h2
//! ```
//!
//! Every policy is defined here once. Knows no frame, no chunk and no socket call; callers pass the time.

mod answer;
mod call;
mod entry;
mod limits;
mod pace;
mod source;
mod worker;

pub(crate) use self::answer::{BeforeResponse, Delivery, Gate, RequestKind, admit};
pub(crate) use self::call::{
    BegunExchange, RefusedRequest, call, call_now, cut_response, flush, is_over, misdirected, open,
    poll_call, refuse_head, refuse_unread, route_is_over,
};
pub(crate) use self::entry::{LogEntry, end_of, peer_of};
pub use self::limits::Limits;
pub(crate) use self::limits::{CurrentLimits, TICK};
pub(crate) use self::pace::{Pace, Progress};
pub(crate) use self::source::{Pulled, read_cold};
pub use self::worker::InProgress;
pub(crate) use self::worker::Worker;
