//! Why a multipart body cannot be decoded, and in which of its parts.

use std::error::Error;
use std::fmt;

use crate::http::message::FieldLineError;
use crate::http::status::Status;

/// The kinds of errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MultipartErrorKind {
    /// The Content-Type is another one.
    NotMultipart,
    /// The Content-Type has no boundary, or an invalid one.
    BoundaryMalformed,
    /// More text before the first delimiter than `preamble_bytes_max`.
    PreambleTooLong,
    /// More text after the last delimiter than `epilogue_bytes_max`.
    EpilogueTooLong,
    /// A delimiter is followed by something else than the end of its line.
    DelimiterMalformed,
    /// More parts than `parts_max`.
    TooManyParts,
    /// A part's head is longer than `head_bytes_max`.
    HeadTooLong,
    /// A part has more fields than `fields_max`.
    TooManyFields,
    /// A field line of a part is malformed.
    Field(FieldLineError),
    /// A part has no Content-Disposition.
    DispositionMissing,
    /// A part has more than one Content-Disposition.
    DispositionRepeated,
    /// A part's Content-Disposition is not `form-data`, malformed, or has a parameter twice.
    DispositionMalformed,
    /// A part has no name.
    NameMissing,
    /// A part's name, file name or type is not UTF-8.
    NotUtf8,
    /// A part is encoded (Content-Transfer-Encoding), which RFC 7578 §4.7 deprecates.
    TransferEncoded,
    /// A part has more data than `part_bytes_max`.
    PartTooLarge,
    /// The body ends before its last delimiter.
    Truncated,
}

impl MultipartErrorKind {
    /// The status to answer with.
    pub fn status(self) -> Status {
        match self {
            Self::NotMultipart | Self::TransferEncoded => Status::UNSUPPORTED_MEDIA_TYPE,
            Self::PreambleTooLong
            | Self::EpilogueTooLong
            | Self::TooManyParts
            | Self::HeadTooLong
            | Self::TooManyFields
            | Self::PartTooLarge => Status::CONTENT_TOO_LARGE,
            _ => Status::BAD_REQUEST,
        }
    }
}

impl fmt::Display for MultipartErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotMultipart => "the body must be multipart/form-data",
            Self::BoundaryMalformed => "the Content-Type needs one boundary of 1 to 70 plain characters",
            Self::PreambleTooLong => "too much text before the first delimiter; begin with it",
            Self::EpilogueTooLong => "too much text after the last delimiter; end with it",
            Self::DelimiterMalformed => "a delimiter is followed by something else than CRLF or --",
            Self::TooManyParts => "the body has too many parts; send fewer",
            Self::HeadTooLong => "its head is too long; send fewer or smaller fields",
            Self::TooManyFields => "its head has too many fields; send fewer",
            Self::Field(error) => return error.fmt(f),
            Self::DispositionMissing => "it has no Content-Disposition",
            Self::DispositionRepeated => "it has more than one Content-Disposition",
            Self::DispositionMalformed => "its Content-Disposition must be form-data; name=\"…\"",
            Self::NameMissing => "its Content-Disposition has no name",
            Self::NotUtf8 => "its head holds text that is not UTF-8",
            Self::TransferEncoded => "it has a Content-Transfer-Encoding; send its bytes as they are",
            Self::PartTooLarge => "it is larger than this server takes; send less",
            Self::Truncated => "the body ends before its last delimiter",
        })
    }
}

/// A multipart body that cannot be decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MultipartError {
    /// The kind of error.
    pub kind: MultipartErrorKind,
    /// In which part, counted from 1; 0 before the first.
    pub part: usize,
    /// The name of that part, if it is known.
    pub name: Option<Box<str>>,
}

/// One line that names the part, suitable for the client and for the log.
impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.part) {
            (Some(name), part) => write!(f, "part {part} ({name:?}): {}", self.kind),
            (None, 0) => self.kind.fmt(f),
            (None, part) => write!(f, "part {part}: {}", self.kind),
        }
    }
}

impl Error for MultipartError {}
