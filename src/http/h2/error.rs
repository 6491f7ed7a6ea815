//! Errors of HTTP/2 connections and streams, and the RFC 9113 error code of each. A connection error ends the
//! connection, a stream error one exchange; the frames that carry them are written elsewhere.

use std::error::Error;
use std::fmt;

use super::hpack::HpackError;
use super::kind::FrameKind;

/// An error code (RFC 9113 §7). Unregistered codes are allowed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub u32);

macro_rules! codes {
    ($($constant:ident $code:literal;)+) => {
        impl ErrorCode {
            $(
                #[doc = concat!("`", stringify!($constant), "`.")]
                pub const $constant: ErrorCode = ErrorCode($code);
            )+

            /// The registered name; empty for others.
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($code => stringify!($constant),)+
                    _ => "",
                }
            }
        }
    };
}

codes! {
    NO_ERROR 0;
    PROTOCOL_ERROR 1;
    INTERNAL_ERROR 2;
    FLOW_CONTROL_ERROR 3;
    SETTINGS_TIMEOUT 4;
    STREAM_CLOSED 5;
    FRAME_SIZE_ERROR 6;
    REFUSED_STREAM 7;
    CANCEL 8;
    COMPRESSION_ERROR 9;
    CONNECT_ERROR 10;
    ENHANCE_YOUR_CALM 11;
    INADEQUATE_SECURITY 12;
    HTTP_1_1_REQUIRED 13;
}

/// Its name, or its number.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "" => write!(f, "{:#x}", self.0),
            name => f.write_str(name),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A kind of frame that costs its receiver more than its sender (RFC 9113 §10.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FloodKind {
    /// Streams that were reset, or opened beyond the limit.
    Resets,
    /// SETTINGS, each of which must be acknowledged, and acknowledgements of none.
    Settings,
    /// PING, each of which must be acknowledged, and acknowledgements of none.
    Pings,
    /// PRIORITY and PRIORITY_UPDATE.
    Priorities,
    /// Empty DATA without END_STREAM; DATA or HEADERS on a closed stream.
    IdleData,
    /// WINDOW_UPDATE.
    WindowUpdates,
    /// Frames of unknown types.
    UnknownFrames,
    /// Interim responses.
    InterimHeads,
    /// GOAWAY.
    Goaways,
}

impl FloodKind {
    /// Number of variants.
    pub(super) const COUNT: usize = 9;
}

/// An error that ends the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionError {
    /// The connection does not begin with the preface (RFC 9113 §3.4).
    PrefaceMalformed,
    /// The preface is not followed by SETTINGS (§3.4).
    SettingsMissing,
    /// A frame is longer than SETTINGS_MAX_FRAME_SIZE (§4.2).
    FrameTooLong(FrameKind),
    /// A frame has a length that its type does not allow (§4.2).
    FrameLength(FrameKind),
    /// A frame type that requires a stream was received on stream 0 (§6).
    StreamMissing(FrameKind),
    /// A frame type of the connection was received on a stream (§6).
    StreamUnexpected(FrameKind),
    /// Padding is as long as the payload, or longer (§6.1).
    PaddingTooLong,
    /// A frame of another kind, or on another stream, within a field block (§6.10).
    BlockInterrupted(FrameKind),
    /// CONTINUATION without a field block to continue (§6.10).
    ContinuationUnexpected,
    /// A field block in more CONTINUATION frames, or bytes, than `block_*_max`.
    BlockTooLong,
    /// A field block cannot be decoded (§4.3).
    Compression(HpackError),
    /// A stream with an even number, which only a push may have (§5.1.1).
    StreamEven,
    /// A stream was opened with a number below another one's (§5.1.1).
    StreamNotIncreasing,
    /// A frame on a stream that was not opened (§5.1).
    StreamIdle(FrameKind),
    /// A frame on a stream that both sides had ended (§5.1).
    StreamClosed(FrameKind),
    /// PUSH_PROMISE, which clients may not send, and which is disabled for servers (§8.4).
    PushPromise,
    /// A server sent SETTINGS_ENABLE_PUSH other than 0 (§6.5.2).
    PushEnabled,
    /// SETTINGS_ENABLE_PUSH, or another boolean setting, is neither 0 nor 1 (§6.5.2).
    SettingNotSwitch,
    /// SETTINGS_INITIAL_WINDOW_SIZE is above 2^31 - 1 (§6.5.2).
    InitialWindowTooLarge,
    /// SETTINGS_MAX_FRAME_SIZE is outside 2^14 to 2^24 - 1 (§6.5.2).
    MaxFrameSizeOutOfRange,
    /// WINDOW_UPDATE by zero for the connection (§6.9).
    IncrementZero,
    /// A window above 2^31 - 1: the connection's by WINDOW_UPDATE, or a stream's by SETTINGS (§6.9.1,
    /// §6.9.2).
    WindowOverflow,
    /// More data than the connection's window allowed (§6.9).
    DataBeyondWindow,
    /// PRIORITY_UPDATE names no stream of the client, its value is not ASCII, or a server sent it (RFC 9218
    /// §7.1).
    PriorityUpdateMalformed,
    /// More frames of one kind than [`Budgets`](super::Budgets) allow.
    Flood(FloodKind),
    /// A frame other than DATA was incomplete after its timeout.
    FrameTimedOut,
    /// No response made progress, because the peer sent no WINDOW_UPDATE in time.
    WindowStalled,
}

