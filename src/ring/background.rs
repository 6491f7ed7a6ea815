//! A thread for low-priority work, which yields the CPU to the workers.

use std::io;

use super::sys;

/// Gives the calling thread the lowest priority (nice 19), and lets it run on any CPU of the process instead
/// of the one of the worker that started it.
///
/// # Errors
/// The kernel's. The thread continues as before: only scheduling depends on it.
pub fn yield_to_workers() -> io::Result<()> {
    lower_priority(19)
}

/// Gives the calling thread this niceness, from 0 to 19, and lets it run on any CPU of the process.
///
/// # Errors
/// As [`yield_to_workers`].
pub fn lower_priority(niceness: i32) -> io::Result<()> {
    sys::unpin_thread();
    // SAFETY: a plain call without memory; 0 names the calling thread.
    sys::check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_alone_gives_way() {
        let nice = || {
            // SAFETY: a plain call; 0 names the calling thread.
            unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
        };
        let before = nice();
        std::thread::spawn(move || {
            yield_to_workers().unwrap();
            assert_eq!(nice(), 19);
        })
        .join()
        .unwrap();
        assert_eq!(nice(), before);
    }
}
