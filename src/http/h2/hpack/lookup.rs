//! Which lines the encoder's table holds, and which were seen once: fixed slots by hash. A slot may be stale
//! or of another line; who asks compares the lines themselves.

/// Lines that were seen once and may come again. What pushes them out are lines that do not.
const SEEN: usize = 32;

/// Slots of one hash. Lines that repeat in every response should not push each other out: ten of them leave
/// more than four to one of the groups once in 250.
const GROUP: usize = 4;
const GROUPS: usize = 16;

/// 640 bytes of a connection that has sent a response.
#[derive(Debug)]
pub(super) struct Lookup {
    seen: [u32; SEEN],
    groups: [[Slot; GROUP]; GROUPS],
}

/// Where a line went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) hash: u32,
    /// The insertion that put it into the table, counted from 1; 0 is no line.
    pub(super) number: u32,
}

impl Lookup {
    pub(super) fn new() -> Lookup {
        Lookup { seen: [0; SEEN], groups: [[Slot { hash: 0, number: 0 }; GROUP]; GROUPS] }
    }

    /// The slots in which a line with this hash is, if it is in any.
    #[inline]
    pub(super) fn slots(&self, hash: u32) -> &[Slot; GROUP] {
        &self.groups[group_of(hash)]
    }

    /// Whether a line with this hash was seen lately. It is, from now on.
    #[inline]
    pub(super) fn see(&mut self, hash: u32) -> bool {
        let seen = &mut self.seen[hash as usize % SEEN];
        std::mem::replace(seen, hash) == hash
    }

    /// Notes the newest insertion, in place of the oldest.
    pub(super) fn place(&mut self, hash: u32, number: u32) {
        let group = &mut self.groups[group_of(hash)];
        if let Some(oldest) = group.iter_mut().max_by_key(|slot| number.wrapping_sub(slot.number)) {
            *oldest = Slot { hash, number };
        }
    }
}

#[inline]
fn group_of(hash: u32) -> usize {
    (hash >> 16) as usize % GROUPS
}

/// A hash of a line's length and of eight bytes each at its begin, in its middle and at its end: enough to
/// tell the lines of a service apart, however long its policies are.
#[inline]
pub(super) fn hash(line: &[u8]) -> u32 {
    let length = line.len();
    let eight = |at: usize| match line.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => line.iter().fold(0, |all, &byte| all << 8 | u64::from(byte)),
    };
    let mut hash = length as u64;
    for part in [eight(0), eight((length / 2).saturating_sub(4)), eight(length.saturating_sub(8))] {
        // An odd number without pattern: the golden ratio's fraction.
        hash = (hash ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
    }
    hash as u32
}
