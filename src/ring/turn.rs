//! One turn of the ring: submit, collect, dispatch each completion.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use io_uring::{cqueue, opcode, types};

use super::buffers::BufferPool;
use super::core::{Core, CoreInner, Ring, RingConfig, timespec};
use super::key::{Key, OpKind};
use super::sys;
use super::task::SlotWaker;

impl Core {
    /// One turn: submit and collect; then settle sends, fire timers and arm starved receives. With `wait` the
    /// kernel waits for a completion or the alarm: a timeout per wait would program the hardware timer twice
    /// per request, which is expensive in a virtual machine.
    pub(super) fn turn(self: &Rc<Self>, wait: bool) {
        // Also on a core that never waits: the alarm is what lets the executor poll its own rings.
        self.inner.borrow_mut().arm_alarm();
        self.turn_without_alarm(wait);
    }

    /// As [`turn`](Self::turn), for a core that is about to sleep.
    pub(super) fn turn_without_alarm(self: &Rc<Self>, wait: bool) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let others_wait =
            inner.batch_awaited || !inner.turn_waiters.is_empty() || !inner.early_completions.is_empty();
        let can_feed = !inner.starved.is_empty() && self.pool.free() > 0;
        let want = u32::from(wait && !others_wait && !can_feed);
        inner.submit_and_collect(&self.pool, &self.config, want);
        self.read_clock(inner);
        inner.turn_waiters.drain(..).for_each(SlotWaker::wake_once);
        self.fire_timers(inner);
        if !inner.starved.is_empty() {
            inner.feed_starved(&self.pool);
        }
    }

    pub(super) fn read_clock(&self, inner: &mut CoreInner) {
        let now = Instant::now();
        self.now.set(now);
        self.unix_seconds.set(sys::unix_seconds());
        inner.read_tick(now);
    }

    fn fire_timers(&self, inner: &mut CoreInner) {
        let mut fired = std::mem::take(&mut inner.fired);
        inner.wheel.advance(inner.tick, &mut fired);
        inner.busy |= !fired.is_empty();
        for (due, token) in fired.drain(..) {
            let key = Key::from_user_data(token);
            if token & 1 == 1 {
                inner.check_deadline(key, due);
            } else {
                inner.end_sleep(key, due);
            }
        }
        inner.fired = fired;
    }
}

impl CoreInner {
    /// Submits what is queued, waits for `want` completions, dispatches all that arrived, and settles the
    /// batch if all its results are known.
    fn submit_and_collect(&mut self, pool: &BufferPool, config: &RingConfig, want: u32) {
        self.enter(want, None);
        // Checked before completions are handled, which queues more. Completions that the kernel holds back
        // now, because the queue was full, cannot be among them: a failure may still be unseen.
        let all_seen = {
            let queue = self.uring.submission();
            queue.is_empty() && !queue.cq_overflow()
        };
        self.collect(pool, config);
        if all_seen {
            self.settle_batch();
        }
    }

    fn collect(&mut self, pool: &BufferPool, config: &RingConfig) {
        let mut completions = std::mem::take(&mut self.completions);
        completions.append(&mut self.early_completions);
        completions.extend(self.uring.completion());
        self.stats.completions += completions.len() as u64;
        for completion in completions.drain(..) {
            let data = completion.user_data();
            let (key, result, flags) = (Key::from_user_data(data), completion.result(), completion.flags());
            if OpKind::is_counted(data) && !cqueue::more(flags) {
                self.in_flight -= 1;
            }
            self.busy |= data & 0xff != OpKind::Ignore as u64 && data & 0xff != OpKind::Alarm as u64;
            match data & 0xff {
                k if k == OpKind::Alarm as u64 => (self.alarm_armed, self.alarm_fired) = (false, true),
                k if k == OpKind::Recv as u64 => self.handle_recv(pool, config, key, result, flags),
                k if k == OpKind::Send as u64 => self.handle_send(key, result),
                k if k == OpKind::Batch as u64 => self.handle_batch_failure(key, result),
                k if k == OpKind::Accept as u64 => self.handle_accept(key, result, flags),
                k if k == OpKind::Op as u64 => self.handle_op(key, result),
                _ => {}
            }
        }
        self.completions = completions;
    }
}

impl Ring {
    /// Ends what is left of a core whose driver runs no more, though the executor has not dropped it: its
    /// clients would wait, and an accept that is still armed would take the wake-ups of the worker that
    /// accepts on the same socket next. For the thread of the core.
    pub fn abandon(&self) {
        let core = &self.core;
        // A destructor that panics as well must not keep the rest.
        let _ = catch_unwind(AssertUnwindSafe(|| core.tasks.end()));
        let mut inner = core.inner.borrow_mut();
        let inner = &mut *inner;
        // Not where a linked close may have run already: the number may be another connection's.
        for (_, slot) in inner.sockets.iter().filter(|(_, slot)| !slot.closing && !slot.closed) {
            sys::shutdown(slot.fd, libc::SHUT_RDWR);
        }
        let everything = opcode::AsyncCancel2::new(types::CancelBuilder::any()).build();
        inner.push(&everything.user_data(OpKind::Ignore as u64));
        let step = timespec(Duration::from_millis(10));
        for _ in 0..ABANDON_STEPS_MAX {
            inner.submit_and_collect(&core.pool, &core.config, 0);
            if inner.in_flight == 0 && inner.uring.submission().is_empty() {
                break;
            }
            inner.enter(1, Some(&step));
        }
        // Without a slot, a handle that is dropped after all closes nothing.
        for mut slot in inner.listeners.drain() {
            slot.close_queue();
        }
    }
}

/// Half a second: cancelled operations end at once, except for reads from a disk.
const ABANDON_STEPS_MAX: u32 = 50;

impl Drop for Core {
    /// Waits for the last completions, so that the kernel uses no memory of ours when it is freed. Every
    /// handle is gone, because handles keep the core alive, and has cancelled its operations; the completions
    /// close descriptors as usual. If they do not arrive within a second, the memory is leaked instead.
    fn drop(&mut self) {
        let inner = self.inner.get_mut();
        let step = timespec(Duration::from_millis(10));
        for _ in 0..100 {
            inner.submit_and_collect(&self.pool, &self.config, 0);
            let queued = !inner.uring.submission().is_empty() || !inner.batch.is_empty();
            if inner.in_flight == 0 && !queued {
                break;
            }
            if !queued {
                inner.enter(1, Some(&step));
            }
        }
        // A close linked to a send posts no completion and runs as deferred work, some 20 items per enter.
        for _ in 0..=self.config.submissions / 16 {
            inner.enter(0, None);
        }
        for (_, socket) in inner.sockets.iter() {
            socket.close_now();
        }
        for (_, listener) in inner.listeners.iter_mut() {
            listener.close_queue();
        }
        if inner.in_flight > 0 {
            self.pool.leak();
            for slot in inner.ops.drain() {
                std::mem::forget(slot);
            }
            for slot in inner.sends.drain() {
                std::mem::forget(slot);
            }
        }
    }
}
