//! Why `Content-Length` and `Transfer-Encoding` of a head, in either direction, leave the end of the body
//! uncertain (RFC 9112 §6). Each is refused, because two recipients could parse such a message differently.

/// Framing fields that are malformed or contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FramingFieldError {
    /// `Content-Length` is not a plain decimal number; lists are refused even when all members agree.
    #[error("Content-Length is not one decimal number")]
    LengthMalformed,
    /// `Content-Length` does not fit 64 bits.
    #[error("Content-Length does not fit 64 bits")]
    LengthOverflow,
    /// More than one `Content-Length`, even when they agree.
    #[error("there is more than one Content-Length field")]
    LengthRepeated,
    /// Both `Content-Length` and `Transfer-Encoding`: the classic way to smuggle a message.
    #[error("there are both Content-Length and Transfer-Encoding")]
    LengthAndChunked,
    /// `Transfer-Encoding` in HTTP/1.0.
    #[error("there is Transfer-Encoding in an HTTP/1.0 message")]
    CodingInHttp10,
    /// More than one `Transfer-Encoding` field.
    #[error("there is more than one Transfer-Encoding field")]
    CodingRepeated,
    /// `Transfer-Encoding` is not a list of tokens.
    #[error("Transfer-Encoding is not a list of tokens")]
    CodingMalformed,
    /// `Transfer-Encoding` does not end in `chunked`, or names it twice.
    #[error("Transfer-Encoding does not end in chunked, or names it twice")]
    ChunkedNotLast,
    /// A transfer coding before `chunked`, which is not decoded here.
    #[error("Transfer-Encoding names a coding other than chunked, which is not decoded here")]
    CodingUnsupported,
}
