//! The streams of a connection that are not closed, by number and by place; and how the latest closed ones
//! ended. Maps numbers to places; knows nothing of frames.
//!
//! A small open-addressed table finds a number's place: clients number streams by
//! twos, so numbers spread evenly. A client that skips numbers to cause collisions makes a search as long as
//! in a list, which the limit on streams keeps short.

use super::stream::H2Stream;

/// How a closed stream ended, if that is still recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClosedStream {
    /// Both sides had ended it.
    Ended,
    /// The peer reset it.
    ResetByPeer,
    /// This end reset it: frames in transit may still arrive.
    ResetByUs,
    /// It was closed long ago.
    Forgotten,
    /// It was never opened: a later one was opened first, which closed it (RFC 9113 §5.1.1).
    Skipped,
}

/// Closed streams whose end is recorded, at the least; as many as may be open at once if that is more. When
/// all of these end or are reset at once, what the peer sent before it knew is still recognized as such: no
/// error, and a RST_STREAM in return for a response that had just ended restores no budget.
const REMEMBERED_MIN: usize = 128;

/// Gaps between numbers of streams that are recorded. Clients number streams without gaps; of one that does
/// not, the oldest gaps are forgotten.
const GAPS_MAX: usize = 16;

/// Ids have 31 bits; the highest one marks that the peer reset the stream.
const BY_PEER: u32 = 1 << 31;

/// The latest entries, in a ring that grows to its length.
#[derive(Debug)]
struct Latest<T> {
    entries: Vec<T>,
    next: usize,
    length: usize,
}

impl<T> Latest<T> {
    fn new(length: usize) -> Latest<T> {
        Latest { entries: Vec::new(), next: 0, length }
    }

    /// Adds an entry, and returns the oldest where there is no more room.
    fn push(&mut self, entry: T) -> Option<T> {
        if self.entries.len() < self.length {
            self.entries.push(entry);
            return None;
        }
        let at = self.next;
        self.next = if at + 1 == self.length { 0 } else { at + 1 };
        Some(std::mem::replace(&mut self.entries[at], entry))
    }
}

/// A stream that this end reset.
#[derive(Debug)]
struct OwnReset {
    id: u32,
    /// Bytes of data that the peer could send before it knew.
    in_transit: u32,
    /// Field sections that it could.
    blocks_in_transit: u8,
}

/// Field sections that a message may still have when its stream is reset: a head and trailers.
const BLOCKS_IN_TRANSIT: u8 = 2;

/// Open streams. A new one holds no memory.
#[derive(Debug)]
pub(super) struct Streams {
    // INVARIANT: `free` has the empty places of `places`, each once.
    places: Vec<Option<H2Stream>>,
    free: Vec<u32>,
    // INVARIANT: a power of two, at least twice as long as there are streams, or empty. A slot has a place
    // plus one; a search ends at the first slot that has 0.
    index: Vec<u32>,
    closed: Latest<u32>,
    reset_by_us: Latest<OwnReset>,
    /// First and last number of what was skipped.
    gaps: Latest<(u32, u32)>,
    /// Streams that ended without a reset, and are no longer recorded, since `take_outlived`.
    outlived: u32,
}

