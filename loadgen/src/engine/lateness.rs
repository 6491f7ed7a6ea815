//! Lateness of the generator itself on one core, separated from the target's: by arithmetic on instants that
//! it is given. No clock, no sockets.
//!
//! Three things show it. An arrival of the schedule that is looked at late although everything before it was
//! handed out in time: only the generator can have caused that, and all that waits behind it waits for the
//! generator too, until nothing is overdue any more ([`Backlog`]). A beat that the core asked for and got
//! late: an answer that came meanwhile was seen late as well. And the time for which the kernel let the
//! thread wait for a processor between two beats, by its own account. The last two concern whatever ended
//! between the beats ([`Beats`]).
//!
//! ```text
//! planned ─────────── sent ─────────── answer there ─────── answer seen
//!          Backlog                                   Beats
//! ```

use crate::result::OwnLateness;

/// Between two beats. A core that is kept from running for longer is noticed for certain; the beats of a
/// second cost less than a thousandth of a core.
pub(super) const BEAT_NS: u64 = 5_000_000;

/// By which a sleep may end late without any contention: what an idle processor takes to wake up,
/// on virtual machines in particular, and one turn of the ring.
const WAKE_NS: u64 = 100_000;

/// What a thread may wait for a processor each time it becomes ready: less is the kernel's own work.
const READY_NS: u64 = 20_000;

/// A wait for a processor beyond that is at least so long: the least that the kernel gives others before it.
const SLICE_MIN_NS: u64 = 500_000;

/// Lateness of a request that is not worth a note: what the reading of a clock and one turn of the ring take.
const HARMLESS_NS: u64 = 20_000;

/// Requests that end between two beats and are kept until it is known whether they ended late. Ten times what
/// a core can do; beyond, the first ones stand for all.
const KEPT_MAX: usize = 1 << 16;

/// Arrivals that wait because the generator was late.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Whether everything due was handed out when it was last looked at.
    is_caught_up: bool,
    /// What of the waiting of those that are overdue is the generator's at the most.
    debt_ns: u64,
    /// When that was last found.
    found_ns: u64,
}

impl Default for Backlog {
    fn default() -> Self {
        Self { is_caught_up: true, debt_ns: 0, found_ns: 0 }
    }
}

impl Backlog {
    /// An arrival that was due at `due_ns` is looked at.
    pub(super) fn handle_overdue(&mut self, due_ns: u64, now_ns: u64) {
        if self.is_caught_up {
            (self.is_caught_up, self.debt_ns, self.found_ns) = (false, now_ns.saturating_sub(due_ns), now_ns);
        }
    }

    /// Nothing is overdue.
    pub(super) fn handle_caught_up(&mut self) {
        (self.is_caught_up, self.debt_ns) = (true, 0);
    }

    /// The core did not run for this time, until now.
    fn handle_stall(&mut self, length_ns: u64, now_ns: u64) {
        if self.is_caught_up {
            // Whatever was due meanwhile will be looked at, and found late by as much.
            return;
        }
        // Unless the stall is what made the first of the waiting late.
        let is_known = self.found_ns >= now_ns.saturating_sub(WAKE_NS);
        self.debt_ns = if is_known { self.debt_ns.max(length_ns) } else { self.debt_ns + length_ns };
        self.found_ns = now_ns;
    }

    /// What of the lateness of an arrival that is handed out now is the generator's at the most: a stall of
    /// some length delays nothing by more than that length.
    pub(super) fn own_ns(&self, due_ns: u64, now_ns: u64) -> u64 {
        self.debt_ns.min(now_ns.saturating_sub(due_ns))
    }
}

/// A request that ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) endpoint: u32,
    pub(super) is_ok: bool,
    pub(super) response_ns: u64,
    /// What of it the generator took until it was sent.
    pub(super) own_ns: u64,
}

/// The clocks of a thread: how long it ran, how long it waited for a processor, and how often it got one; in
/// nanoseconds since some start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Thread {
    pub(super) ran_ns: u64,
    pub(super) waited_ns: u64,
    pub(super) times: u64,
}

/// How late a core was between two beats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Late {
    /// All in all, at the least.
    pub(super) ns: u64,
    /// In so many pieces, at the most. Each delays no more requests than were in flight.
    pub(super) times: u64,
}

/// Looks at a core at regular times.
#[derive(Debug, Default)]
pub(super) struct Beats {
    /// When the next one is due, unless the core was already found to be late for it.
    due_ns: Option<u64>,
    before: Option<Thread>,
    /// How late the last one was, while the answers that came meanwhile are not all handled.
    unsettled: Late,
    kept: Vec<Ended>,
}

impl Beats {
    /// When to wake up for the next.
    pub(super) fn begin(&mut self, now_ns: u64) -> u64 {
        let due_ns = now_ns + BEAT_NS;
        self.due_ns = Some(due_ns);
        due_ns
    }

