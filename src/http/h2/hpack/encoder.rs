//! Field lines into field blocks (RFC 7541 §6). A line that repeats on a connection is sent in one byte,
//! found by a hash and a comparison; other lines are copied. Which lines a message has is up to the caller.

use memchr::memchr;

use super::integer;
use super::lookup::{Lookup, hash};
use super::names::{KnownName, Treatment, known};
use super::static_table::{DYNAMIC_FIRST, ENTRIES};
use super::table::{DynamicTable, EntryName};
use super::{FIELD_OVERHEAD_BYTES, TABLE_BYTES_DEFAULT};
use crate::http::status::Status;

/// Upper bound of the table's size, whatever the peer allows: the lines that repeat on a connection fit
/// twice. More would trade memory here for bytes on the wire.
const TABLE_BYTES_MAX: u32 = TABLE_BYTES_DEFAULT;

/// Lines larger than this fraction (1/n) of the table would evict too much of it.
const ENTRY_SHARE_MAX: u32 = 4;

/// Room for a line that [`BlockWriter::field`] puts together to look it up.
const FIELD_LINE_BYTES: usize = 256;

/// The index of a status without a value of its own in the static table.
const STATUS: usize = 8;

/// The state of one direction of a connection, at its writing end. A new one holds no memory.
#[derive(Debug)]
pub struct Encoder {
    /// Names hold whole lines as given, without line ends, and values are empty, because lines are compared
    /// as a whole. Sizes are those of the fields.
    table: DynamicTable,
    lookup: Option<Box<Lookup>>,
    /// How many lines were inserted; wraps.
    inserted: u32,
    /// The smallest size the table had since the last block, if it changed: the next one announces it.
    smallest: Option<u32>,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

/// Whether tables, the peer's and those of later hops, may keep a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Indexing {
    /// Indexed, once it repeats.
    Repeats,
    /// Not indexed on this hop: its value changes.
    Without,
    /// Never indexed on any hop: it is secret.
    Never,
}

impl Encoder {
    /// An encoder for a peer whose SETTINGS have not come.
    pub fn new() -> Encoder {
        Encoder { table: DynamicTable::new(TABLE_BYTES_MAX), lookup: None, inserted: 0, smallest: None }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE. The next block announces the size that is used (RFC 7541 §4.2).
    pub fn set_table_bytes_max(&mut self, bytes: u32) {
        let size = bytes.min(TABLE_BYTES_MAX);
        if size != self.table.size_max() {
            self.table.set_size_max(size);
            self.smallest = Some(self.smallest.map_or(size, |smallest| smallest.min(size)));
        }
    }

    /// What the dynamic table holds now, in bytes as RFC 7541 §4.1 counts them.
    pub fn table_bytes(&self) -> u32 {
        self.table.size()
    }

    /// Begins a field block at the end of `out`. It must be sent, in order, or the tables of
    /// both ends disagree.
    #[inline]
    pub fn begin<'a>(&'a mut self, out: &'a mut Vec<u8>) -> BlockWriter<'a> {
        if let Some(smallest) = self.smallest.take() {
            let size = self.table.size_max();
            for size in [smallest, size].into_iter().skip(usize::from(smallest == size)) {
                integer::write(out, 0x20, 0x1f, size as usize);
            }
        }
        BlockWriter { encoder: self, out }
    }
}

/// A field block being written. Pseudo-fields come first: the caller ensures it.
#[derive(Debug)]
pub struct BlockWriter<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut Vec<u8>,
}