impl Streams {
    /// `open_max`: how many may be open at once.
    pub(super) fn new(open_max: u32) -> Streams {
        // A limit without bound is not a reason to record without bound.
        let remembered = (open_max as usize).clamp(REMEMBERED_MIN, 8 * REMEMBERED_MIN);
        Streams {
            places: Vec::new(),
            free: Vec::new(),
            index: Vec::new(),
            closed: Latest::new(remembered),
            reset_by_us: Latest::new(remembered),
            gaps: Latest::new(GAPS_MAX),
            outlived: 0,
        }
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Adds a stream, whose number is in use by no other; its place.
    pub(super) fn insert(&mut self, stream: H2Stream) -> u32 {
        let id = stream.id;
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(stream);
                place
            }
            None => {
                self.places.push(Some(stream));
                self.places.len() as u32 - 1
            }
        };
        if self.len() * 2 > self.index.len() {
            self.grow();
        } else {
            self.enter(id, place);
        }
        place
    }

    /// The stream with this number, and its place.
    #[inline]
    pub(super) fn find(&self, id: u32) -> Option<u32> {
        self.slot_of(id).map(|slot| self.index[slot] - 1)
    }

    /// The stream at a place.
    #[inline]
    pub(super) fn at(&mut self, place: u32) -> Option<&mut H2Stream> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    /// The stream at a place, read-only.
    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&H2Stream> {
        self.places.get(place as usize)?.as_ref()
    }

    /// Replaces a stream by the result of `change`; `None` removes it, and records how it ended.
    pub(super) fn change(
        &mut self,
        place: u32,
        closed: ClosedStream,
        change: impl FnOnce(H2Stream) -> Option<H2Stream>,
    ) {
        let Some(slot) = self.places.get_mut(place as usize) else { return };
        let Some(stream) = slot.take() else { return };
        let id = stream.id;
        let in_transit = stream.window_left();
        *slot = change(stream);
        if slot.is_none() {
            self.removed(place, id, in_transit, closed);
        }
    }

    /// Removes a stream, and records how it ended.
    #[inline]
    pub(super) fn remove(&mut self, place: u32, closed: ClosedStream) {
        let Some(slot) = self.places.get_mut(place as usize) else { return };
        let Some(stream) = slot else { return };
        let (id, in_transit) = (stream.id, stream.window_left());
        *slot = None;
        self.removed(place, id, in_transit, closed);
    }

    #[inline]
    fn removed(&mut self, place: u32, id: u32, in_transit: u32, closed: ClosedStream) {
        self.free.push(place);
        self.leave(id, place);
        match closed {
            ClosedStream::ResetByUs => self.remember_own_reset(id, in_transit),
            _ => self.remember(id, closed),
        }
    }

    /// All open streams.
    pub(super) fn iter(&self) -> impl Iterator<Item = &H2Stream> {
        self.places.iter().flatten()
    }

    /// All open streams with their places.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut H2Stream)> {
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(place, stream)| Some((place as u32, stream.as_mut()?)))
    }

    /// How a stream ended that is not open and not above the highest that was.
    pub(super) fn closed(&self, id: u32) -> ClosedStream {
        // The latest record of a stream counts: one that the peer reset may then have been reset by this end.
        if self.reset_by_us.entries.iter().any(|reset| reset.id == id) {
            ClosedStream::ResetByUs
        } else if self.closed.entries.contains(&id) {
            ClosedStream::Ended
        } else if self.closed.entries.contains(&(id | BY_PEER)) {
            ClosedStream::ResetByPeer
        } else if self.gaps.entries.iter().any(|&(first, last)| (first..=last).contains(&id)) {
            ClosedStream::Skipped
        } else {
            ClosedStream::Forgotten
        }
    }

    /// Records how a stream ended. For streams of which data is in transit there is
    /// [`remember_own_reset`](Self::remember_own_reset).
    fn remember(&mut self, id: u32, closed: ClosedStream) {
        let entry = match closed {
            ClosedStream::Ended => id,
            ClosedStream::ResetByPeer => id | BY_PEER,
            ClosedStream::ResetByUs | ClosedStream::Forgotten | ClosedStream::Skipped => return,
        };
        if self.closed.push(entry).is_some_and(|oldest| oldest & BY_PEER == 0) {
            self.outlived = self.outlived.saturating_add(1);
        }
    }

    /// Records that this end reset a stream, of which the peer could still send so many bytes.
    pub(super) fn remember_own_reset(&mut self, id: u32, in_transit: u32) {
        self.reset_by_us.push(OwnReset { id, in_transit, blocks_in_transit: BLOCKS_IN_TRANSIT });
    }

    /// Whether data on a stream that this end reset may have been in transit; it is counted.
    pub(super) fn was_in_transit(&mut self, id: u32, bytes: u32) -> bool {
        let reset = self.reset_by_us.entries.iter_mut().find(|reset| reset.id == id);
        let left = reset.and_then(|reset| Some((reset.in_transit.checked_sub(bytes)?, reset)));
        let Some((left, reset)) = left.filter(|_| bytes > 0) else { return false };
        reset.in_transit = left;
        true
    }

    /// Whether a field section on a stream that this end reset may have been in transit; it is counted.
    pub(super) fn was_block_in_transit(&mut self, id: u32) -> bool {
        let reset = self.reset_by_us.entries.iter_mut().find(|reset| reset.id == id);
        let left = reset.and_then(|reset| Some((reset.blocks_in_transit.checked_sub(1)?, reset)));
        let Some((left, reset)) = left else { return false };
        reset.blocks_in_transit = left;
        true
    }

    /// The peer has reset a stream that is closed: if it had ended, it does not count as outlived.
    pub(super) fn reset_after_end(&mut self, id: u32) {
        if let Some(entry) = self.closed.entries.iter_mut().find(|entry| **entry == id) {
            *entry |= BY_PEER;
        }
    }

    /// Records numbers that were skipped when a stream was opened.
    pub(super) fn skip(&mut self, first: u32, last: u32) {
        self.gaps.push((first, last));
    }

    /// Streams, since the last call, of which it is settled that they ended without a reset.
    pub(super) fn take_outlived(&mut self) -> u32 {
        std::mem::take(&mut self.outlived)
    }

    /// Where a search for a number begins.
    fn home(&self, id: u32) -> usize {
        (id >> 1) as usize & (self.index.len() - 1)
    }

    fn slot_of(&self, id: u32) -> Option<usize> {
        if self.index.is_empty() {
            return None;
        }
        let mut slot = self.home(id);
        loop {
            match self.index[slot] {
                0 => return None,
                place if self.get(place - 1).is_some_and(|stream| stream.id == id) => return Some(slot),
                _ => slot = (slot + 1) & (self.index.len() - 1),
            }
        }
    }

    fn enter(&mut self, id: u32, place: u32) {
        let mut slot = self.home(id);
        while self.index[slot] != 0 {
            slot = (slot + 1) & (self.index.len() - 1);
        }
        self.index[slot] = place + 1;
    }

    fn grow(&mut self) {
        const SLOTS_MIN: usize = 16;
        let slots = (self.index.len() * 2).max(SLOTS_MIN);
        self.index.clear();
        self.index.resize(slots, 0);
        for place in 0..self.places.len() as u32 {
            if let Some(id) = self.get(place).map(|stream| stream.id) {
                self.enter(id, place);
            }
        }
    }

    /// Removes a number, and closes the gap in the probe sequence.
    fn leave(&mut self, id: u32, place: u32) {
        let mask = self.index.len() - 1;
        let mut gap = self.home(id);
        while self.index[gap] != place + 1 {
            gap = (gap + 1) & mask;
        }
        let mut slot = gap;
        loop {
            slot = (slot + 1) & mask;
            let Some(other) = self.index[slot].checked_sub(1) else { break };
            let Some(other_id) = self.get(other).map(|stream| stream.id) else { break };
            // It may move up if its home does not lie between the gap and itself.
            let distance = |from: usize, to: usize| to.wrapping_sub(from) & mask;
            if distance(self.home(other_id), slot) >= distance(gap, slot) {
                self.index[gap] = other + 1;
                gap = slot;
            }
        }
        self.index[gap] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::flow::SendWindow;
    use super::super::priority::Priority;
    use super::super::stream::{SendHalf, StreamState};
    use super::*;

    fn stream(id: u32) -> H2Stream {
        let outgoing = SendHalf { window: SendWindow::new(1), priority: Priority::DEFAULT };
        H2Stream { id, state: StreamState::HalfClosedRemote { outgoing, unread_max: 0 } }
    }

    #[test]
    fn what_is_in_is_found_and_what_is_out_is_not() {
        // Upwards in twos; all at one home; and all over the place.
        for step in [2, 2048, 14] {
            let mut streams = Streams::new(100);
            let mut open = Vec::new();
            let mut chance = 1u32;
            for round in 0..2000u32 {
                let id = round * step + 1;
                streams.insert(stream(id));
                open.push(id);
                chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if open.len() > 100 || chance >> 31 == 0 {
                    let gone = open.swap_remove((chance >> 8) as usize % open.len());
                    let place = streams.find(gone).unwrap();
                    streams.change(place, ClosedStream::Ended, |_| None);
                    assert_eq!((streams.find(gone), streams.closed(gone)), (None, ClosedStream::Ended));
                }
                assert_eq!(streams.len(), open.len());
                for &id in &open {
                    let place = streams.find(id).unwrap();
                    assert_eq!(streams.at(place).map(|stream| stream.id), Some(id));
                }
            }
        }
    }

    #[test]
    fn ends_are_remembered_for_a_while() {
        let mut streams = Streams::new(1);
        assert_eq!((streams.find(1), streams.closed(1), streams.len()), (None, ClosedStream::Forgotten, 0));
        for (id, closed) in
            [(1, ClosedStream::Ended), (3, ClosedStream::ResetByPeer), (5, ClosedStream::ResetByUs)]
        {
            let place = streams.insert(stream(id));
            streams.change(place, closed, |_| None);
            assert_eq!(streams.closed(id), closed);
        }
        for id in (7..).step_by(2).take(REMEMBERED_MIN) {
            streams.remember(id, ClosedStream::Ended);
        }
        assert_eq!(
            (streams.closed(1), streams.closed(3)),
            (ClosedStream::Forgotten, ClosedStream::Forgotten)
        );
        assert_eq!(streams.closed(5), ClosedStream::ResetByUs);
        for id in (1001..).step_by(2).take(REMEMBERED_MIN) {
            streams.remember_own_reset(id, 0);
        }
        assert_eq!(
            (streams.closed(5), streams.closed(1001)),
            (ClosedStream::Forgotten, ClosedStream::ResetByUs)
        );
        streams.skip(2001, 2005);
        let skipped = [1999, 2001, 2003, 2005, 2007].map(|id| streams.closed(id) == ClosedStream::Skipped);
        assert_eq!(skipped, [false, true, true, true, false]);
    }

    #[test]
    fn what_is_reset_after_its_end_is_not_outlived() {
        let mut streams = Streams::new(1);
        for id in (1..).step_by(2).take(3 * REMEMBERED_MIN) {
            streams.remember(id, ClosedStream::Ended);
            if id % 8 == 1 {
                streams.reset_after_end(id);
            }
        }
        streams.reset_after_end(1);
        assert_eq!(streams.take_outlived() as usize, 2 * REMEMBERED_MIN / 4 * 3);
        assert_eq!(streams.take_outlived(), 0);
    }

    #[test]
    fn what_was_in_transit_has_a_bound() {
        let mut streams = Streams::new(1);
        streams.remember_own_reset(1, 100);
        assert!(
            streams.was_in_transit(1, 99) && !streams.was_in_transit(1, 2) && !streams.was_in_transit(1, 0)
        );
        assert!(
            streams.was_in_transit(1, 1) && !streams.was_in_transit(1, 1) && !streams.was_in_transit(3, 1)
        );
        let blocks = [1, 1, 1, 3].map(|id| streams.was_block_in_transit(id));
        assert_eq!(blocks, [true, true, false, false]);
    }
}
