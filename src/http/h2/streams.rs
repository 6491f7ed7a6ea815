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
    /// It was closed long ago, or closed unopened, because a later one was opened first (RFC 9113 §5.1.1).
    Forgotten,
}

/// Closed streams whose end is recorded. For these an error is reported exactly; for older ones the reaction
/// is still correct, but less specific.
const REMEMBERED: usize = 16;

/// Streams reset by this end that are recorded. At least the default `streams_max`: when all are reset at
/// once, frames in transit for them are not errors.
const RESETS_REMEMBERED: usize = 128;

/// Ids have 31 bits; the highest one marks that the peer reset the stream.
const BY_PEER: u32 = 1 << 31;

/// Open streams. A new one holds no memory.
#[derive(Debug, Default)]
pub(super) struct Streams {
    // INVARIANT: `free` has the empty places of `places`, each once.
    places: Vec<Option<H2Stream>>,
    free: Vec<u32>,
    // INVARIANT: a power of two, at least twice as long as there are streams, or empty. A slot has a place
    // plus one; a search ends at the first slot that has 0.
    index: Vec<u32>,
    closed: [u32; REMEMBERED],
    closed_next: u8,
    reset_by_us: Vec<u32>,
    reset_next: usize,
}

impl Streams {
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
        *slot = change(stream);
        if slot.is_none() {
            self.free.push(place);
            self.leave(id, place);
            self.remember(id, closed);
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
        if self.closed.contains(&id) {
            ClosedStream::Ended
        } else if self.closed.contains(&(id | BY_PEER)) {
            ClosedStream::ResetByPeer
        } else if self.reset_by_us.contains(&id) {
            ClosedStream::ResetByUs
        } else {
            ClosedStream::Forgotten
        }
    }

    /// Records how a stream ended.
    pub(super) fn remember(&mut self, id: u32, closed: ClosedStream) {
        let entry = match closed {
            ClosedStream::Ended => id,
            ClosedStream::ResetByPeer => id | BY_PEER,
            ClosedStream::ResetByUs => return self.remember_reset(id),
            ClosedStream::Forgotten => return,
        };
        self.closed[usize::from(self.closed_next) % REMEMBERED] = entry;
        self.closed_next = self.closed_next.wrapping_add(1);
    }

    fn remember_reset(&mut self, id: u32) {
        if self.reset_by_us.len() < RESETS_REMEMBERED {
            self.reset_by_us.push(id);
        } else {
            self.reset_by_us[self.reset_next % RESETS_REMEMBERED] = id;
            self.reset_next = self.reset_next.wrapping_add(1);
        }
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
            let mut streams = Streams::default();
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
        let mut streams = Streams::default();
        assert_eq!((streams.find(1), streams.closed(1), streams.len()), (None, ClosedStream::Forgotten, 0));
        for (id, closed) in
            [(1, ClosedStream::Ended), (3, ClosedStream::ResetByPeer), (5, ClosedStream::ResetByUs)]
        {
            let place = streams.insert(stream(id));
            streams.change(place, closed, |_| None);
            assert_eq!(streams.closed(id), closed);
        }
        for id in (7..).step_by(2).take(REMEMBERED) {
            streams.remember(id, ClosedStream::Ended);
        }
        assert_eq!(
            (streams.closed(1), streams.closed(3)),
            (ClosedStream::Forgotten, ClosedStream::Forgotten)
        );
        assert_eq!(streams.closed(5), ClosedStream::ResetByUs);
        for id in (101..).step_by(2).take(RESETS_REMEMBERED) {
            streams.remember(id, ClosedStream::ResetByUs);
        }
        assert_eq!(
            (streams.closed(5), streams.closed(101)),
            (ClosedStream::Forgotten, ClosedStream::ResetByUs)
        );
    }
}
