//! Flow-control windows (RFC 9113 §5.2, §6.9), one direction each. Only counts: what is sent or refused is
//! decided elsewhere.

use super::frame::MAX_31_BITS;

/// A window grew beyond 2^31 - 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overflow;

/// Bytes that may be sent to the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SendWindow {
    // INVARIANT: at most 2^31 - 1. Below zero when the peer shrank its initial window (§6.9.2).
    left: i32,
}

impl SendWindow {
    /// A window of `bytes`, at most 2^31 - 1.
    pub fn new(bytes: u32) -> SendWindow {
        SendWindow { left: bytes.min(MAX_31_BITS) as i32 }
    }

    /// Bytes that may be sent now.
    #[inline]
    pub fn available(self) -> u32 {
        self.left.max(0) as u32
    }

    /// Counts bytes that are sent: at most what is available.
    #[inline]
    pub fn take(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.available());
        self.left -= bytes as i32;
    }

    /// WINDOW_UPDATE.
    ///
    /// # Errors
    /// [`Overflow`]; the window is as before then.
    pub fn widen(&mut self, bytes: u32) -> Result<(), Overflow> {
        self.shift(i64::from(bytes))
    }

    /// A change of the peer's initial window.
    ///
    /// # Errors
    /// As [`widen`](SendWindow::widen).
    pub fn shift(&mut self, by: i64) -> Result<(), Overflow> {
        let left = i64::from(self.left) + by;
        // From 2^31 - 1 to 0 and what was sent besides: no lower than -(2^31 - 1).
        self.left = i32::try_from(left).map_err(|_| Overflow)?;
        Ok(())
    }
}

/// More data than the window had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exceeded;

/// What the peer may send. Credit is returned as data is consumed, and announced in large steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecvWindow {
    /// What the peer may still send. Below zero after `shrink` (§6.9.2).
    left: i32,
    /// Consumed, and not announced yet.
    owed: u32,
    /// The window when no data is in transit and all was consumed.
    full: u32,
}

impl RecvWindow {
    /// A window of `bytes`, at most 2^31 - 1.
    pub fn new(bytes: u32) -> RecvWindow {
        let full = bytes.min(MAX_31_BITS);
        RecvWindow { left: full as i32, owed: 0, full }
    }

    /// What the peer may still send.
    #[inline]
    pub fn left(self) -> u32 {
        self.left.max(0) as u32
    }

    /// The window when no data is in transit and all was consumed.
    #[inline]
    pub fn full(self) -> u32 {
        self.full
    }

    /// What the peer may still send before more is consumed: what is left of the window, and what is owed.
    #[inline]
    pub fn usable(self) -> u32 {
        (i64::from(self.left) + i64::from(self.owed)).max(0) as u32
    }

    /// Applies an initial window that is smaller by `by`, at most `full`, which the peer has acknowledged
    /// (§6.9.2).
    pub fn shrink(&mut self, by: u32) {
        debug_assert!(by <= self.full);
        self.left -= by as i32;
        self.full -= by;
    }

    /// Grows the window to `full`, no smaller than before and at most 2^31 - 1. Returns the increment to
    /// announce, which includes `owed`.
    pub fn grow(&mut self, full: u32) -> u32 {
        debug_assert!(self.full <= full && full <= MAX_31_BITS);
        let increment = std::mem::take(&mut self.owed) + (full - self.full);
        self.full = full;
        self.left += increment as i32;
        increment
    }

    /// Counts what was received, padding included.
    ///
    /// # Errors
    /// [`Exceeded`].
    #[inline]
    pub fn receive(&mut self, bytes: u32) -> Result<(), Exceeded> {
        if bytes > self.left() {
            return Err(Exceeded);
        }
        self.left -= bytes as i32;
        Ok(())
    }

    /// Gives credit for bytes that were received and consumed.
    #[inline]
    pub fn consume(&mut self, bytes: u32) {
        self.owed += bytes;
        debug_assert!(i64::from(self.owed) + i64::from(self.left) <= i64::from(self.full));
    }

    /// Whether credit should be announced: once it is half of the window, which is often enough that a peer
    /// whose data is read never waits, and rare enough to be cheap. Where much is unread, the usable window
    /// is smaller: credit is never withheld while less than half of that is left. A reader that takes small
    /// pieces from a full window then costs a WINDOW_UPDATE for each; the peer's data never waits for credit
    /// that could be given.
    #[inline]
    pub fn is_due(self) -> bool {
        self.owed > 0 && (self.owed >= self.full.div_ceil(2) || self.owed > self.left())
    }

