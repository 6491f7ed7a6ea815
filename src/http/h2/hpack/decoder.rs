//! Field blocks into fields (RFC 7541 §3). Takes whole blocks, which are bounded where their fragments are
//! gathered.

use std::ops::{ControlFlow, Range};

use super::error::HpackError;
use super::integer::BlockReader;
use super::static_table::{self, DYNAMIC_FIRST};
use super::table::{DynamicTable, EntryName};
use super::{FIELD_OVERHEAD_BYTES, TABLE_BYTES_DEFAULT, huffman};

/// Memory for Huffman-coded strings that is kept between blocks: an idle connection should not hold what one
/// long cookie took.
const SCRATCH_BYTES_KEPT: usize = 1024;

/// A field as it was decoded. Names and values are any bytes; the caller checks them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// The first index of this name in the static table (1 `:authority`, 2 `:method`, 4 `:path`, 6 `:scheme`,
    /// 8 `:status`, 31 `content-type` …), which proves the name well-formed; 0 when the peer sent the name as
    /// a literal, even one of these.
    pub name_index: u8,
    /// Whether it must stay a never-indexed literal when forwarded (RFC 7541 §6.2.3).
    pub never_indexed: bool,
}

/// How much of a list the sink received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListEnd<B> {
    /// Every field.
    Whole,
    /// The list is larger than allowed; the sink received the fields up to the limit.
    TooLarge,
    /// The sink broke, with this value.
    Broken(B),
}

