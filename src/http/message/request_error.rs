//! Why a request head is refused, and with which status. Every variant is an error of the client, detected
//! before the request is processed. After any of them the connection is answered once and closed, because the
//! start of the next request is no longer certain.

use std::error::Error;
use std::fmt;

use super::framing_field_error::FramingFieldError;
use super::grammar::FieldLineError;
use crate::http::status::Status;
use crate::http::target::TargetError;

/// Why a request head is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestError {
    /// Too many empty lines before the request line (RFC 9112 §2.2 asks a server to ignore at least one).
    EmptyLines,
    /// The request line, or the empty line after the fields, ends with LF alone.
    BareLf,
    /// A CR without LF in the request line or in place of the empty line.
    BareCr,
    /// The request line begins with a space.
    MethodMissing,
    /// The method is not a token; often another protocol on this port.
    MethodCharacter(u8),
    /// The method is longer than any registered one (RFC 9112 §3 requires 501 here).
    MethodTooLong,
    /// The request line ends after the method.
    TargetMissing,
    /// The request target is malformed, or of a form that is not allowed for the method.
    Target(TargetError),
    /// The request line ends after the target, as in HTTP/0.9.
    VersionMissing,
    /// The request line does not end with `HTTP/` and a version.
    VersionMalformed,
    /// A well-formed version whose major number is not 1.
    VersionUnsupported,
    /// The HTTP/2 preface in place of a request (RFC 9113 §3.4). At the start of a connection it is not an
    /// error: continue with HTTP/2, from
    /// [`RequestDecoder::take_partial`](crate::http::h1::RequestDecoder::take_partial) and this input.
    Http2Preface,
    /// The request line exceeds `request_line_bytes_max`.
    RequestLineTooLong,
    /// The head exceeds `head_bytes_max`.
    HeadTooLong,
    /// The head has more than `fields_max` fields.
    TooManyFields,
    /// A field line is malformed.
    Field(FieldLineError),
    /// HTTP/1.1 without `Host`.
    HostMissing,
    /// More than one `Host`.
    HostRepeated,
    /// `Host` is not one host with an optional port; or it is empty where the target has no host either.
    HostMalformed,
    /// `Content-Length` is not a plain decimal number; lists are refused even when all members agree.
    LengthMalformed,
    /// `Content-Length` does not fit 64 bits.
    LengthOverflow,
    /// More than one `Content-Length`, even when they agree.
    LengthRepeated,
    /// Both `Content-Length` and `Transfer-Encoding`: the classic way to smuggle a request.
    LengthAndChunked,
    /// `Transfer-Encoding` in an HTTP/1.0 request.
    CodingInHttp10,
    /// More than one `Transfer-Encoding` field.
    CodingRepeated,
    /// `Transfer-Encoding` is not a list of tokens.
    CodingMalformed,
    /// `Transfer-Encoding` does not end in `chunked`, or has it twice, so the end of the body is uncertain.
    ChunkedNotLast,
    /// A transfer coding before `chunked` that this server does not support.
    CodingUnsupported,
    /// CONNECT that announces a body.
    ConnectWithBody,
    /// An expectation other than `100-continue`.
    ExpectationUnknown,
    /// The tokenizer refused what the strict scan accepts. The two agree on every known input; the request is
    /// refused, because its interpretation is uncertain.
    Disagreement,
}