    /// The increment to announce, if it [is due](RecvWindow::is_due).
    #[inline]
    pub fn announce(&mut self) -> Option<u32> {
        self.is_due().then(|| self.grow(self.full))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sending_windows_shrink_below_zero_and_never_overflow() {
        let mut window = SendWindow::new(10);
        window.take(10);
        assert_eq!(window.shift(-5), Ok(()));
        assert_eq!(window.available(), 0);
        assert_eq!(window.widen(6), Ok(()));
        assert_eq!(window.available(), 1);
        assert_eq!(window.widen(MAX_31_BITS), Err(Overflow));
        assert_eq!(window.available(), 1, "as before");
        assert_eq!(window.widen(MAX_31_BITS - 1), Ok(()));
        assert_eq!(window.available(), MAX_31_BITS);
        window.take(MAX_31_BITS);
        assert_eq!(window.shift(-i64::from(MAX_31_BITS)), Ok(()));
        assert_eq!((window.available(), window.widen(MAX_31_BITS)), (0, Ok(())));
    }

    #[test]
    fn credit_is_announced_by_halves() {
        let mut window = RecvWindow::new(100);
        assert_eq!(window.receive(101), Err(Exceeded));
        assert_eq!(window.receive(100), Ok(()));
        // Nothing is left: whatever is owed is announced.
        window.consume(1);
        assert_eq!((window.announce(), window.left()), (Some(1), 1));
        window.consume(1);
        assert_eq!(window.announce(), None, "as much is left as is owed");
        window.consume(1);
        assert_eq!((window.announce(), window.left()), (Some(2), 3));
        window.consume(97);
        assert_eq!((window.announce(), window.left()), (Some(97), 100));
        assert_eq!(window.receive(49), Ok(()));
        window.consume(49);
        assert_eq!(window.announce(), None);
        assert_eq!(window.receive(1), Ok(()));
        window.consume(1);
        assert_eq!((window.announce(), window.left()), (Some(50), 100));
        let mut shrunk = RecvWindow::new(65_535);
        assert_eq!(shrunk.receive(1000), Ok(()));
        shrunk.shrink(64_535);
        assert_eq!((shrunk.left(), shrunk.receive(1)), (0, Err(Exceeded)));
        shrunk.consume(1000);
        assert_eq!((shrunk.announce(), shrunk.left()), (Some(1000), 1000));
        let mut least = RecvWindow::new(1);
        assert_eq!((least.announce(), least.receive(1)), (None, Ok(())));
        least.consume(1);
        assert_eq!(least.announce(), Some(1));
    }

    /// Whatever is received and consumed, in whatever order: no credit is withheld while less than half of
    /// what is usable is left.
    #[test]
    fn a_peer_never_waits_for_credit_that_could_be_given() {
        let mut chance = 1u32;
        let mut next = |below: u32| {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (chance >> 8) % below.max(1)
        };
        for full in [1, 2, 3, 100, 65_535, 1 << 20] {
            let (mut window, mut unread) = (RecvWindow::new(full), 0);
            for _ in 0..2000 {
                let bytes = next(window.left() + 1).min(next(full + 1));
                assert_eq!(window.receive(bytes), Ok(()));
                unread += bytes;
                let bytes = next(unread + 1);
                window.consume(bytes);
                unread -= bytes;
                window.announce();
                assert!(2 * window.left() >= window.usable(), "{window:?}");
                assert_eq!(window.usable(), full - unread);
            }
        }
    }

    #[test]
    fn growth_is_announced_with_what_is_owed() {
        let mut window = RecvWindow::new(100);
        assert_eq!(window.receive(90), Ok(()));
        window.consume(30);
        assert_eq!((window.usable(), window.grow(400)), (40, 330));
        assert_eq!((window.full(), window.left(), window.usable()), (400, 340, 340));
        window.consume(60);
        assert_eq!((window.is_due(), window.usable()), (false, 400));
        // Before our settings were known: what had grown keeps what it grew by.
        let mut early = RecvWindow::new(65_535);
        assert_eq!((early.receive(65_535), early.grow(100_000)), (Ok(()), 34_465));
        early.shrink(64_535);
        assert_eq!((early.full(), early.left(), early.usable()), (35_465, 0, 0));
        early.consume(65_535);
        assert_eq!((early.announce(), early.left()), (Some(65_535), 35_465));
    }
}
