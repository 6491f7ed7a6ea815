//! One turn of the ring: submit, collect, hand each completion to what it belongs to.

use std::rc::Rc;
use std::task::Waker;

use io_uring::cqueue;

use super::core::{Core, Inner};
use super::key::{Key, Kind};

impl Core {
    /// One turn: submit and collect; then settle sends, fire timers and arm starved receives. With `wait` the
    /// kernel waits for something to happen, or for the alarm: a timeout per wait would set the clock's
    /// hardware twice per request, which a virtual machine pays for dearly.
    pub(super) fn turn(self: &Rc<Self>, wait: bool) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let others_wait = inner.batch_awaited || !inner.turn_waiters.is_empty();
        let can_feed = !inner.starved.is_empty() && self.pool.free() > 0;
        if wait && !others_wait && !can_feed {
            inner.arm_alarm();
            inner.enter(1, None);
        } else {
            inner.enter(0, None);
        }
        // Looked at before completions are handled, which queues more. While completions overflow, a failure
        // may still be unseen.
        let all_seen = {
            let queue = inner.uring.submission();
            queue.is_empty() && !queue.cq_overflow()
        };
        self.read_clock(inner);
        self.collect(inner);
        if all_seen {
            inner.settle_batch();
        }
        inner.turn_waiters.drain(..).for_each(Waker::wake);
        self.fire_timers(inner);
        if !inner.starved.is_empty() {
            inner.feed_starved(&self.pool);
        }
    }

    fn collect(&self, inner: &mut Inner) {
        let mut completions = std::mem::take(&mut inner.completions);
        completions.extend(inner.uring.completion());
        inner.stats.completions += completions.len() as u64;
        for completion in completions.drain(..) {
            let data = completion.user_data();
            let (key, result, flags) = (Key::from_user_data(data), completion.result(), completion.flags());
            if Kind::is_counted(data) && !cqueue::more(flags) {
                inner.in_flight -= 1;
            }
            inner.busy |= data & 0xff != Kind::Ignore as u64 && data & 0xff != Kind::Alarm as u64;
            match data & 0xff {
                k if k == Kind::Alarm as u64 => (inner.alarm_armed, inner.alarm_fired) = (false, true),
                k if k == Kind::Recv as u64 => {
                    inner.handle_recv(&self.pool, &self.config, key, result, flags)
                }
                k if k == Kind::Send as u64 => inner.handle_send(key, result),
                k if k == Kind::Batch as u64 => inner.handle_batch_failure(key, result),
                k if k == Kind::Accept as u64 => inner.handle_accept(key, result, flags),
                k if k == Kind::Op as u64 => inner.handle_op(key, result),
                _ => {}
            }
        }
        inner.completions = completions;
    }

    fn fire_timers(&self, inner: &mut Inner) {
        let mut fired = std::mem::take(&mut inner.fired);
        inner.wheel.advance(inner.tick, &mut fired);
        inner.busy |= !fired.is_empty();
        for (due, token) in fired.drain(..) {
            let key = Key::from_user_data(token);
            if token & 1 == 1 {
                inner.check_deadline(key, due);
            } else {
                inner.handle_op(key, 0);
            }
        }
        inner.fired = fired;
    }
}
