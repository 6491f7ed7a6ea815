//! A thread for work that has time: it gets out of the workers' way.

use std::io;

use super::sys;

/// Makes the calling thread give way to everything else on the machine (nice 19), and lets it run wherever
/// the process may, not on the one CPU of the worker that started it.
///
/// # Errors
/// The kernel's. The thread works on as it was: nothing depends on it but who is served first.
pub fn yield_to_workers() -> io::Result<()> {
    sys::unpin_thread();
    // SAFETY: a plain call without memory; 0 names the calling thread.
    sys::check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) }).map(drop)
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
