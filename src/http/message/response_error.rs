//! Why a response head is refused. Every variant is an error of the upstream: a gateway answers 502, and the
//! connection is closed, because the start of the next response is not certain.

use super::framing_field_error::FramingFieldError;
use super::grammar::FieldLineError;
use crate::http::status::Status;

/// Why a response head is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ResponseError {
    /// The connection ended before any byte of a response, interim ones included. The only error after which
    /// an idempotent request may be retried on another connection (RFC 9112 §9.3.1).
    #[error("the connection was closed before a response began; it was idle for too long, or refused")]
    ClosedBeforeResponse,
    /// The connection ended within a head, or after an interim response.
    #[error("the connection was closed before the response head was complete")]
    Truncated,
    /// An empty line in place of the status line.
    #[error("an empty line stands before the status line; the body before it was longer than announced")]
    EmptyLine,
    /// Input other than `HTTP/`: HTTP/0.9, another protocol, or the rest of a body before it.
    #[error(
        "the response begins with byte 0x{0:02x} where HTTP/ should be; is it HTTP/0.9, HTTP/2 or no HTTP?"
    )]
    StatusLineMissing(u8),
    /// `HTTP/` is not followed by a digit, a dot, a digit and a space.
    #[error("the version in the status line is malformed; it must be HTTP/1.1 or HTTP/1.0")]
    VersionMalformed,
    /// A status line with HTTP/0.
    #[error("the status line names HTTP/0, which has none; use HTTP/1.1 or HTTP/1.0")]
    VersionHttp0,
    /// A status line with HTTP/2, which has none.
    #[error("the status line names HTTP/2, which has none; HTTP/2 has to be agreed on before the request")]
    VersionHttp2,
    /// A well-formed version that is none of the above.
    #[error("the version in the status line is unknown; it must be HTTP/1.1 or HTTP/1.0")]
    VersionUnsupported,
    /// The status line ends before the status.
    #[error("the status line has no status")]
    StatusMissing,
    /// The status is not three digits between 100 and 999, after exactly one space.
    #[error("the status is not three digits from 100 to 999 after one space")]
    StatusMalformed,
    /// The reason phrase has a control byte.
    #[error("the reason phrase holds control byte 0x{0:02x}")]
    ReasonCharacter(u8),
    /// The status line, or the empty line after the fields, ends with LF alone.
    #[error("a line ends with LF alone; lines end with CRLF")]
    BareLf,
    /// A CR without LF in the status line or in place of the empty line.
    #[error("a line holds a CR without LF; lines end with CRLF")]
    BareCr,
    /// The head exceeds `head_bytes_max`.
    #[error("the response head is longer than allowed; raise the limit or send fewer fields")]
    HeadTooLong,
    /// The head has more than `fields_max` fields.
    #[error("the response head has more fields than allowed; raise the limit or send fewer")]
    TooManyFields,
    /// A field line is malformed.
    #[error("a field line of the response is malformed")]
    Field(#[source] FieldLineError),
    /// The framing fields are malformed or contradict each other.
    #[error("the end of the response's body is uncertain")]
    Framing(#[source] FramingFieldError),
    /// An interim response or a 101 that announces a body (RFC 9112 §6.1, RFC 9110 §8.6).
    #[error("an interim response announces a body, which it cannot have")]
    InterimWithBody,
    /// More than `interim_max` interim responses to one request.
    #[error("more interim responses than allowed came before the final one")]
    TooManyInterims,
    /// 101 to a request that asked for no upgrade.
    #[error("the protocol was switched (101), but the request did not ask for it")]
    UpgradeUnasked,
    /// 101 without an `Upgrade` field and the `Upgrade` option of `Connection` (RFC 9110 §7.8).
    #[error("a 101 response lacks the Upgrade field or the Upgrade option of Connection")]
    UpgradeMissing,
    /// 101 in HTTP/1.0, which has no upgrades.
    #[error("the protocol was switched (101) in HTTP/1.0, which cannot")]
    UpgradeInHttp10,
    /// The tokenizer refused what the strict scan accepts. The two agree on every known input; the response
    /// is refused, because its interpretation is uncertain.
    #[error("the response head is malformed")]
    Disagreement,
}

impl ResponseError {
    /// The status that a gateway sends to its client.
    pub fn status(self) -> Status {
        Status::BAD_GATEWAY
    }

    /// Whether the request may be retried if its method is idempotent: nothing of a response was received.
    pub fn allows_retry(self) -> bool {
        self == ResponseError::ClosedBeforeResponse
    }
}

impl From<FieldLineError> for ResponseError {
    fn from(error: FieldLineError) -> ResponseError {
        ResponseError::Field(error)
    }
}

impl From<FramingFieldError> for ResponseError {
    fn from(error: FramingFieldError) -> ResponseError {
        ResponseError::Framing(error)
    }
}
