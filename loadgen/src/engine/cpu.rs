//! How busy a core of the generator is: its thread's CPU clock, less what it spun while nothing happened.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::core::Core;
use super::lateness::Thread;

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

/// One turn of the ring without waiting. What it took is spinning if it brought nothing and no connection did
/// anything: a send that succeeds brings no completion, and is work.
pub(super) async fn spin(core: &Core) {
    let ring = &core.ring;
    let seen = || (ring.stats().completions, core.worked.get());
    let (before, came) = (ring.now(), seen());
    ring.next_turn().await;
    if seen() == came {
        core.cpu.borrow_mut().note_spin(ring.now().saturating_duration_since(before));
    }
}

/// Where the kernel reports how long this thread ran, waited for a processor, and how often it got one; the
/// kernel of a container may not have it.
pub(super) fn thread_account() -> Option<File> {
    File::open("/proc/thread-self/schedstat").ok()
}

/// The clocks of this thread.
pub(super) fn thread(account: Option<&File>) -> Thread {
    let mut text = [0; 64];
    let length = account.and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
    let [_, waited_ns, times] = parse_account(&text[..length]);
    Thread { ran_ns: thread_ns(), waited_ns, times }
}

/// The three numbers of a schedstat; 0 for what is none.
fn parse_account(text: &[u8]) -> [u64; 3] {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().map(|number| number.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_is_read() {
        assert_eq!(parse_account(b"526623 1097441 2\n"), [526_623, 1_097_441, 2]);
        assert_eq!(parse_account(b"x 7"), [0, 7, 0]);
        let account = thread_account();
        let (before, mut now) = (thread(account.as_ref()), Thread::default());
        while now.ran_ns <= before.ran_ns {
            now = thread(account.as_ref());
        }
        assert!(now.waited_ns >= before.waited_ns && now.times >= before.times);
    }

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