impl ConnectionError {
    /// The code that GOAWAY carries.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::FrameTooLong(_) | Self::FrameLength(_) => ErrorCode::FRAME_SIZE_ERROR,
            Self::Compression(_) => ErrorCode::COMPRESSION_ERROR,
            Self::StreamClosed(_) => ErrorCode::STREAM_CLOSED,
            Self::InitialWindowTooLarge | Self::WindowOverflow | Self::DataBeyondWindow => {
                ErrorCode::FLOW_CONTROL_ERROR
            }
            Self::BlockTooLong | Self::Flood(_) | Self::FrameTimedOut | Self::WindowStalled => {
                ErrorCode::ENHANCE_YOUR_CALM
            }
            _ => ErrorCode::PROTOCOL_ERROR,
        }
    }
}

/// One line that names the error: GOAWAY's debug data.
impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::PrefaceMalformed => "the connection does not begin with the HTTP/2 preface",
            Self::SettingsMissing => "the preface is not followed by SETTINGS",
            Self::FrameTooLong(kind) => {
                return write!(f, "{kind} is longer than SETTINGS_MAX_FRAME_SIZE; split it");
            }
            Self::FrameLength(kind) => return write!(f, "{kind} has a length that its type does not allow"),
            Self::StreamMissing(kind) => return write!(f, "{kind} came on stream 0; it belongs to a stream"),
            Self::StreamUnexpected(kind) => {
                return write!(f, "{kind} came on a stream; it belongs on stream 0");
            }
            Self::PaddingTooLong => "padding is as long as its frame; shorten it",
            Self::BlockInterrupted(kind) => {
                return write!(f, "{kind} came within a field block; send CONTINUATION until END_HEADERS");
            }
            Self::ContinuationUnexpected => "CONTINUATION continues no field block",
            Self::BlockTooLong => "a field block is too long; send fewer or smaller fields, in fewer frames",
            Self::Compression(error) => return error.fmt(f),
            Self::StreamEven => "a stream of a client has an even number; use odd numbers",
            Self::StreamNotIncreasing => "a stream was opened below another one; number them upwards",
            Self::StreamIdle(kind) => return write!(f, "{kind} came on a stream that was not opened"),
            Self::StreamClosed(kind) => return write!(f, "{kind} came on a closed stream"),
            Self::PushPromise => "PUSH_PROMISE was sent, and push is disabled",
            Self::PushEnabled => "SETTINGS_ENABLE_PUSH of a server is not 0",
            Self::SettingNotSwitch => "a boolean setting is neither 0 nor 1",
            Self::InitialWindowTooLarge => "SETTINGS_INITIAL_WINDOW_SIZE is above 2147483647",
            Self::MaxFrameSizeOutOfRange => "SETTINGS_MAX_FRAME_SIZE is not within 16384 and 16777215",
            Self::IncrementZero => "WINDOW_UPDATE has an increment of zero",
            Self::WindowOverflow => "a window grew above 2147483647",
            Self::DataBeyondWindow => {
                "more data than the connection's window allowed; wait for WINDOW_UPDATE"
            }
            Self::PriorityUpdateMalformed => {
                "PRIORITY_UPDATE names no request stream, or its value is not ASCII"
            }
            Self::Flood(flood) => match flood {
                FloodKind::Resets => "too many streams reset, or opened beyond the limit",
                FloodKind::Settings => "too many SETTINGS",
                FloodKind::Pings => "too many PINGs",
                FloodKind::Priorities => "too many priority frames",
                FloodKind::IdleData => "too much empty DATA, or DATA and HEADERS on closed streams",
                FloodKind::WindowUpdates => "too many WINDOW_UPDATEs for the data that was sent",
                FloodKind::UnknownFrames => "too many frames of unknown types",
                FloodKind::InterimHeads => "too many interim responses",
                FloodKind::Goaways => "too many GOAWAYs",
            },
            Self::FrameTimedOut => "a frame was incomplete after its timeout",
            Self::WindowStalled => "responses wait for a window, and no WINDOW_UPDATE came in time",
        };
        f.write_str(text)
    }
}