    /// A turn of the core began, whatever for: if it is late for the beat, that is known before anything that
    /// was waiting is handled.
    #[inline]
    pub(super) fn handle_turn(&mut self, turn_ns: u64, backlog: &mut Backlog) {
        if let Some(due_ns) = self.due_ns
            && turn_ns > due_ns + WAKE_NS
        {
            self.due_ns = None;
            backlog.handle_stall(turn_ns - due_ns, turn_ns);
        }
    }

    /// The beat that was due at `due_ns`: for how long the core did not run, or did not look, at the least.
    /// In a closed loop, which may use its core up, what the thread itself ran is no lateness.
    pub(super) fn end(&mut self, due_ns: u64, turn_ns: u64, thread: Thread, may_be_busy: bool) -> Late {
        self.due_ns = None;
        self.unsettled = match self.before.replace(thread) {
            Some(before) => Self::late(before, due_ns, turn_ns, thread, may_be_busy),
            None => Late::default(),
        };
        self.unsettled
    }

    fn late(before: Thread, due_ns: u64, turn_ns: u64, thread: Thread, may_be_busy: bool) -> Late {
        let ran_ns = thread.ran_ns.saturating_sub(before.ran_ns);
        let late_ns = turn_ns.saturating_sub(due_ns + WAKE_NS);
        let late_ns = if may_be_busy { late_ns.saturating_sub(ran_ns) } else { late_ns };
        let waited_ns = thread.waited_ns.saturating_sub(before.waited_ns);
        let times = thread.times.saturating_sub(before.times);
        let waited_ns = waited_ns.saturating_sub(times.saturating_mul(READY_NS));
        if late_ns >= waited_ns {
            return Late { ns: late_ns, times: u64::from(late_ns > 0) };
        }
        Late { ns: waited_ns, times: waited_ns.div_ceil(SLICE_MIN_NS).min(times.max(1)) }
    }

    /// Whether a beat came that [`settle`](Self::settle) has not booked.
    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled.ns > 0
    }

    /// A request ended. It is kept until the next beat shows whether it did so late.
    #[inline]
    pub(super) fn handle_ended(&mut self, ended: Ended) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(ended);
        }
    }

    /// Of what ended since the beat before, as many requests were seen late as can have been in flight each
    /// time that the core was late: those that took longest, since what was seen late took at least as long.
    /// Passes on each request in which the generator may have a share, with that share at the most.
    pub(super) fn settle(&mut self, in_flight_max: usize, mut note: impl FnMut(&Ended, u64)) {
        let late = std::mem::take(&mut self.unsettled);
        let delayed = (late.times as usize).saturating_mul(in_flight_max);
        if late.ns > 0 && delayed < self.kept.len() {
            self.kept.select_nth_unstable_by_key(delayed, |ended| std::cmp::Reverse(ended.response_ns));
        }
        for (place, ended) in self.kept.drain(..).enumerate() {
            let own_ns = ended.own_ns + if place < delayed { late.ns } else { 0 };
            if own_ns > HARMLESS_NS {
                note(&ended, own_ns.min(ended.response_ns));
            }
        }
    }
}

