//! One core's interface to the kernel: a companion `io_uring` beside the executor's own rings.
//!
//! All I/O of a core on sockets and files goes through this module, and all of the project's `unsafe` is
//! here. The layers above see only safe, small types:
//!
//! ```text
//! Ring ── driver task: submit and collect in one io_uring_enter, wake tasks, wait or park
//!  ├─ Listener   multishot accept
//!  ├─ Socket     receive from provided buffers, owned sends, deadlines, shutdown, linked close
//!  ├─ Datagram   owned receive and send of messages
//!  ├─ File       open below a root, metadata, reads that never block the core
//!  ├─ sleep      one coarse timer wheel
//!  ├─ Mailbox    messages from other threads
//!  └─ blocking   threads beside the core, for work that would block it
//! ```
//!
//! Two rules: *Ownership:* memory that the kernel may still read or write belongs to an operation's slot and
//! never to a future; dropping a future cancels, and the slot is freed by its last completion. *Bounds:* a
//! connection holds a bounded number of receive buffers and one send, whatever its peer does. Knows nothing
//! of HTTP.

mod background;
mod blocking;
mod buffers;
mod core;
mod datagram;
mod directory;
mod doorbell;
mod driver;
mod file;
mod idle;
mod key;
mod listener;
mod mailbox;
mod offload;
mod op;
mod payload;
mod peer;
mod probe;
mod recv_buf;
mod slots;
mod socket;
pub mod sys;
mod task;
mod timer;
mod turn;
mod wake;
mod wakers;

pub use self::background::{lower_priority, yield_to_workers};
pub use self::blocking::Reply;
pub use self::core::{BLOCK_BYTES, Ring, RingConfig, RingStats};
pub use self::datagram::Datagram;
pub use self::directory::{Directory, DirectoryEntry};
pub use self::file::{BlockingFile, File, InCache, Links, Metadata, ReadNow, Root, output_files};
pub use self::listener::{Listener, bound_addr, listen, listen_alone, listen_unix, listen_unix_after};
pub use self::mailbox::{MAILBOX_MAX, Mailbox, SendError, Sender, mailbox};
pub use self::payload::{Block, Payload};
pub use self::peer::{PeerState, Watched};
pub use self::probe::{Feature, KERNEL_MIN, LOCKED_BYTES_MIN, Probe, SetupError, check, kernel_version};
pub use self::recv_buf::RecvBuf;
pub use self::slots::Waits;
pub use self::socket::{NonBlocking, Socket};
pub use self::task::yield_now;
pub use self::timer::later;
pub use self::wakers::Wakers;
