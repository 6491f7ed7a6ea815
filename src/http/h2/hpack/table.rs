//! A dynamic table (RFC 7541 §2.3.2): entries in one stretch of bytes, oldest first. Knows sizes and order
//! only.

use std::collections::VecDeque;

/// Memory of the first insertion: the lines of a usual client or service fit.
const BYTES_FIRST: usize = 512;

#[derive(Debug, Default)]
pub(super) struct DynamicTable {
    /// Bytes before the oldest entry are unused.
    bytes: Vec<u8>,
    /// Oldest first. INVARIANT: they lie in `bytes` one behind the other, up to its end.
    entries: VecDeque<TableEntry>,
    /// As RFC 7541 §4.1 counts. INVARIANT: the sum of all entries' sizes, at most `size_max`.
    size: u32,
    size_max: u32,
}

#[derive(Clone, Copy, Debug)]
struct TableEntry {
    start: u32,
    length: u32,
    name_length: u32,
    size: u32,
    tag: u8,
}

/// Where a new entry's first part comes from.
#[derive(Clone, Copy)]
pub(super) enum EntryName<'a> {
    Bytes(&'a [u8]),
    /// The name of the entry at this position.
    At(u32),
}

/// A borrowed entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EntryRef<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// The tag given to [`DynamicTable::insert`].
    pub(super) tag: u8,
}

impl DynamicTable {
    /// An empty table without memory.
    pub(super) fn new(size_max: u32) -> DynamicTable {
        DynamicTable { size_max, ..DynamicTable::default() }
    }

    /// Upper bound of the size.
    pub(super) fn size_max(&self) -> u32 {
        self.size_max
    }

    /// Current size.
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// Changes the upper bound, and evicts entries that no longer fit (RFC 7541 §4.3).
    pub(super) fn set_size_max(&mut self, size_max: u32) {
        self.size_max = size_max;
        self.evict();
    }

    /// The entry at a position; 0 is the newest.
    #[inline]
    pub(super) fn get(&self, position: u32) -> Option<EntryRef<'_>> {
        let entry = self.entry(position)?;
        let start = entry.start as usize;
        let (name, value) = self
            .bytes
            .get(start..start + entry.length as usize)?
            .split_at_checked(entry.name_length as usize)?;
        Some(EntryRef { name, value, tag: entry.tag })
    }

    #[inline]
    fn entry(&self, position: u32) -> Option<TableEntry> {
        let from_oldest = self.entries.len().checked_sub(position as usize + 1)?;
        self.entries.get(from_oldest).copied()
    }

    /// Adds an entry that counts `size`, and drops old ones until it fits. One that can never fit empties the
    /// table and is not added (RFC 7541 §4.4). A name that is taken from an entry may belong to one that is
    /// dropped for it.
    pub(super) fn insert(&mut self, name: EntryName<'_>, value: &[u8], size: u32, tag: u8) {
        if size > self.size_max {
            self.clear();
            return;
        }
        let name_length = match name {
            EntryName::Bytes(bytes) => bytes.len(),
            EntryName::At(position) => self.entry(position).map_or(0, |entry| entry.name_length as usize),
        };
        let length = name_length + value.len();
        self.reserve(length);
        let start = self.bytes.len();
        match name {
            EntryName::Bytes(bytes) => self.bytes.extend_from_slice(bytes),
            EntryName::At(position) => {
                let from = self.entry(position).map_or(start, |entry| entry.start as usize);
                self.bytes.extend_from_within(from..from + name_length);
            }
        }
        self.bytes.extend_from_slice(value);
        self.entries.push_back(TableEntry {
            start: start as u32,
            length: length as u32,
            name_length: name_length as u32,
            size,
            tag,
        });
        self.size += size;
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.size_max {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.size -= oldest.size;
        }
        if self.entries.is_empty() {
            self.bytes.clear();
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.size = 0;
    }

    /// Makes room for `length` more bytes: by closing up, once half of the memory is dead or it has reached
    /// twice the table's size, else by growing. So each byte is moved about once, and memory stays below
    /// twice the table's size plus one entry.
    fn reserve(&mut self, length: usize) {
        let needed = self.bytes.len() + length;
        if needed <= self.bytes.capacity() {
            return;
        }
        let memory_max = 2 * self.size_max as usize;
        let dead = self.entries.front().map_or(0, |entry| entry.start as usize);
        if 2 * dead >= self.bytes.len() || needed > memory_max {
            self.bytes.drain(..dead);
            for entry in &mut self.entries {
                entry.start -= dead as u32;
            }
        }
        let needed = self.bytes.len() + length;
        if needed > self.bytes.capacity() {
            let wanted = (2 * needed).max(BYTES_FIRST).min(memory_max.max(needed));
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}
