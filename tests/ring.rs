//! The ring against the kernel: full queues, missing buffers, slow and vanishing peers, signals, deadlines,
//! parking. Peers are blocking sockets on threads of their own; what is promised must hold byte by byte.
//!
//! Every test runs on an executor of its own and fails when it takes longer than [`harness::PATIENCE`].
//! Tests that count descriptors or measure time run alone.

#[path = "ring/accept.rs"]
mod accept;
#[path = "ring/blocking.rs"]
mod blocking;
#[path = "ring/cancel.rs"]
mod cancel;
#[path = "ring/churn.rs"]
mod churn;
#[path = "ring/files.rs"]
mod files;
#[path = "ring/harness.rs"]
mod harness;
#[path = "ring/mailbox.rs"]
mod mailbox;
#[path = "ring/names.rs"]
mod names;
#[path = "ring/parking.rs"]
mod parking;
#[path = "ring/pressure.rs"]
mod pressure;
#[path = "ring/queue.rs"]
mod queue;
#[path = "ring/receive.rs"]
mod receive;
#[path = "ring/send.rs"]
mod send;
#[path = "ring/tasks.rs"]
mod tasks;
#[path = "ring/time.rs"]
mod time;
#[path = "ring/wakers.rs"]
mod wakers;
