//! Field names known to the encoder: their index in the static table, and how lines with them are sent.
//! Hashed by length and two letters, in tables built at compile time.

use super::static_table::{ENTRIES, same};

/// How a line is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Treatment {
    /// By index, once it repeats.
    Repeats,
    /// As a literal that enters no table: its value differs in each response.
    Changes,
    /// As a literal that enters no table anywhere: the value could be guessed from compressed sizes (RFC 7541
    /// §7.1.3).
    Secret,
    /// Not sent: it is connection-specific (RFC 9113 §8.2.2).
    Dropped,
}

/// What is known of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KnownName {
    /// The first index with this name in the static table; 0 when it has none.
    pub(super) index: u8,
    pub(super) treatment: Treatment,
}

const UNKNOWN: KnownName = KnownName { index: 0, treatment: Treatment::Repeats };

/// Names that are not sent by index.
const TREATED: [(&str, Treatment); 14] = [
    ("connection", Treatment::Dropped),
    ("keep-alive", Treatment::Dropped),
    ("proxy-connection", Treatment::Dropped),
    ("transfer-encoding", Treatment::Dropped),
    ("upgrade", Treatment::Dropped),
    ("authorization", Treatment::Secret),
    ("cookie", Treatment::Secret),
    ("proxy-authorization", Treatment::Secret),
    ("set-cookie", Treatment::Secret),
    ("age", Treatment::Changes),
    ("content-length", Treatment::Changes),
    ("content-range", Treatment::Changes),
    ("date", Treatment::Changes),
    ("etag", Treatment::Changes),
];

/// Of those, the ones that the static table lacks.
const ELSEWHERE: [&str; 4] = ["connection", "keep-alive", "proxy-connection", "upgrade"];

/// The static table's names by place, then `ELSEWHERE`.
const PLACES: usize = ENTRIES.len() + ELSEWHERE.len();

/// Twice the names, so that a look-up rarely needs a second slot. A power of two.
const SLOTS: usize = 128;

struct NameIndex {
    /// The place of a name, plus one, by its hash; or in the next slot that was free. 0 is an empty slot.
    slots: [u8; SLOTS],
    treatments: [Treatment; PLACES],
}

static NAMES: NameIndex = names();

const fn names() -> NameIndex {
    let mut names = NameIndex { slots: [0; SLOTS], treatments: [Treatment::Repeats; PLACES] };
    let mut place = 0;
    while place < PLACES {
        let name = name_at(place);
        let mut treated = 0;
        while treated < TREATED.len() {
            if same(TREATED[treated].0, name) {
                names.treatments[place] = TREATED[treated].1;
            }
            treated += 1;
        }
        // Entries of one name stand together; the first is the one to find.
        if place == 0 || !same(name, name_at(place - 1)) {
            let mut slot = slot_of(name.as_bytes());
            while names.slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            names.slots[slot] = place as u8 + 1;
        }
        place += 1;
    }
    names
}

const fn name_at(place: usize) -> &'static str {
    if place < ENTRIES.len() { ENTRIES[place].0 } else { ELSEWHERE[place - ENTRIES.len()] }
}

/// INVARIANT of the callers: the name is not empty. ASCII case does not matter.
#[inline]
const fn slot_of(name: &[u8]) -> usize {
    let length = name.len();
    // The bit that upper case lacks.
    let first = (name[0] | 0x20) as usize;
    let middle = (name[length / 2] | 0x20) as usize;
    (length * 37 + first * 11 + middle * 5) % SLOTS
}

/// What is known of `name`, in any case.
#[inline]
pub(super) fn known(name: &[u8]) -> KnownName {
    if name.is_empty() {
        return UNKNOWN;
    }
    let mut slot = slot_of(name);
    loop {
        let Some(place) = usize::from(NAMES.slots[slot]).checked_sub(1) else { return UNKNOWN };
        if name_at(place).as_bytes().eq_ignore_ascii_case(name) {
            let index = if place < ENTRIES.len() { place as u8 + 1 } else { 0 };
            return KnownName { index, treatment: NAMES.treatments[place] };
        }
        slot = (slot + 1) % SLOTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_static_table_is_found() {
        let mut first = 0;
        for (place, (name, _)) in ENTRIES.iter().enumerate() {
            if place == 0 || ENTRIES[place - 1].0 != *name {
                first = place as u8 + 1;
            }
            assert_eq!(known(name.as_bytes()).index, first, "{name}");
            assert_eq!(known(name.to_ascii_uppercase().as_bytes()).index, first, "{name}");
        }
    }

    #[test]
    fn every_treated_name_is_found() {
        for (name, treatment) in TREATED {
            assert_eq!(known(name.as_bytes()).treatment, treatment, "{name}");
        }
        assert_eq!(known(b"server"), KnownName { index: 54, treatment: Treatment::Repeats });
        assert_eq!(known(b"x-request-id"), UNKNOWN);
        assert_eq!(known(b""), UNKNOWN);
    }

    #[test]
    fn looks_are_short() {
        let probes = |place: u8, slot: usize| {
            let wanted = slot_of(name_at(usize::from(place) - 1).as_bytes());
            (slot + SLOTS - wanted) % SLOTS
        };
        let far = (0..SLOTS).filter(|&slot| NAMES.slots[slot] != 0);
        let longest = far.map(|slot| probes(NAMES.slots[slot], slot)).max();
        assert!(longest < Some(4), "{longest:?}");
    }
}
