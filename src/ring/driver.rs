//! The driver: the task that turns the ring, waits in it while there is traffic, and parks the core in the
//! executor when there is none.
//!
//! While busy it costs one `io_uring_enter` per turn, which both submits the queued entries and collects
//! completions. Between turns it runs the tasks that are ready (see `task`). Before it waits in the kernel it
//! lets the executor run once, for futures that are not tasks of the ring. An alarm in the ring
//! (`RingConfig::alarm_every`) ends waits, because glommio's own rings are not polled meanwhile: when it
//! fires on a busy core, glommio polls; on a core without events since the last alarm, the driver parks: the
//! ring's eventfd is enabled by a store, one more turn catches what came in between, and glommio sleeps on
//! the eventfd with its other sources.
//!
//! **A trap in the executor** (glommio-ng 0.12, `LocalExecutor::run`): if its preemption timer fires before
//! the first task of a round has run, which happens to a thread that was preempted meanwhile, it takes the
//! round for idle and sleeps although tasks are ready. So workers set that timer to an hour, and the driver
//! lets glommio poll by waiting for a descriptor that is always readable, which makes the executor run one
//! round without sleeping.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use glommio::io::PollableFd;
use io_uring::{opcode, types};

use super::core::{Core, CoreInner, Ring};
use super::key::OpKind;
use super::sys;
use super::task::yield_now;
use super::timer::TICK_MS;

/// Passes over the ready tasks before a turn that does not wait: tasks that keep waking each other must not
/// keep the ring from turning.
const PASSES_MAX: u32 = 4;

/// The eventfd, lent to the executor; `CoreInner` owns it.
struct DriverEvent(RawFd);

impl AsRawFd for DriverEvent {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Ring {
    /// Drives the ring and its tasks, once; the future ends soon after [`stop`](Self::stop). Whatever ends
    /// it, the tasks that are left are dropped with it.
    pub async fn drive(&self) {
        let core = self.core.clone();
        let _tasks = EndTasks(&core);
        self.spawn(self.clone().answer_doorbell(), |_| ());
        let event = DriverEvent(core.inner.borrow().event.as_raw_fd());
        let event = PollableFd::new(event).expect("the driver runs on an executor");
        let always = always_readable().expect("one more descriptor at start");
        while !core.stopping.get() {
            let idle = core.run_tasks().await;
            core.turn(idle);
            core.tasks.ready.wake_others();
            match core.take_alarm() {
                Alarm::Silent => {}
                Alarm::Busy => drop(always.readable().await),
                Alarm::Quiet => core.park(&event).await,
            }
        }
    }

    /// Ends the driver at its next turn.
    pub fn stop(&self) {
        self.core.stopping.set(true);
        // The driver may be parked.
        sys::signal_event(self.core.inner.borrow().event.as_raw_fd());
    }
}

/// Ends the tasks of a ring when its driver ends.
struct EndTasks<'a>(&'a Core);

impl Drop for EndTasks<'_> {
    fn drop(&mut self) {
        self.0.tasks.end();
    }
}

/// The result of checking the alarm.
enum Alarm {
    /// It has not fired.
    Silent,
    /// It fired, and events occurred since the last time.
    Busy,
    /// It fired, and no event occurred.
    Quiet,
}

impl Core {
    /// Runs what is ready, and what that makes ready. Whether nothing is ready any more.
    async fn run_tasks(&self) -> bool {
        let ready = &self.tasks.ready;
        for _ in 0..PASSES_MAX {
            if !ready.is_empty() {
                self.tasks.run();
                ready.wake_others();
                continue;
            }
            yield_now().await;
            if ready.is_empty() {
                return true;
            }
        }
        false
    }

    /// Checks whether the alarm fired, and resets it.
    fn take_alarm(&self) -> Alarm {
        let mut inner = self.inner.borrow_mut();
        if !std::mem::take(&mut inner.alarm_fired) {
            return Alarm::Silent;
        }
        if std::mem::take(&mut inner.busy) || !inner.uring.submission().is_empty() {
            Alarm::Busy
        } else {
            Alarm::Quiet
        }
    }

    async fn park(self: &Rc<Self>, event: &PollableFd<DriverEvent>) {
        if self.inner.borrow_mut().renew_event().is_err() {
            return;
        }
        self.inner.borrow_mut().uring.completion().enable_eventfd();
        self.arm_park_timer();
        // Events that completed before the eventfd was enabled did not signal it.
        self.turn_without_alarm(false);
        let sleeps = {
            let mut inner = self.inner.borrow_mut();
            let is_ready = !self.tasks.ready.is_empty() || self.stopping.get();
            let quiet = !inner.busy && inner.uring.submission().is_empty() && !is_ready;
            inner.stats.parks += u64::from(quiet);
            inner.parked = quiet;
            self.asleep.set(quiet);
            self.pool.awaited.set(quiet && !inner.starved.is_empty());
            quiet
        };
        if sleeps {
            self.tasks.ready.set_asleep(Some(event.as_raw_fd()));
            if event.readable().await.is_ok() {
                sys::clear_event(event.as_raw_fd());
            }
            // The executor may run other tasks before the next turn reads the clock.
            self.read_clock(&mut self.inner.borrow_mut());
            self.tasks.ready.set_asleep(None);
            self.asleep.set(false);
            self.pool.awaited.set(false);
            self.inner.borrow_mut().parked = false;
        }
        self.inner.borrow_mut().uring.completion().disable_eventfd();
    }

    /// Arms a wake-up for the next timer, unless one is armed that is early enough.
    fn arm_park_timer(&self) {
        let mut inner = self.inner.borrow_mut();
        let Some(due) = inner.wheel.next_due() else { return };
        if inner.park_timer.is_some_and(|armed| armed > inner.tick && armed <= due) {
            return;
        }
        inner.park_timer = Some(due);
        let wait_ms = (due.saturating_sub(inner.tick)).max(1) * TICK_MS;
        *inner.park_timespec =
            types::Timespec::new().sec(wait_ms / 1000).nsec((wait_ms % 1000) as u32 * 1_000_000);
        // The kernel copies the time when it takes the entry, which the next turn makes it do.
        let entry = opcode::Timeout::new(&raw const *inner.park_timespec).build();
        inner.push(&entry.user_data(OpKind::Ignore as u64));
    }
}

impl CoreInner {
    /// Registers the ring's eventfd anew when another eventfd is polled. While one eventfd is written the
    /// kernel must not signal a second one at once, so it defers that to a callback of which a registration
    /// has one, and newer kernels (seen on 6.18) never make that usable again: a second foreign event would
    /// leave the core asleep without end. Two short system calls per park, and only where an event is
    /// awaited.
    fn renew_event(&mut self) -> io::Result<()> {
        if self.events_polled == 0 {
            return Ok(());
        }
        // Fails when the registration before failed: then there is nothing to unregister.
        let _ = self.uring.submitter().unregister_eventfd();
        self.uring.submitter().register_eventfd(self.event.as_raw_fd())
    }
}

/// A descriptor that is always readable.
fn always_readable() -> io::Result<PollableFd<OwnedFd>> {
    let event = sys::eventfd(true)?;
    sys::signal_event(event.as_raw_fd());
    PollableFd::new(event).map_err(io::Error::other)
}
