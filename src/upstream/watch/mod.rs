//! The thread that watches endpoints for all cores: active checks and addresses of names. It has a ring and
//! an executor of its own, so that nothing a check or a resolver does is felt by requests.
//!
//! It holds what it watches weakly: whatever no core uses any more is no longer watched, and with the
//! registry of upstreams the thread ends. If it cannot be started, that is reported once; endpoints then pass
//! for healthy, names are looked up when a plan is built, and everything else works.

mod answer;
mod ask_h1;
mod ask_h2;
mod check;
mod dns;
mod names;
#[cfg(test)]
mod tests;
mod wanted;

use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

#[cfg(feature = "config")]
pub(crate) use self::names::look_up_wanted;
pub(crate) use self::names::{NameState, look_up};
pub(crate) use self::wanted::{Found, Wanted};
use super::state::{EndpointState, UpstreamState};
use crate::observe::log;
use crate::ring::{Mailbox, Ring, RingConfig, Sender, lower_priority, mailbox};

/// glommio's preemption timer, set so that it never fires, as on workers.
const PREEMPT_EVERY: Duration = Duration::from_secs(3600);

/// Bytes of the executor's own buffers, which are not used: the least it allows.
const EXECUTOR_IO_BYTES: usize = 64 * 1024;

/// Receive buffers of its ring. Answers to checks are small and are read at once.
const BUFFERS: u16 = 64;

/// What the thread is asked to watch.
enum Watch {
    Name(Weak<NameState>),
    Checks(Weak<UpstreamState>, Weak<EndpointState>),
}

/// The thread, as long as this is held.
#[derive(Debug)]
pub(crate) struct Watcher {
    sender: Sender<Watch>,
    /// Failures to reach it, of which the first is reported.
    lost: AtomicU64,
}

impl Watcher {
    /// Starts the thread; `None`, and a line in the log, if the system has none.
    pub(crate) fn start() -> Option<Arc<Self>> {
        let started = mailbox().and_then(|(sender, mailbox)| {
            let builder = thread::Builder::new().name("quoit-watch".to_owned());
            builder.spawn(move || run(mailbox)).map(|_| sender)
        });
        match started {
            Ok(sender) => Some(Arc::new(Self { sender, lost: AtomicU64::new(0) })),
            Err(error) => {
                report_lost(&error);
                None
            }
        }
    }

    /// Looks a name up now, and again at intervals.
    pub(crate) fn look_up(&self, name: &Arc<NameState>) {
        self.send(Watch::Name(Arc::downgrade(name)));
    }

    /// Checks an endpoint as its plan says, until it has none.
    pub(crate) fn check(&self, upstream: &Arc<UpstreamState>, endpoint: &Arc<EndpointState>) {
        self.send(Watch::Checks(Arc::downgrade(upstream), Arc::downgrade(endpoint)));
    }

    fn send(&self, watch: Watch) {
        // As many messages as there are endpoints and names, and none waits for a reply.
        if self.sender.send_always(watch).is_err() && self.lost.fetch_add(1, Relaxed) == 0 {
            report_lost(&"its thread has ended");
        }
    }

    /// Whether the thread still takes messages, as far as is known.
    pub(crate) fn is_alive(&self) -> bool {
        self.lost.load(Relaxed) == 0
    }
}

fn report_lost(why: &dyn std::fmt::Display) {
    let effect = "endpoints pass for healthy, and names keep their addresses until the next reload";
    log::line(format_args!("health checks and name resolution do not run ({why}): {effect}"));
}

fn run(mailbox: Mailbox<Watch>) {
    log::limit_causes();
    // Started by a pinned thread: on that CPU it would compete with the core. Its priority stays.
    if let Err(error) = lower_priority(0) {
        log::line(format_args!("the thread of health checks keeps its priority: {error}"));
    }
    let builder = LocalExecutorBuilder::new(Placement::Unbound)
        .preempt_timer(PREEMPT_EVERY)
        .io_memory(EXECUTOR_IO_BYTES);
    let executor = match builder.make() {
        Ok(executor) => executor,
        Err(error) => return report_lost(&error),
    };
    executor.run(async move {
        let config = RingConfig { buffers: BUFFERS, ..RingConfig::default() };
        match Ring::new(config) {
            Ok(ring) => {
                let receiving = ring.clone();
                spawn(&ring, async move { receive(&mailbox, &receiving).await });
                ring.drive().await;
            }
            Err(error) => report_lost(&error),
        }
    });
}

/// Starts a task for each message, until the registry is gone.
async fn receive(mailbox: &Mailbox<Watch>, ring: &Ring) {
    loop {
        match mailbox.receive(ring).await {
            Ok(Some(Watch::Name(name))) => spawn(ring, names::watch(name, ring.clone())),
            Ok(Some(Watch::Checks(upstream, endpoint))) => {
                spawn(ring, check::watch(upstream, endpoint, ring.clone()));
            }
            Ok(None) => break,
            Err(error) => {
                report_lost(&error);
                break;
            }
        }
    }
    ring.stop();
}

fn spawn(ring: &Ring, task: impl Future<Output = ()> + 'static) {
    ring.spawn(task, |panic| {
        log::line(format_args!("a task that watches endpoints panicked: {}", log::panic_text(&*panic)));
    });
}