impl RequestError {
    /// The status to answer with.
    pub fn status(self) -> Status {
        match self {
            RequestError::MethodTooLong | RequestError::CodingUnsupported => Status::NOT_IMPLEMENTED,
            RequestError::VersionUnsupported | RequestError::Http2Preface => {
                Status::HTTP_VERSION_NOT_SUPPORTED
            }
            RequestError::RequestLineTooLong | RequestError::Target(TargetError::PathTooLong) => {
                Status::URI_TOO_LONG
            }
            RequestError::HeadTooLong | RequestError::TooManyFields => {
                Status::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            RequestError::ExpectationUnknown => Status::EXPECTATION_FAILED,
            _ => Status::BAD_REQUEST,
        }
    }

    fn text(self) -> &'static str {
        match self {
            RequestError::EmptyLines => "too many empty lines before the request line; send none",
            RequestError::BareLf => "a line ends with LF alone; end lines with CRLF",
            RequestError::BareCr => "a CR without LF; end lines with CRLF",
            RequestError::MethodMissing => "the request line begins with a space; begin it with the method",
            RequestError::MethodTooLong => "the method is longer than any known; check the request line",
            RequestError::TargetMissing => "the request line has no target; send method, target and version",
            RequestError::VersionMissing => "the request line has no version; HTTP/0.9 is not spoken here",
            RequestError::VersionMalformed => {
                "the request line must end with HTTP/1.1 after one single space"
            }
            RequestError::VersionUnsupported => "this port speaks HTTP/1.1 and HTTP/1.0; use one of them",
            RequestError::Http2Preface => "HTTP/2 begins with its preface, at the start of a connection only",
            RequestError::RequestLineTooLong => "the request line is too long; shorten the target",
            RequestError::HeadTooLong => {
                "the request head is too long; send fewer or smaller fields or cookies"
            }
            RequestError::TooManyFields => "the request has too many fields; send fewer",
            RequestError::HostMissing => "an HTTP/1.1 request needs a Host field",
            RequestError::HostRepeated => "more than one Host field; send exactly one",
            RequestError::HostMalformed => "Host must be one host name or address with an optional port",
            RequestError::LengthMalformed => "Content-Length must be one decimal number",
            RequestError::LengthOverflow => "Content-Length does not fit 64 bits",
            RequestError::LengthRepeated => "more than one Content-Length field; send exactly one",
            RequestError::LengthAndChunked => "both Content-Length and Transfer-Encoding; send one of them",
            RequestError::CodingInHttp10 => "Transfer-Encoding in HTTP/1.0; use HTTP/1.1 or Content-Length",
            RequestError::CodingRepeated => "more than one Transfer-Encoding field; send chunked once",
            RequestError::CodingMalformed => "Transfer-Encoding is malformed; send chunked",
            RequestError::ChunkedNotLast => "Transfer-Encoding must end in chunked and name it once",
            RequestError::CodingUnsupported => "only the transfer coding chunked is understood",
            RequestError::ConnectWithBody => "CONNECT cannot have a body; send data after the tunnel is open",
            RequestError::ExpectationUnknown => "the only expectation understood is 100-continue",
            RequestError::Disagreement => "the request head is malformed",
            RequestError::MethodCharacter(_) | RequestError::Target(_) | RequestError::Field(_) => "",
        }
    }
}

/// One line with cause and remedy, suitable for the client and for the log.
impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::MethodCharacter(byte) => {
                write!(
                    f,
                    "the method holds byte 0x{byte:02x}; is another protocol (TLS?) sent to an HTTP port?"
                )
            }
            RequestError::Target(error) => error.fmt(f),
            RequestError::Field(error) => error.fmt(f),
            other => f.write_str(other.text()),
        }
    }
}

impl Error for RequestError {}

impl From<FieldLineError> for RequestError {
    fn from(error: FieldLineError) -> RequestError {
        RequestError::Field(error)
    }
}

impl From<FramingFieldError> for RequestError {
    fn from(error: FramingFieldError) -> RequestError {
        match error {
            FramingFieldError::LengthMalformed => RequestError::LengthMalformed,
            FramingFieldError::LengthOverflow => RequestError::LengthOverflow,
            FramingFieldError::LengthRepeated => RequestError::LengthRepeated,
            FramingFieldError::LengthAndChunked => RequestError::LengthAndChunked,
            FramingFieldError::CodingInHttp10 => RequestError::CodingInHttp10,
            FramingFieldError::CodingRepeated => RequestError::CodingRepeated,
            FramingFieldError::CodingMalformed => RequestError::CodingMalformed,
            FramingFieldError::ChunkedNotLast => RequestError::ChunkedNotLast,
            FramingFieldError::CodingUnsupported => RequestError::CodingUnsupported,
        }
    }
}

impl From<TargetError> for RequestError {
    fn from(error: TargetError) -> RequestError {
        RequestError::Target(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_misdeed_has_its_status_and_one_line() {
        let vectors = [
            (RequestError::BareLf, 400),
            (RequestError::MethodTooLong, 501),
            (RequestError::VersionUnsupported, 505),
            (RequestError::RequestLineTooLong, 414),
            (RequestError::HeadTooLong, 431),
            (RequestError::TooManyFields, 431),
            (RequestError::ExpectationUnknown, 417),
            (RequestError::CodingUnsupported, 501),
            (RequestError::ChunkedNotLast, 400),
            (RequestError::MethodCharacter(0x16), 400),
            (RequestError::Target(TargetError::Form), 400),
            (RequestError::Target(TargetError::ParentSegment), 400),
            (RequestError::Target(TargetError::PathTooLong), 414),
            (RequestError::Field(FieldLineError::Folded), 400),
        ];
        for (error, status) in vectors {
            assert_eq!(error.status().code(), status, "{error:?}");
            let text = error.to_string();
            assert!(!text.is_empty() && !text.contains('\n'), "{error:?}: {text}");
        }
    }
}
