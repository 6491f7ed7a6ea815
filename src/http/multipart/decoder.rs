//! Finds the boundaries of parts. Processes each byte of the body once and stores only those of a part's
//! head: of a delimiter split between two inputs only the matched length is stored, because its bytes are
//! known.

use std::ops::Range;

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use super::disposition::{HeadBuilder, PartHead};
use super::error::{MultipartError, MultipartErrorKind};
use crate::http::message::FieldLineError;

/// Limits of one body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MultipartLimits {
    /// Parts. Default 64: more than forms have, and each costs the application some memory.
    pub parts_max: usize,
    /// Bytes of a part's head with its line ends. Default 8 KiB, a usual limit of a request's head.
    pub head_bytes_max: usize,
    /// Fields of a part's head. Default 16; only three of them have a meaning.
    pub fields_max: usize,
    /// Bytes of a part's data. Default 64 MiB. Data is not stored, so this limits what the application gets.
    pub part_bytes_max: u64,
    /// Bytes before the first delimiter. Default 1 KiB: unused in HTTP; mail programs put an explanation
    /// there.
    pub preamble_bytes_max: usize,
    /// Bytes after the last delimiter. Default 1 KiB, as before the first.
    pub epilogue_bytes_max: usize,
}

impl MultipartLimits {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        parts_max: 64,
        head_bytes_max: 8 * 1024,
        fields_max: 16,
        part_bytes_max: 64 * 1024 * 1024,
        preamble_bytes_max: 1024,
        epilogue_bytes_max: 1024,
    };
}

impl Default for MultipartLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The result of one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MultipartEvent {
    /// All input was taken without a result.
    NeedsMore,
    /// A part begins.
    Part(PartHead),
    /// Data of the part, as a range of the input.
    Data(Range<usize>),
    /// Data of the part from the end of earlier input, which could have been a delimiter: these bytes of
    /// [`MultipartDecoder::delimiter`].
    Held(Range<usize>),
    /// The part is complete.
    PartEnd,
    /// The body's last part is complete. What follows is skipped, within its limit.
    End,
}

/// The result of one call, with the input that it took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecodeStep {
    /// Bytes taken; the rest goes into the next call.
    pub consumed: usize,
    /// The event.
    pub event: MultipartEvent,
}

/// Spaces and tabs after a delimiter (transport padding, RFC 2046 §5.1.1): senders must not send them,
/// recipients must accept them.
const PADDING_BYTES_MAX: usize = 64;

/// The states, part by part:
///
/// ```text
/// Preamble ─► Behind ─► Padding ─► Head ─► Data ─► PartEnd ─► Behind …
///                └────► Closing ─► Epilogue
/// ```
#[derive(Clone, Debug)]
enum DecodeState {
    /// Before the first delimiter.
    Preamble { search: DelimiterMatch, bytes: usize },
    /// In a part's data.
    Data { search: DelimiterMatch, bytes: u64 },
    /// Directly after a delimiter: CRLF, padding or the first hyphen.
    Behind,
    /// In the padding; a CR may have been seen.
    Padding { bytes: usize, cr: bool },
    /// After the first of the last delimiter's two hyphens.
    Closing,
    /// In a part's head; the incomplete line is in `line`.
    Head { bytes: usize },
    /// After the last delimiter.
    Epilogue { bytes: usize },
    /// After an error; every further call returns it.
    Failed(MultipartErrorKind),
}

/// How much of a delimiter the end of the input matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct DelimiterMatch {
    /// Bytes of the delimiter that match.
    matched: usize,
    /// The first of them that are not in the input: the line end before it, implied by the start of the body
    /// and by the end of a part's head.
    assumed: usize,
}

impl DelimiterMatch {
    /// At the start of a line.
    const AFTER_LINE: DelimiterMatch = DelimiterMatch { matched: 2, assumed: 2 };
    const NOTHING: DelimiterMatch = DelimiterMatch { matched: 0, assumed: 0 };
}

/// Decodes a multipart body.
///
/// ```
/// use quoit::http::multipart::{MultipartDecoder, MultipartEvent, MultipartLimits};
///
/// let body = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhello\r\n--x--\r\n";
/// let mut decoder = MultipartDecoder::new("x", MultipartLimits::DEFAULT);
/// let mut rest = &body[..];
/// let mut text = Vec::new();
/// while !rest.is_empty() {
///     let step = decoder.handle_bytes(rest).unwrap();
///     match step.event {
///         MultipartEvent::Part(head) => assert_eq!(head.name, "a"),
///         MultipartEvent::Data(range) => text.extend_from_slice(&rest[range]),
///         MultipartEvent::Held(range) => text.extend_from_slice(&decoder.delimiter()[range]),
///         MultipartEvent::NeedsMore | MultipartEvent::PartEnd | MultipartEvent::End => {}
///     }
///     rest = &rest[step.consumed..];
/// }
/// decoder.finish().unwrap();
/// assert_eq!(text, b"hello");
/// ```
#[derive(Debug)]
pub struct MultipartDecoder {
    /// Searches CRLF, two hyphens, the boundary. INVARIANT: no CR but the first byte, so that the rest after
    /// a mismatch cannot begin a delimiter.
    finder: Finder<'static>,
    limits: MultipartLimits,
    state: DecodeState,
    parts: usize,
    head: HeadBuilder,
    /// The incomplete line of a head.
    line: Vec<u8>,
    /// Name of the current part, for errors.
    name: Option<Box<str>>,
}