impl Error for ConnectionError {}

impl From<HpackError> for ConnectionError {
    fn from(error: HpackError) -> ConnectionError {
        ConnectionError::Compression(error)
    }
}

/// An error that ends one stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamError {
    /// PRIORITY of other than five bytes (RFC 9113 §6.3).
    PriorityLength,
    /// A stream depends on itself (RFC 7540 §5.3.1).
    DependsOnItself,
    /// WINDOW_UPDATE by zero (RFC 9113 §6.9).
    IncrementZero,
    /// WINDOW_UPDATE made a window larger than 2^31 - 1 (§6.9.1).
    WindowOverflow,
    /// More data than the stream's window allowed (§6.9).
    DataBeyondWindow,
    /// DATA or HEADERS after END_STREAM (§5.1).
    AfterEnd,
    /// DATA before the final head of a response (§8.1).
    DataBeforeHead,
    /// The head of a response is larger than `list_bytes_max`, or has more fields than `fields_max`.
    HeadTooLarge,
    /// A second field section that does not end the stream (§8.1).
    TrailersNotLast,
    /// HEADERS within a tunnel, where only DATA may come (§8.5).
    HeadersInTunnel,
    /// Pseudo-fields or malformed fields in trailers (§8.1).
    TrailersMalformed,
    /// The head of a message breaks a rule that makes it malformed (§8.1.1).
    Malformed(MalformedHead),
    /// The data was longer or shorter than `content-length` (§8.1.1).
    LengthMismatch,
    /// More streams at once than SETTINGS_MAX_CONCURRENT_STREAMS (§5.1.2); the request was not processed.
    TooManyStreams,
}

impl StreamError {
    /// The code that RST_STREAM carries.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::PriorityLength => ErrorCode::FRAME_SIZE_ERROR,
            Self::WindowOverflow | Self::DataBeyondWindow => ErrorCode::FLOW_CONTROL_ERROR,
            Self::AfterEnd => ErrorCode::STREAM_CLOSED,
            Self::TooManyStreams => ErrorCode::REFUSED_STREAM,
            Self::HeadTooLarge => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::PROTOCOL_ERROR,
        }
    }
}

/// Why a head is malformed and its stream is reset (RFC 9113 §8.1.1, §8.2, §8.3). Requests that HTTP/1.1
/// refuses with a status get that status here too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MalformedHead {
    /// A field name is empty, or has an uppercase or invalid byte.
    NameCharacter,
    /// A field value has a control character, or white space at an end.
    ValueCharacter,
    /// A connection-specific field (§8.2.2).
    ConnectionField,
    /// `te` with anything but `trailers`.
    TeValue,
    /// A pseudo-field that is not allowed in this message.
    PseudoUnknown,
    /// A pseudo-field after a field.
    PseudoLate,
    /// A pseudo-field that occurs twice.
    PseudoRepeated,
    /// `:method`, `:scheme` or `:path` is missing or empty; or `:status`.
    PseudoMissing,
    /// CONNECT with `:scheme` or `:path`, and without `:protocol`.
    PseudoWithConnect,
    /// `:protocol` with another method than CONNECT (RFC 8441 §4).
    ProtocolWithoutConnect,
    /// `:protocol` is not a protocol name.
    ProtocolMalformed,
    /// Neither `:authority` nor `host`.
    AuthorityMissing,
    /// `:authority` and `host` differ.
    HostDiffers,
    /// `content-length` announces a body, and the stream ended with the head.
    LengthWithoutBody,
    /// `:status` is not a status code, or is 101, which HTTP/2 does not have (§8.6).
    StatusMalformed,
    /// An interim response that ends the stream (§8.1).
    InterimEnds,
    /// `content-length` of a response is invalid or repeated.
    LengthMalformed,
}
