//! Which sockets wait for their peer and nothing else, and since when: the ones to close when there is no
//! room for a new one. Nothing is kept in order while there is room: marking a socket is a store, and the
//! longest waiting ones are looked for when one has to go.

use super::core::{CoreInner, Ring};
use super::key::Key;
use super::peer;
use super::slots::{Found, NO_SEND, RecvEnd, SocketSlot, Waits};

/// Sockets that one search finds: it costs a look at every socket of the core, shared by so many dismissals.
const FOUND_MAX: usize = 64;

impl SocketSlot {
    /// Whether it still waits as it did when it was marked.
    fn is_waiting(&self, mark: u32) -> bool {
        self.waits != Waits::No
            && self.waits_since == mark
            && self.held
            && self.tx == NO_SEND
            && self.rx_count == 0
            && self.heap.is_none()
            && self.rx_end == RecvEnd::Open
    }
}

impl CoreInner {
    fn find_waiting(&mut self, of: Waits) {
        let waiting = self.sockets.iter().filter(|(_, slot)| slot.waits == of || of == Waits::No);
        let mut found: Vec<(u32, Key)> = waiting
            .filter(|(_, slot)| slot.is_waiting(slot.waits_since))
            .map(|(index, slot)| (slot.waits_since, Key { index: index as u32, generation: slot.generation }))
            .collect();
        if found.len() > FOUND_MAX {
            found.select_nth_unstable_by_key(FOUND_MAX, |(since, _)| *since);
            found.truncate(FOUND_MAX);
        }
        found.sort_unstable_by_key(|(since, _)| *since);
        let none_at = found.is_empty().then_some(self.tick);
        let keys = found.into_iter().map(|(since, key)| (key, since)).collect();
        self.found = Found { of, keys, none_at };
    }
}

impl Ring {
    /// Ends the socket that has waited longest for its peer, to make room for another: its task reads the end
    /// of the stream. `of` is what it waits for; [`Waits::No`] means either. False when none does.
    pub fn dismiss_waiting(&self, of: Waits) -> bool {
        let mut inner = self.core.inner.borrow_mut();
        let inner = &mut *inner;
        if inner.found.of != of {
            inner.found = Found { of, ..Found::default() };
        }
        for _ in 0..2 {
            while let Some((key, mark)) = inner.found.keys.pop_front() {
                let slot = inner.sockets.get_mut(key.index as usize);
                let Some(slot) = slot.filter(|slot| slot.generation == key.generation) else { continue };
                // What has arrived and was not received yet is not idle either.
                if slot.is_waiting(mark) && !peer::has_sent(slot.fd) {
                    slot.waits = Waits::No;
                    slot.rx_end = RecvEnd::Dismissed;
                    slot.wake_reader();
                    return true;
                }
            }
            if inner.found.none_at == Some(inner.tick) {
                return false;
            }
            inner.find_waiting(of);
        }
        false
    }
}