/// Notes a request in the books of its endpoint.
pub(super) fn note(own: &mut Option<Box<OwnLateness>>, ended: &Ended, own_ns: u64) {
    own.get_or_insert_default().note(ended.response_ns, own_ns, ended.is_ok);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn all_that_waits_behind_a_stall_waits_for_the_generator() {
        let mut backlog = Backlog::default();
        // Stopped from 10 ms to 1010 ms; ten connections take the first ten arrivals, the others wait.
        backlog.handle_overdue(10 * MS, 1010 * MS);
        for arrival in 0..1000 {
            let (due_ns, now_ns) = ((10 + arrival) * MS, (1010 + arrival / 10) * MS);
            assert_eq!(backlog.own_ns(due_ns, now_ns), now_ns - due_ns, "all of it, and no more than 1 s");
            backlog.handle_overdue(due_ns, now_ns);
        }
        backlog.handle_caught_up();
        assert_eq!(backlog.own_ns(1200 * MS, 1200 * MS), 0);
        // What the target does afterwards is not the generator's.
        backlog.handle_overdue(1300 * MS, 1300 * MS + 5_000);
        assert_eq!(backlog.own_ns(1400 * MS, 2400 * MS), 5_000);
    }

    #[test]
    fn a_stall_in_a_backlog_of_the_targets_counts_as_long_as_it_was() {
        let mut backlog = Backlog::default();
        backlog.handle_overdue(0, 1_000);
        backlog.handle_stall(200 * MS, 700 * MS);
        assert_eq!(backlog.own_ns(100 * MS, 900 * MS), 200 * MS + 1_000);
        // The same one, found by its first arrival and by the beat.
        let mut backlog = Backlog::default();
        backlog.handle_overdue(100 * MS, 300 * MS);
        backlog.handle_stall(195 * MS, 300 * MS);
        assert_eq!(backlog.own_ns(100 * MS, 400 * MS), 200 * MS);
        let mut backlog = Backlog::default();
        backlog.handle_stall(195 * MS, 300 * MS);
        backlog.handle_overdue(100 * MS, 300 * MS);
        assert_eq!(backlog.own_ns(100 * MS, 400 * MS), 200 * MS);
    }

    /// What is noted of a request of this response time that ended before the beat.
    fn beat(late_ns: u64, thread: [Thread; 2], may_be_busy: bool) -> Option<u64> {
        let (mut beats, mut noted) = (Beats::default(), None);
        let due_ns = beats.begin(0);
        let first = beats.end(due_ns, due_ns, thread[0], may_be_busy);
        assert_eq!(first, Late::default(), "nothing to compare with");
        let due_ns = beats.begin(due_ns);
        beats.handle_ended(Ended { endpoint: 0, is_ok: true, response_ns: 10_000 * MS, own_ns: 0 });
        beats.end(due_ns, due_ns + late_ns, thread[1], may_be_busy);
        beats.settle(1, |_, own_ns| noted = Some(own_ns));
        noted
    }

    #[test]
    fn beats_tell_stalls_from_work_and_from_waking_up() {
        let idle = [Thread::default(); 2];
        let worked = [Thread::default(), Thread { ran_ns: 6 * MS, ..Thread::default() }];
        assert_eq!(beat(80_000, idle, false), None, "a sleep that ended as usual");
        assert_eq!(beat(1_000 * MS, idle, false), Some(1_000 * MS - WAKE_NS));
        assert_eq!(beat(1_000 * MS, idle, true), Some(1_000 * MS - WAKE_NS));
        assert_eq!(beat(2 * MS, worked, true), None, "a closed loop may use its core up");
        assert_eq!(beat(2 * MS, worked, false), Some(2 * MS - WAKE_NS), "an open one may not");
        let waited = |waited_ns, times| [Thread::default(), Thread { waited_ns, times, ..Thread::default() }];
        assert_eq!(beat(0, waited(3 * MS, 50), true), Some(2 * MS), "fifty times as usual, and 2 ms");
        assert_eq!(beat(0, waited(MS, 50), true), None);
    }

    #[test]
    fn a_late_turn_is_known_before_its_beat() {
        let (mut beats, mut backlog) = (Beats::default(), Backlog::default());
        backlog.handle_overdue(0, 0);
        let due_ns = beats.begin(0);
        beats.handle_turn(due_ns + WAKE_NS, &mut backlog);
        assert_eq!(backlog.own_ns(0, 1_000 * MS), 0);
        for _ in 0..2 {
            beats.handle_turn(due_ns + 300 * MS, &mut backlog);
            assert_eq!(backlog.own_ns(0, 1_000 * MS), 300 * MS, "once");
        }
    }

    #[test]
    fn what_was_sent_late_and_seen_late_was_late_twice() {
        let (mut beats, mut noted) = (Beats::default(), Vec::new());
        for (response_ns, own_ns) in [(9 * MS, 2 * MS), (9 * MS, 0), (MS, 0)] {
            beats.handle_ended(Ended { endpoint: 0, is_ok: true, response_ns, own_ns });
        }
        beats.unsettled = Late { ns: 3 * MS, times: 1 };
        beats.settle(3, |_, own_ns| noted.push(own_ns));
        assert_eq!(noted, [5 * MS, 3 * MS, MS], "and never more than there is");
        beats.handle_ended(Ended { endpoint: 0, is_ok: true, response_ns: MS, own_ns: HARMLESS_NS });
        beats.settle(3, |_, _| panic!("it is not worth a note"));
        beats.unsettled = Late { ns: MS, times: 1 };
        beats.settle(3, |_, _| panic!("it was settled"));
    }

    /// Of thousands that a core answers between two beats, a wait delays those that were in flight.
    #[test]
    fn no_more_are_late_than_were_in_flight() {
        let mut beats = Beats::default();
        let mut late = |ns, times| {
            for n in 0..1000 {
                let response_ns = if n % 100 == 7 { 3 * MS } else { 150_000 };
                beats.handle_ended(Ended { endpoint: 0, is_ok: true, response_ns, own_ns: 0 });
            }
            let mut noted = Vec::new();
            beats.unsettled = Late { ns, times };
            beats.settle(10, |ended, own_ns| noted.push((ended.response_ns, own_ns)));
            noted
        };
        assert_eq!(late(2 * MS, 1), [(3 * MS, 2 * MS); 10], "those that took longest");
        assert_eq!(late(2 * MS, 4).len(), 40);
        assert_eq!(late(2 * MS, 400).len(), 1000);
        assert!(late(0, 0).is_empty());
        let waited = |waited_ns, times| {
            let mut beats = Beats::default();
            beats.end(0, 0, Thread::default(), true);
            beats.end(0, 0, Thread { waited_ns, times, ..Thread::default() }, true)
        };
        assert_eq!(waited(3 * MS, 50), Late { ns: 2 * MS, times: 4 });
        assert_eq!(waited(3 * MS, 1).times, 1, "it became ready once");
    }
}
