//! Which lines the encoder's table holds, and which were seen once: fixed slots by hash. A slot may be stale
//! or belong to another line; the caller compares the lines.

/// Hashes of lines that were seen once. Lines that do not repeat overwrite them.
const SEEN: usize = 32;

/// Slots of one hash. Lines that repeat in every response should not evict each other: with ten of them, one
/// group gets more than four once in 250.
const GROUP: usize = 4;
const GROUPS: usize = 16;

/// 640 bytes, allocated when a connection sends its first response.
#[derive(Debug)]
pub(super) struct Lookup {
    seen: [u32; SEEN],
    groups: [[LineSlot; GROUP]; GROUPS],
}

/// The table entry of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineSlot {
    pub(super) hash: u32,
    /// The insertion that put it into the table, counted from 1; 0 is an empty slot.
    pub(super) number: u32,
}

impl Lookup {
    pub(super) fn new() -> Lookup {
        Lookup { seen: [0; SEEN], groups: [[LineSlot { hash: 0, number: 0 }; GROUP]; GROUPS] }
    }

    /// The slots in which a line with this hash is, if it is in any.
    #[inline]
    pub(super) fn slots(&self, hash: u32) -> &[LineSlot; GROUP] {
        &self.groups[group_of(hash)]
    }

    /// Whether a line with this hash was seen lately. Records it.
    #[inline]
    pub(super) fn see(&mut self, hash: u32) -> bool {
        let seen = &mut self.seen[hash as usize % SEEN];
        std::mem::replace(seen, hash) == hash
    }

    /// Notes the newest insertion, in place of the oldest.
    pub(super) fn place(&mut self, hash: u32, number: u32) {
        let group = &mut self.groups[group_of(hash)];
        if let Some(oldest) = group.iter_mut().max_by_key(|slot| number.wrapping_sub(slot.number)) {
            *oldest = LineSlot { hash, number };
        }
    }
}

#[inline]
fn group_of(hash: u32) -> usize {
    (hash >> 16) as usize % GROUPS
}

/// A hash of a line's length and of eight bytes each at its begin, in its middle and at its end: enough to
/// distinguish the lines of a service, even long policies.
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