/// The state of one direction of a connection, at its reading end. A new one holds no memory.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// The table size that was announced and acknowledged.
    announced: u32,
    /// The smallest that was announced since the last block, if the table has to shrink to it.
    shrink_to: Option<u32>,
    scratch: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder whose table may have [`TABLE_BYTES_DEFAULT`].
    pub fn new() -> Decoder {
        Decoder {
            table: DynamicTable::new(TABLE_BYTES_DEFAULT),
            announced: TABLE_BYTES_DEFAULT,
            shrink_to: None,
            scratch: Vec::new(),
        }
    }

    /// Our SETTINGS_HEADER_TABLE_SIZE, once the peer has acknowledged it. When its table may be larger than
    /// that, its next block has to begin with a size update (RFC 9113 §4.3.1).
    pub fn set_table_bytes_max(&mut self, bytes: u32) {
        self.announced = bytes;
        if bytes < self.table.size_max() {
            self.shrink_to = Some(self.shrink_to.map_or(bytes, |smallest| smallest.min(bytes)));
        }
    }

    /// What the dynamic table holds now, in bytes as RFC 7541 §4.1 counts them.
    pub fn table_bytes(&self) -> u32 {
        self.table.size()
    }

    /// Memory held for bytes of fields.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.scratch.capacity()
    }

    /// Decodes one whole block and hands its fields to `sink`, in order, until the sink breaks or the list
    /// exceeds `list_bytes_max` (names, values and 32 a field: RFC 9113 §6.5.2). The table then
    /// agrees with the peer's in any case. Time and memory are proportional to the block, `list_bytes_max`
    /// and the table.
    ///
    /// # Errors
    /// When the block is malformed. The connection is then over: COMPRESSION_ERROR (RFC 9113 §4.3).
    pub fn decode<B>(
        &mut self,
        block: &[u8],
        list_bytes_max: u32,
        sink: impl FnMut(Field<'_>) -> ControlFlow<B>,
    ) -> Result<ListEnd<B>, HpackError> {
        let mut list = FieldList { sink, left: list_bytes_max, end: ListEnd::Whole };
        let result = self.decode_fields(BlockReader::new(block), &mut list);
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
        result.map(|()| list.end)
    }

    fn decode_fields<B>(
        &mut self,
        mut reader: BlockReader<'_>,
        list: &mut FieldList<B, impl FnMut(Field<'_>) -> ControlFlow<B>>,
    ) -> Result<(), HpackError> {
        let mut first = reader.next();
        while let Some(byte @ 0x20..0x40) = first {
            self.update_size(&mut reader, byte)?;
            first = reader.next();
        }
        if self.shrink_to.is_some() {
            return Err(HpackError::SizeUpdateMissing);
        }
        while let Some(byte) = first {
            match byte {
                0x80.. => self.indexed(&mut reader, byte, list)?,
                0x40.. => self.literal(&mut reader, byte, LiteralIndexing::Incremental, list)?,
                0x20.. => return Err(HpackError::SizeUpdateLate),
                0x10.. => self.literal(&mut reader, byte, LiteralIndexing::Never, list)?,
                _ => self.literal(&mut reader, byte, LiteralIndexing::Without, list)?,
            }
            first = reader.next();
        }
        Ok(())
    }

    /// RFC 7541 §6.3.
    #[cold]
    fn update_size(&mut self, reader: &mut BlockReader<'_>, first: u8) -> Result<(), HpackError> {
        let size = reader.integer(first, 0x1f)?;
        if size > self.announced {
            return Err(HpackError::SizeUpdateTooLarge(size));
        }
        if self.shrink_to.is_some_and(|smallest| size <= smallest) {
            self.shrink_to = None;
        }
        self.table.set_size_max(size);
        Ok(())
    }

    /// RFC 7541 §6.1.
    #[inline]
    fn indexed<B>(
        &mut self,
        reader: &mut BlockReader<'_>,
        first: u8,
        list: &mut FieldList<B, impl FnMut(Field<'_>) -> ControlFlow<B>>,
    ) -> Result<(), HpackError> {
        let index = reader.integer(first, 0x7f)?;
        let (name, value, name_index) = entry(&self.table, index)?;
        list.push(Field { name, value, name_index, never_indexed: false });
        Ok(())
    }

    /// RFC 7541 §6.2.
    fn literal<B>(
        &mut self,
        reader: &mut BlockReader<'_>,
        first: u8,
        indexing: LiteralIndexing,
        list: &mut FieldList<B, impl FnMut(Field<'_>) -> ControlFlow<B>>,
    ) -> Result<(), HpackError> {
        self.scratch.clear();
        let index =
            reader.integer(first, if indexing == LiteralIndexing::Incremental { 0x3f } else { 0x0f })?;
        let spelled = if index == 0 { Some(read_string(reader, &mut self.scratch)?) } else { None };
        let value = read_string(reader, &mut self.scratch)?;
        let value = value.bytes(&self.scratch);
        let (name, name_index) = match &spelled {
            Some(name) => (name.bytes(&self.scratch), 0),
            None => entry(&self.table, index).map(|(name, _, name_index)| (name, name_index))?,
        };
        list.push(Field { name, value, name_index, never_indexed: indexing == LiteralIndexing::Never });
        if indexing == LiteralIndexing::Incremental {
            let size = field_size(name, value);
            let name = match (&spelled, index.checked_sub(DYNAMIC_FIRST)) {
                (None, Some(position)) => EntryName::At(position),
                (None, None) => EntryName::Bytes(static_table::entry(index).map_or(&[], |(name, _, _)| name)),
                (Some(name), _) => EntryName::Bytes(name.bytes(&self.scratch)),
            };
            self.table.insert(name, value, size, name_index);
        }
        Ok(())
    }
}

/// The three literal representations (RFC 7541 §6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum LiteralIndexing {
    Incremental,
    Without,
    Never,
}

/// Name, value and the name's index in the static table, of an entry of either table (RFC 7541 §2.3.3).
#[inline]
fn entry(table: &DynamicTable, index: u32) -> Result<(&[u8], &[u8], u8), HpackError> {
    if let Some(position) = index.checked_sub(DYNAMIC_FIRST) {
        let stored = table.get(position).ok_or(HpackError::IndexUnknown(index))?;
        return Ok((stored.name, stored.value, stored.tag));
    }
    static_table::entry(index).ok_or(HpackError::IndexZero)
}

/// The size of a field in a table and in a list. Fields of a block fit in 32 bits.
#[inline]
fn field_size(name: &[u8], value: &[u8]) -> u32 {
    u32::try_from(name.len() + value.len()).unwrap_or(u32::MAX).saturating_add(FIELD_OVERHEAD_BYTES)
}

/// The fields of one block on their way to the sink.
struct FieldList<B, S> {
    sink: S,
    /// Bytes that the list may still grow by.
    left: u32,
    end: ListEnd<B>,
}

impl<B, S: FnMut(Field<'_>) -> ControlFlow<B>> FieldList<B, S> {
    #[inline]
    fn push(&mut self, field: Field<'_>) {
        if !matches!(self.end, ListEnd::Whole) {
            return;
        }
        match self.left.checked_sub(field_size(field.name, field.value)) {
            Some(left) => self.left = left,
            None => {
                self.end = ListEnd::TooLarge;
                return;
            }
        }
        if let ControlFlow::Break(reason) = (self.sink)(field) {
            self.end = ListEnd::Broken(reason);
        }
    }
}

/// A string of a literal: in the block, or decoded into the scratch.
enum StringLiteral<'a> {
    Plain(&'a [u8]),
    Decoded(Range<usize>),
}

impl<'a> StringLiteral<'a> {
    #[inline]
    fn bytes(&self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            StringLiteral::Plain(bytes) => bytes,
            StringLiteral::Decoded(range) => &scratch[range.clone()],
        }
    }
}

/// RFC 7541 §5.2.
#[inline]
fn read_string<'a>(
    reader: &mut BlockReader<'a>,
    scratch: &mut Vec<u8>,
) -> Result<StringLiteral<'a>, HpackError> {
    let first = reader.next().ok_or(HpackError::Truncated)?;
    let length = reader.integer(first, 0x7f)?;
    let bytes = reader.take(length)?;
    if first & 0x80 == 0 {
        return Ok(StringLiteral::Plain(bytes));
    }
    let start = scratch.len();
    huffman::decode(bytes, scratch)?;
    Ok(StringLiteral::Decoded(start..scratch.len()))
}
