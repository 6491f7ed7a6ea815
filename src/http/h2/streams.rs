//! The streams of a connection that are not closed, by number and by place; and a short memory of those that
//! are. Knows who is where, and nothing of what a stream does.
//!
//! A small open-addressed table finds a number's place: a client counts upwards in twos, so the numbers
//! spread over it by themselves. One that skips numbers to make them collide searches as long as a list
//! would take, and lists of this length are short.

use super::stream::Stream;

/// How a closed stream ended, as far as it is still known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closed {
    /// Both sides had ended it.
    Ended,
    /// The peer reset it.
    ResetByPeer,
    /// We reset it: what was on its way then may still come.
    ResetByUs,
    /// It was closed long ago, or never opened, for a later one was opened first (RFC 9113 §5.1.1).
    Forgotten,
}

/// Closed streams that are remembered, by how they ended. For so long the error of a
/// mistaken peer is named exactly; later the reaction is still right, but less specific.
const REMEMBERED: usize = 16;

/// Streams that we reset and remember. As many as are open at the most by default: when all are reset at
/// once, what is on its way for them is no error.
const RESETS_REMEMBERED: usize = 128;

/// Ids have 31 bits; the highest one marks that the peer reset the stream.
const BY_PEER: u32 = 1 << 31;

/// Open streams. A new one holds no memory.
#[derive(Debug, Default)]
pub(super) struct Streams {
    // INVARIANT: `free` has the empty places of `places`, each once.
    places: Vec<Option<Stream>>,
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
    pub(super) fn insert(&mut self, stream: Stream) -> u32 {
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
    pub(super) fn at(&mut self, place: u32) -> Option<&mut Stream> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    /// The stream at a place, to look at.
    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&Stream> {
        self.places.get(place as usize)?.as_ref()
    }

    /// Changes a stream into what `change` makes of it; `None` takes it out, and remembers how it ended.
    pub(super) fn change(
        &mut self,
        place: u32,
        closed: Closed,
        change: impl FnOnce(Stream) -> Option<Stream>,
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
    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.places.iter().flatten()
    }

    /// All open streams with their places.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Stream)> {
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(place, stream)| Some((place as u32, stream.as_mut()?)))
    }

    /// How a stream ended that is not open and not above the highest that was.
    pub(super) fn closed(&self, id: u32) -> Closed {
        if self.closed.contains(&id) {
            Closed::Ended
        } else if self.closed.contains(&(id | BY_PEER)) {
            Closed::ResetByPeer
        } else if self.reset_by_us.contains(&id) {
            Closed::ResetByUs
        } else {
            Closed::Forgotten
        }
    }

    /// Notes how a stream ended that has no place any more.
    pub(super) fn remember(&mut self, id: u32, closed: Closed) {
        let entry = match closed {
            Closed::Ended => id,
            Closed::ResetByPeer => id | BY_PEER,
            Closed::ResetByUs => return self.remember_reset(id),
            Closed::Forgotten => return,
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

    /// Takes a number out, and closes the gap for searches that pass it.
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
    use super::super::stream::{Outgoing, State};
    use super::*;

    fn stream(id: u32) -> Stream {
        let outgoing = Outgoing { window: SendWindow::new(1), priority: Priority::DEFAULT };
        Stream { id, state: State::HalfClosedRemote { outgoing, unread_max: 0 } }
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
                    streams.change(place, Closed::Ended, |_| None);
                    assert_eq!((streams.find(gone), streams.closed(gone)), (None, Closed::Ended));
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
        assert_eq!((streams.find(1), streams.closed(1), streams.len()), (None, Closed::Forgotten, 0));
        for (id, closed) in [(1, Closed::Ended), (3, Closed::ResetByPeer), (5, Closed::ResetByUs)] {
            let place = streams.insert(stream(id));
            streams.change(place, closed, |_| None);
            assert_eq!(streams.closed(id), closed);
        }
        for id in (7..).step_by(2).take(REMEMBERED) {
            streams.remember(id, Closed::Ended);
        }
        assert_eq!((streams.closed(1), streams.closed(3)), (Closed::Forgotten, Closed::Forgotten));
        assert_eq!(streams.closed(5), Closed::ResetByUs);
        for id in (101..).step_by(2).take(RESETS_REMEMBERED) {
            streams.remember(id, Closed::ResetByUs);
        }
        assert_eq!((streams.closed(5), streams.closed(101)), (Closed::Forgotten, Closed::ResetByUs));
    }
}
