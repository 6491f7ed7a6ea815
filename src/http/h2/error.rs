//! What can go wrong on an HTTP/2 connection, each error by its name, and the code that RFC 9113 answers
//! it with. A connection error ends everything, a stream error one exchange; the frames that carry them are
//! written elsewhere.

use std::error::Error;
use std::fmt;

use super::hpack::HpackError;
use super::kind::Kind;

/// An error code (RFC 9113 §7). Codes without a name here are allowed, and mean what their sender intends.
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

/// What a peer sends too much of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nuisance {
    /// Streams that were reset, or opened beyond the limit.
    Resets,
    /// SETTINGS, each of which is to be acknowledged.
    Settings,
    /// PING, each of which is to be answered.
    Pings,
    /// PRIORITY and PRIORITY_UPDATE.
    Priorities,
    /// DATA without data that ends nothing, or for a stream that is over.
    IdleData,
    /// WINDOW_UPDATE.
    WindowUpdates,
    /// Frames of unknown types.
    UnknownFrames,
    /// Interim responses.
    InterimHeads,
}

impl Nuisance {
    /// How many there are.
    pub(super) const COUNT: usize = 8;
}

/// An error after which nothing on the connection can be trusted, or should be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionError {
    /// The connection does not begin with the preface (RFC 9113 §3.4).
    PrefaceMalformed,
    /// The preface is not followed by SETTINGS (§3.4).
    SettingsMissing,
    /// A frame is longer than SETTINGS_MAX_FRAME_SIZE (§4.2).
    FrameTooLong(Kind),
    /// A frame has a length that its type does not allow (§4.2).
    FrameLength(Kind),
    /// A frame that belongs to a stream came without one (§6).
    StreamMissing(Kind),
    /// A frame that belongs to the connection came on a stream (§6).
    StreamUnexpected(Kind),
    /// Padding fills the frame and more (§6.1).
    PaddingTooLong,
    /// A frame of another kind, or on another stream, within a field block (§6.10).
    BlockInterrupted(Kind),
    /// CONTINUATION without a field block to continue (§6.10).
    ContinuationUnexpected,
    /// A field block in more CONTINUATION frames, or bytes, than `block_*_max`.
    BlockTooLong,
    /// A field block cannot be decoded (§4.3).
    Compression(HpackError),
    /// A stream with an even number, which only a push could open (§5.1.1).
    StreamEven,
    /// A stream was opened with a number below another one's (§5.1.1).
    StreamNotIncreasing,
    /// A frame on a stream that was not opened (§5.1).
    StreamIdle(Kind),
    /// A frame on a stream that both sides had ended (§5.1).
    StreamClosed(Kind),
    /// PUSH_PROMISE, which clients may not send, and which we do not allow servers (§8.4).
    PushPromise,
    /// A server has SETTINGS_ENABLE_PUSH other than 0 (§6.5.2).
    PushEnabled,
    /// SETTINGS_ENABLE_PUSH, or another switch, is neither 0 nor 1 (§6.5.2).
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
    /// PRIORITY_UPDATE names no stream of the client's, its value is no text, or a server sent it (RFC 9218
    /// §7.1).
    PriorityUpdateMalformed,
    /// More of something than useful work pays for: [`H2Limits`](super::H2Limits) has the budgets.
    Flood(Nuisance),
    /// A frame that is no data did not arrive whole in time.
    FrameTimedOut,
    /// Nothing moves any more, because the peer opens no window.
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
            Self::StreamEven => "a client's streams have odd numbers",
            Self::StreamNotIncreasing => "a stream was opened below another one; number them upwards",
            Self::StreamIdle(kind) => return write!(f, "{kind} came on a stream that was not opened"),
            Self::StreamClosed(kind) => return write!(f, "{kind} came on a stream that was over"),
            Self::PushPromise => "PUSH_PROMISE, and push is not allowed here",
            Self::PushEnabled => "SETTINGS_ENABLE_PUSH of a server is not 0",
            Self::SettingNotSwitch => "a setting that switches something is neither 0 nor 1",
            Self::InitialWindowTooLarge => "SETTINGS_INITIAL_WINDOW_SIZE is above 2147483647",
            Self::MaxFrameSizeOutOfRange => "SETTINGS_MAX_FRAME_SIZE is not within 16384 and 16777215",
            Self::IncrementZero => "WINDOW_UPDATE by zero",
            Self::WindowOverflow => "a window grew above 2147483647",
            Self::DataBeyondWindow => {
                "more data than the connection's window allowed; wait for WINDOW_UPDATE"
            }
            Self::PriorityUpdateMalformed => "PRIORITY_UPDATE for no request of a client, or without text",
            Self::Flood(nuisance) => match nuisance {
                Nuisance::Resets => "too many streams reset, or opened beyond the limit",
                Nuisance::Settings => "too many SETTINGS",
                Nuisance::Pings => "too many PINGs",
                Nuisance::Priorities => "too many priority frames",
                Nuisance::IdleData => "too much DATA that carries nothing, or goes nowhere",
                Nuisance::WindowUpdates => "too many WINDOW_UPDATEs for what was sent",
                Nuisance::UnknownFrames => "too many frames of unknown types",
                Nuisance::InterimHeads => "too many interim responses",
            },
            Self::FrameTimedOut => "a frame did not arrive whole in time",
            Self::WindowStalled => "responses wait, and no window was opened for too long",
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

/// An error that costs one stream.
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
    /// DATA or HEADERS after the client had ended the stream (§5.1).
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
    Malformed(HeadMisdeed),
    /// The data was longer or shorter than `content-length` (§8.1.1).
    LengthMismatch,
    /// More streams at once than SETTINGS_MAX_CONCURRENT_STREAMS (§5.1.2); nothing was done for it.
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

/// What makes a head malformed, so that its only answer is RST_STREAM (RFC 9113 §8.1.1, §8.2, §8.3). What
/// HTTP/1.1 would answer with a status is answered with it here too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadMisdeed {
    /// A field name is empty, has upper case, or a byte that no name may have.
    NameCharacter,
    /// A field value has a control character, or white space at an end.
    ValueCharacter,
    /// A field about the connection, of which HTTP/2 has none.
    ConnectionField,
    /// `te` with anything but `trailers`.
    TeValue,
    /// A pseudo-field that the message may not have.
    PseudoUnknown,
    /// A pseudo-field after a field.
    PseudoLate,
    /// A pseudo-field that came before.
    PseudoRepeated,
    /// `:method`, `:scheme` or `:path` is missing or empty; or `:status`.
    PseudoMissing,
    /// CONNECT with `:scheme` or `:path`, and without `:protocol`.
    PseudoWithConnect,
    /// `:protocol` with another method than CONNECT (RFC 8441 §4).
    ProtocolWithoutConnect,
    /// `:protocol` names no protocol.
    ProtocolMalformed,
    /// Neither `:authority` nor `host`.
    AuthorityMissing,
    /// `:authority` and `host` name different places.
    HostDiffers,
    /// `content-length` announces a body, and the stream ended with the head.
    LengthWithoutBody,
    /// `:status` is no status, or 101, which HTTP/2 does not have (§8.6).
    StatusMalformed,
    /// An interim response that ends the stream (§8.1).
    InterimEnds,
    /// `content-length` of a response is no length, or there are several.
    LengthMalformed,
}
