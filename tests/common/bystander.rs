//! A well-behaved client that sends requests while others misbehave: every response must be right, and in
//! time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::HELLO;
use super::client::Client;

/// Longest wait of a bystander for a response. A core that is stuck never responds; a loaded machine
/// takes a fraction of this.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Requests `Hello, World!` repeatedly, on one kept connection and, in turn, on a new one.
pub(crate) struct Bystander {
    done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Bystander {
    /// Begins to send requests; returns after the first response.
    pub(crate) fn start(addr: SocketAddr) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let until = done.clone();
        let mut kept = Client::connect(addr);
        kept.is_usable();
        let thread = thread::spawn(move || {
            for answers in 0.. {
                exchange(&mut kept);
                if answers % 4 == 0 {
                    exchange(&mut Client::connect(addr));
                }
                // Checked here, so that it sends at least one request.
                if until.load(Ordering::Relaxed) {
                    break;
                }
                kept.stays_quiet(Duration::from_millis(2));
            }
            kept.is_usable();
        });
        Self { done, thread }
    }

    /// Ends, and asserts that no response was wrong or late.
    #[track_caller]
    pub(crate) fn was_never_disturbed(self) {
        self.done.store(true, Ordering::Relaxed);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

fn exchange(client: &mut Client) {
    let began = Instant::now();
    client.ask(HELLO).is(200, "Hello, World!");
    let took = began.elapsed();
    assert!(took < ANSWER_WITHIN, "an answer took {took:?}");
}
