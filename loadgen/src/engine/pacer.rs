//! Keeps an open loop's time on one core: sleeps to shortly before an arrival is due, then turns the ring
//! without waiting until it is.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::alarm::Alarm;
use super::core::{Core, Paced};
use super::cpu;

/// Before an arrival, when to stop sleeping: a sleep ends late by some 50 µs, on virtual machines by more.
const AWAKE_BEFORE_NS: u64 = 100_000;

/// Least sleep worth its two system calls.
const SLEEP_MIN_NS: u64 = 20_000;

/// Longest sleep: the run may be broken off meanwhile.
const SLEEP_MAX_NS: u64 = 50_000_000;

pub(super) async fn run(core: Rc<Core>, alarm: Alarm) {
    loop {
        match core.hand_out() {
            Paced::Over => break,
            Paced::NobodyFree => {
                poll_fn(|cx| if core.poll_nobody_free(cx.waker()) { Poll::Pending } else { Poll::Ready(()) })
                    .await;
            }
            Paced::Until(due_ns) => {
                let left_ns = due_ns.saturating_sub(core.now_ns());
                let sleep_ns = left_ns.saturating_sub(AWAKE_BEFORE_NS).min(SLEEP_MAX_NS);
                let slept = sleep_ns >= SLEEP_MIN_NS
                    && alarm.wait(&core.ring, Duration::from_nanos(sleep_ns)).await.is_ok();
                if !slept {
                    cpu::spin(&core).await;
                }
            }
        }
        if core.gate.closed.get() {
            break;
        }
    }
    core.wake_all();
}
