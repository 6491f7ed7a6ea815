//! A well-behaved client that keeps asking while others misbehave: every answer must be right, and in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::HELLO;
use super::client::Client;

/// Longest that a bystander may wait for an answer. A core that is stuck takes for ever; a loaded machine
/// takes a fraction of this.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Asks for `Hello, World!` over and over on one kept connection and, in turn, on a new one.
pub(crate) struct Bystander {
    done: Arc<AtomicBool>,
    thread: JoinHandle<u32>,
}

impl Bystander {
    /// Begins to ask; the first answer has come when this returns.
    pub(crate) fn start(addr: SocketAddr) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let until = done.clone();
        let mut kept = Client::connect(addr);
        kept.is_usable();
        let thread = thread::spawn(move || {
            let mut answers = 0;
            while !until.load(Ordering::Relaxed) {
                exchange(&mut kept);
                if answers % 4 == 0 {
                    exchange(&mut Client::connect(addr));
                }
                answers += 1;
                thread::sleep(Duration::from_millis(2));
            }
            kept.is_usable();
            answers
        });
        Self { done, thread }
    }

    /// Ends, and asserts that nothing was ever wrong or late.
    #[track_caller]
    pub(crate) fn was_never_disturbed(self) {
        self.done.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(answers) => assert!(answers > 0, "it asked"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn exchange(client: &mut Client) {
    let began = Instant::now();
    client.ask(HELLO).is(200, "Hello, World!");
    let took = began.elapsed();
    assert!(took < ANSWER_WITHIN, "an answer took {took:?}");
}
