//! How busy a core of the generator is: its thread's CPU clock, less what it spun while nothing happened.

use std::time::Duration;

use quoit::ring::Ring;
use rustix::time::{ClockId, clock_gettime};

/// One turn of a spin counts as this at the most: what took longer was no spinning but being kept from it.
const SPIN_MAX: Duration = Duration::from_micros(50);

/// CPU time of this thread, in nanoseconds.
fn thread_ns() -> u64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

/// CPU time of this process, in nanoseconds.
pub(super) fn process_ns() -> u64 {
    nanoseconds(ClockId::ProcessCPUTime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The readings of one core.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    spun_ns: u64,
    /// Wall, CPU and spin, in nanoseconds.
    first: Option<[u64; 3]>,
    last: [u64; 3],
    /// Share of each interval.
    pub(super) busy: Vec<f64>,
}

impl Cpu {
    /// Reads the clock at the end of an interval, or at the start of the first.
    pub(super) fn sample(&mut self, wall_ns: u64) {
        let now = [wall_ns, thread_ns(), self.spun_ns];
        if self.first.is_some() {
            self.busy.push(share(self.last, now));
        } else {
            self.first = Some(now);
        }
        self.last = now;
    }

    /// Share of the time from the first reading to the last.
    pub(super) fn busy_share(&self) -> f64 {
        self.first.map_or(0.0, |first| share(first, self.last))
    }

    fn note_spin(&mut self, duration: Duration) {
        self.spun_ns += duration.min(SPIN_MAX).as_nanos() as u64;
    }
}

fn share(from: [u64; 3], to: [u64; 3]) -> f64 {
    let [wall, cpu, spun] = [0, 1, 2].map(|n| to[n].saturating_sub(from[n]));
    if wall == 0 { 0.0 } else { (cpu.saturating_sub(spun) as f64 / wall as f64).min(1.0) }
}

/// One turn of the ring without waiting; what it took is spinning if it brought nothing.
pub(super) async fn spin(ring: &Ring, cpu: &std::cell::RefCell<Cpu>) {
    let (before, came) = (ring.now(), ring.stats().completions);
    ring.next_turn().await;
    if ring.stats().completions == came {
        cpu.borrow_mut().note_spin(ring.now().saturating_duration_since(before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spinning_is_not_being_busy() {
        assert_eq!(share([0, 0, 0], [100, 80, 60]), 0.2);
        assert_eq!(share([0, 0, 0], [100, 80, 90]), 0.0);
        assert_eq!(share([5, 0, 0], [5, 1, 0]), 0.0);
        let mut cpu = Cpu::default();
        cpu.note_spin(Duration::from_secs(1));
        assert_eq!(cpu.spun_ns, 50_000, "a second of standing still is none of spinning");
    }
}