impl MultipartDecoder {
    /// For a body with this boundary, as returned by [`boundary`](super::boundary).
    ///
    /// # Panics
    /// When the boundary holds a CR.
    pub fn new(boundary: &str, limits: MultipartLimits) -> Self {
        assert!(!boundary.contains('\r'), "a boundary is checked before it is used");
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        Self {
            finder: Finder::new(&delimiter).into_owned(),
            limits,
            state: DecodeState::Preamble { search: DelimiterMatch::AFTER_LINE, bytes: 0 },
            parts: 0,
            head: HeadBuilder::default(),
            line: Vec::new(),
            name: None,
        }
    }

    /// CRLF, two hyphens, the boundary.
    pub fn delimiter(&self) -> &[u8] {
        self.finder.needle()
    }

    /// Takes input until there is an event. A step may take nothing, but then its event is not
    /// [`MultipartEvent::NeedsMore`].
    ///
    /// # Errors
    /// See [`MultipartErrorKind`]; the body cannot be decoded further.
    pub fn handle_bytes(&mut self, input: &[u8]) -> Result<DecodeStep, MultipartError> {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            let (taken, event) = self.advance(rest).map_err(|kind| self.fail(kind))?;
            let event = match event {
                Some(MultipartEvent::Data(range)) => {
                    Some(MultipartEvent::Data(range.start + consumed..range.end + consumed))
                }
                other => other,
            };
            consumed += taken;
            match event {
                Some(event) => return Ok(DecodeStep { consumed, event }),
                None if consumed == input.len() => {
                    return Ok(DecodeStep { consumed, event: MultipartEvent::NeedsMore });
                }
                None => {}
            }
        }
    }

    /// Checks whether the body may end here.
    ///
    /// # Errors
    /// [`MultipartErrorKind::Truncated`] before its last delimiter, or an earlier error.
    pub fn finish(&self) -> Result<(), MultipartError> {
        match self.state {
            DecodeState::Epilogue { .. } => Ok(()),
            DecodeState::Failed(kind) => Err(self.error(kind)),
            _ => Err(self.error(MultipartErrorKind::Truncated)),
        }
    }

    fn fail(&mut self, kind: MultipartErrorKind) -> MultipartError {
        self.state = DecodeState::Failed(kind);
        self.error(kind)
    }

    fn error(&self, kind: MultipartErrorKind) -> MultipartError {
        let name = self.name.clone().or_else(|| self.head.name().map(Box::from));
        MultipartError { kind, part: self.parts, name }
    }

    /// One step; takes input, changes the state, or returns an event, unless the input is empty.
    fn advance(&mut self, input: &[u8]) -> Result<(usize, Option<MultipartEvent>), MultipartErrorKind> {
        match self.state {
            DecodeState::Failed(kind) => Err(kind),
            DecodeState::Data { search, bytes } => self.data(input, search, bytes),
            _ if input.is_empty() => Ok((0, None)),
            DecodeState::Preamble { search, bytes } => self.preamble(input, search, bytes),
            DecodeState::Behind => self.behind(input[0]),
            DecodeState::Padding { bytes, cr } => self.padding(input[0], bytes, cr),
            DecodeState::Closing if input[0] != b'-' => Err(MultipartErrorKind::DelimiterMalformed),
            DecodeState::Closing => {
                self.state = DecodeState::Epilogue { bytes: 0 };
                Ok((1, Some(MultipartEvent::End)))
            }
            DecodeState::Head { bytes } => self.head(input, bytes),
            DecodeState::Epilogue { bytes } => {
                let bytes = bytes.saturating_add(input.len());
                self.state = DecodeState::Epilogue { bytes };
                let fits = bytes <= self.limits.epilogue_bytes_max;
                if fits { Ok((input.len(), None)) } else { Err(MultipartErrorKind::EpilogueTooLong) }
            }
        }
    }

    fn preamble(
        &mut self,
        input: &[u8],
        search: DelimiterMatch,
        bytes: usize,
    ) -> Result<(usize, Option<MultipartEvent>), MultipartErrorKind> {
        let found = search_delimiter(&self.finder, search, input);
        let passed = bytes + found.held.len() + found.data;
        if passed > self.limits.preamble_bytes_max {
            return Err(MultipartErrorKind::PreambleTooLong);
        }
        self.state = match found.search {
            None => DecodeState::Behind,
            Some(search) => DecodeState::Preamble { search, bytes: passed },
        };
        Ok((found.consumed, None))
    }

    fn data(
        &mut self,
        input: &[u8],
        search: DelimiterMatch,
        bytes: u64,
    ) -> Result<(usize, Option<MultipartEvent>), MultipartErrorKind> {
        if search.matched == self.delimiter().len() {
            self.state = DecodeState::Behind;
            self.name = None;
            return Ok((0, Some(MultipartEvent::PartEnd)));
        }
        if input.is_empty() {
            return Ok((0, None));
        }
        let found = search_delimiter(&self.finder, search, input);
        // Data before a delimiter, or before a possible one, is returned first.
        let (consumed, event, length, search) = if !found.held.is_empty() {
            let length = found.held.len();
            (0, Some(MultipartEvent::Held(found.held)), length, DelimiterMatch::NOTHING)
        } else {
            let event = (found.data > 0).then_some(MultipartEvent::Data(0..found.data));
            let complete = DelimiterMatch { matched: self.delimiter().len(), assumed: 0 };
            (found.consumed, event, found.data, found.search.unwrap_or(complete))
        };
        let bytes = bytes + length as u64;
        if bytes > self.limits.part_bytes_max {
            return Err(MultipartErrorKind::PartTooLarge);
        }
        self.state = DecodeState::Data { search, bytes };
        Ok((consumed, event))
    }

    fn behind(&mut self, byte: u8) -> Result<(usize, Option<MultipartEvent>), MultipartErrorKind> {
        if byte == b'-' {
            self.state = DecodeState::Closing;
            return Ok((1, None));
        }
        self.state = DecodeState::Padding { bytes: 0, cr: false };
        Ok((0, None))
    }

    fn padding(
        &mut self,
        byte: u8,
        bytes: usize,
        cr: bool,
    ) -> Result<(usize, Option<MultipartEvent>), MultipartErrorKind> {
        self.state = match byte {
            b'\n' if cr => {
                self.parts += 1;
                if self.parts > self.limits.parts_max {
                    return Err(MultipartErrorKind::TooManyParts);
                }
                DecodeState::Head { bytes: 0 }
            }
            b'\r' if !cr => DecodeState::Padding { bytes, cr: true },
            b' ' | b'\t' if !cr && bytes < PADDING_BYTES_MAX => DecodeState::Padding { bytes: bytes + 1, cr },
            _ => return Err(MultipartErrorKind::DelimiterMalformed),
        };
        Ok((1, None))
    }

    /// Gathers lines. A line is parsed when it is complete, so no byte is parsed repeatedly.
    fn head(
        &mut self,
        input: &[u8],
        bytes: usize,
    ) -> Result<(usize, Option<MultipartEvent>), MultipartErrorKind> {
        let line_end = memchr(b'\n', input);
        let taken = line_end.map_or(input.len(), |at| at + 1);
        let bytes = bytes + taken;
        if bytes > self.limits.head_bytes_max {
            return Err(MultipartErrorKind::HeadTooLong);
        }
        self.state = DecodeState::Head { bytes };
        self.line.extend_from_slice(&input[..taken]);
        if line_end.is_none() {
            return Ok((taken, None));
        }
        match self.line.as_slice() {
            b"\r\n" => {
                self.line.clear();
                let head = std::mem::take(&mut self.head).finish()?;
                self.name = Some(head.name.as_str().into());
                self.state = DecodeState::Data { search: DelimiterMatch::AFTER_LINE, bytes: 0 };
                Ok((taken, Some(MultipartEvent::Part(head))))
            }
            b"\n" => Err(MultipartErrorKind::Field(FieldLineError::BareLf)),
            line => {
                self.head.line(line, self.limits.fields_max)?;
                self.line.clear();
                Ok((taken, None))
            }
        }
    }
}

