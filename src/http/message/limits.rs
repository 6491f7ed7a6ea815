//! Limits of heads and bodies, each with its default and the reason: the cost of a peer before its message is
//! accepted. Plain numbers, enforced by the protocol machines and set by the configuration.

/// Limits of a request head. The types hold the ceilings: 64 KiB of head, 255 fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadLimits {
    /// Longest request line in bytes, without its CRLF; beyond it 414. Default 8,192: RFC 9112 §3 recommends
    /// at least 8,000, and clients rarely send more than 2,000.
    pub request_line_bytes_max: u16,
    /// Longest head in bytes, from the method to the empty line, both included; beyond it 431. Default
    /// 16,384: room for large cookies, and the most memory that a peer with an incomplete head costs.
    /// Doubling it doubles what slow heads can hold.
    pub head_bytes_max: u16,
    /// Most field lines; beyond it 431. Default 100: browsers send 10 to 30. Every field makes each lookup
    /// longer, and costs a gathered head at most one more parse.
    pub fields_max: u8,
}

impl HeadLimits {
    /// The defaults.
    pub const DEFAULT: HeadLimits =
        HeadLimits { request_line_bytes_max: 8 * 1024, head_bytes_max: 16 * 1024, fields_max: 100 };
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits::DEFAULT
    }
}

/// Limits of the heads of the responses to one request. The types hold the ceilings: 64 KiB of head, 255
/// fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseLimits {
    /// Longest head in bytes, from the version to the empty line, both included; it limits the status line
    /// too, whose reason phrase is not kept. Default 16,384, as for requests: what passes one gateway passes
    /// the next.
    pub head_bytes_max: u16,
    /// Most field lines. Default 100, as for requests.
    pub fields_max: u8,
    /// Most interim responses before the final one. Default 16: usual are one 100 and a few 103, and an
    /// upstream that sends 102 every 20 seconds has five minutes. Each costs at most `head_bytes_max` bytes
    /// of parsing, so an endless sequence of them is ended.
    pub interim_max: u8,
}

impl ResponseLimits {
    /// The defaults.
    pub const DEFAULT: ResponseLimits = ResponseLimits {
        head_bytes_max: HeadLimits::DEFAULT.head_bytes_max,
        fields_max: HeadLimits::DEFAULT.fields_max,
        interim_max: 16,
    };
}

impl Default for ResponseLimits {
    fn default() -> ResponseLimits {
        ResponseLimits::DEFAULT
    }
}

/// Limits of a message body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BodyLimits {
    /// Most bytes of data, in either framing; beyond it 413, for a known length before its first byte. `None`
    /// removes it. Default 16 MiB: forms and photos pass, and a service that takes uploads raises it
    /// explicitly.
    pub body_bytes_max: Option<u64>,
    /// Most bytes of chunk extensions in the whole body. They are hardly used, so the default 16,384 only
    /// limits the parsing effort that a peer can cause.
    pub extension_bytes_max: u32,
    /// Most bytes of the trailer section, its empty line included; beyond it 431. Default 4,096, held in
    /// memory until the exchange ends.
    pub trailer_bytes_max: u16,
    /// Most trailer fields; beyond it 431. Default 32.
    pub trailer_fields_max: u8,
}

impl BodyLimits {
    /// The defaults.
    pub const DEFAULT: BodyLimits = BodyLimits {
        body_bytes_max: Some(16 * 1024 * 1024),
        extension_bytes_max: 16 * 1024,
        trailer_bytes_max: 4 * 1024,
        trailer_fields_max: 32,
    };
}

impl Default for BodyLimits {
    fn default() -> BodyLimits {
        BodyLimits::DEFAULT
    }
}