impl BlockWriter<'_> {
    /// `:status`.
    #[inline]
    pub fn status(&mut self, status: Status) {
        let index = match status.code() {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            code => {
                integer::write(self.out, 0x00, 0x0f, STATUS);
                self.string(itoa::Buffer::new().format(code).as_bytes());
                return;
            }
        };
        self.out.push(0x80 | index);
    }

    /// `content-length`.
    #[inline]
    pub fn content_length(&mut self, length: u64) {
        integer::write(self.out, 0x00, 0x0f, 28);
        self.string(itoa::Buffer::new().format(length).as_bytes());
    }

    /// `date`, of its value.
    #[inline]
    pub fn date(&mut self, value: &[u8]) {
        integer::write(self.out, 0x00, 0x0f, 33);
        self.string(value);
    }

    /// HTTP/1 field lines, `Name: value` and CRLF each. Names may have any case; connection-specific fields
    /// are left out (RFC 9113 §8.2.2); secrets are never indexed. Pseudo-fields are accepted as lines too.
    #[inline]
    pub fn lines(&mut self, lines: &[u8]) {
        let mut rest = lines;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            self.line(line.strip_suffix(b"\r").unwrap_or(line));
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }

    /// Lines as [`lines`](BlockWriter::lines) takes them, as never-indexed literals (RFC 7541 §6.2.3): for
    /// fields that were received so, or are secret.
    pub fn lines_never_indexed(&mut self, lines: &[u8]) {
        for line in lines.split(|&byte| byte == b'\n') {
            let Some(colon) = memchr(b':', line) else { continue };
            self.field(&line[..colon], line[colon + 1..].trim_ascii(), Indexing::Never);
        }
    }

    /// One field, of a name and a value as they may stand in a line. Names may have any case;
    /// connection-specific fields are left out, secrets are never indexed, as in lines.
    pub fn field(&mut self, name: &[u8], value: &[u8], indexing: Indexing) {
        let known = known(name);
        match (known.treatment, indexing) {
            (Treatment::Dropped, _) => {}
            (Treatment::Secret, _) | (_, Indexing::Never) => self.literal(0x10, 0x0f, known, name, value),
            (Treatment::Changes, _) | (_, Indexing::Without) => self.literal(0x00, 0x0f, known, name, value),
            (Treatment::Repeats, Indexing::Repeats) => {
                let mut line = [0; FIELD_LINE_BYTES];
                let colon = name.len();
                let end = colon + 2 + value.len();
                let Some(line) = line.get_mut(..end) else {
                    return self.literal(0x00, 0x0f, known, name, value);
                };
                line[..colon].copy_from_slice(name);
                line[colon..colon + 2].copy_from_slice(b": ");
                line[colon + 2..].copy_from_slice(value);
                self.line(line);
            }
        }
    }

    #[inline]
    fn line(&mut self, line: &[u8]) {
        let hash = hash(line);
        let Encoder { table, lookup, inserted, .. } = &*self.encoder;
        if let Some(lookup) = lookup {
            for slot in lookup.slots(hash).iter().filter(|slot| slot.hash == hash) {
                let position = inserted.wrapping_sub(slot.number);
                if table.get(position).is_some_and(|stored| stored.name == line) {
                    let index = DYNAMIC_FIRST as usize + position as usize;
                    return integer::write(self.out, 0x80, 0x7f, index);
                }
            }
        }
        self.line_anew(line, hash);
    }

    /// A line that the table lacks.
    fn line_anew(&mut self, line: &[u8], hash: u32) {
        // A pseudo-field's name begins with a colon.
        let Some(colon) = line.get(1..).and_then(|rest| memchr(b':', rest)) else { return };
        let (name, value) = (&line[..colon + 1], line[colon + 2..].trim_ascii());
        let known = known(name);
        match known.treatment {
            Treatment::Dropped => {}
            Treatment::Changes => self.literal(0x00, 0x0f, known, name, value),
            Treatment::Secret => self.literal(0x10, 0x0f, known, name, value),
            Treatment::Repeats => match static_index(known, value) {
                Some(index) => integer::write(self.out, 0x80, 0x7f, index),
                None if self.is_worth(line, hash) => {
                    let size = name.len() + value.len() + FIELD_OVERHEAD_BYTES as usize;
                    self.insert(line, hash, size as u32);
                    self.literal(0x40, 0x3f, known, name, value);
                }
                None => self.literal(0x00, 0x0f, known, name, value),
            },
        }
    }

    /// Whether a line should enter the table: it is seen for the second time, and is not too large.
    fn is_worth(&mut self, line: &[u8], hash: u32) -> bool {
        let size_max = self.encoder.table.size_max() / ENTRY_SHARE_MAX;
        line.len() + FIELD_OVERHEAD_BYTES as usize <= size_max as usize
            && self.encoder.lookup.get_or_insert_with(|| Box::new(Lookup::new())).see(hash)
    }

    fn insert(&mut self, line: &[u8], hash: u32, size: u32) {
        let encoder = &mut *self.encoder;
        encoder.table.insert(EntryName::Bytes(line), &[], size, 0);
        encoder.inserted = encoder.inserted.wrapping_add(1);
        if let Some(lookup) = &mut encoder.lookup {
            lookup.place(hash, encoder.inserted);
        }
    }

    /// A literal, with its name by index where the static table has it (RFC 7541 §6.2).
    fn literal(&mut self, pattern: u8, mask: u8, known: KnownName, name: &[u8], value: &[u8]) {
        integer::write(self.out, pattern, mask, usize::from(known.index));
        if known.index == 0 {
            self.string(name);
            let start = self.out.len() - name.len();
            self.out[start..].make_ascii_lowercase();
        }
        self.string(value);
    }

    /// RFC 7541 §5.2, without Huffman coding.
    #[inline]
    fn string(&mut self, text: &[u8]) {
        integer::write(self.out, 0x00, 0x7f, text.len());
        self.out.extend_from_slice(text);
    }
}

/// The index of a whole field in the static table.
fn static_index(known: KnownName, value: &[u8]) -> Option<usize> {
    let first = usize::from(known.index).checked_sub(1)?;
    let name = ENTRIES[first].0;
    let same = ENTRIES[first..].iter().take_while(|entry| entry.0 == name);
    let at = same.map(|entry| entry.1.as_bytes()).position(|one| one == value)?;
    Some(first + at + 1)
}