/// The result of a delimiter search.
struct DelimiterSearch {
    /// Bytes of the delimiter at the end of earlier input that turned out to be data. If not empty, only
    /// `data`, which may follow, is valid.
    held: Range<usize>,
    /// Bytes of input that are data.
    data: usize,
    /// Bytes of input that are data, delimiter, or possibly a delimiter.
    consumed: usize,
    /// The state of the search; `None` when the delimiter is complete.
    search: Option<DelimiterMatch>,
}

fn search_delimiter(finder: &Finder<'_>, search: DelimiterMatch, input: &[u8]) -> DelimiterSearch {
    let delimiter = finder.needle();
    let open = &delimiter[search.matched..];
    let common = open.iter().zip(input).take_while(|(a, b)| a == b).count();
    let mut held = 0..0;
    if search.matched > 0 {
        if common == open.len() {
            return DelimiterSearch { held, data: 0, consumed: common, search: None };
        }
        if common == input.len() {
            let search = DelimiterMatch { matched: search.matched + common, ..search };
            return DelimiterSearch { held, data: 0, consumed: common, search: Some(search) };
        }
        held = search.assumed..search.matched;
    }
    if let Some(at) = finder.find(input) {
        return DelimiterSearch { held, data: at, consumed: at + delimiter.len(), search: None };
    }
    // Only a CR begins a delimiter, so only the last CR can begin one that the end of the input splits.
    let data = memrchr(b'\r', input).filter(|at| delimiter.starts_with(&input[*at..])).unwrap_or(input.len());
    let search = DelimiterMatch { matched: input.len() - data, assumed: 0 };
    DelimiterSearch { held, data, consumed: input.len(), search: Some(search) }
}
