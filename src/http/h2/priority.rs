//! Extensible priorities (RFC 9218): urgency of a response, and whether it is useful in parts. A hint:
//! malformed values are ignored, never errors. The order of sending is decided elsewhere.

/// The priority of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Priority {
    /// 0 (first) to 7 (last).
    pub urgency: u8,
    /// It is useful in parts, so it may share the connection with others of its urgency.
    pub incremental: bool,
}

impl Priority {
    /// The priority without a signal from the client (§4).
    pub const DEFAULT: Priority = Priority { urgency: 3, incremental: false };

    /// Reads a `priority` field or the value of PRIORITY_UPDATE: a dictionary (RFC 8941 §3.2), of which `u`
    /// and `i` count. Malformed or out-of-range members are ignored (RFC 9218 §4).
    pub fn parse(value: &[u8]) -> Priority {
        let mut priority = Priority::DEFAULT;
        for member in value.split(|&byte| byte == b',') {
            // Parameters of members are ignored.
            let item = member.split(|&byte| byte == b';').next().unwrap_or_default();
            match item.trim_ascii() {
                [b'u', b'=', urgency @ b'0'..=b'7'] => priority.urgency = urgency - b'0',
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgency_and_incremental_count_and_nothing_else() {
        let parsed = |value: &str| {
            let Priority { urgency, incremental } = Priority::parse(value.as_bytes());
            (urgency, incremental)
        };
        assert_eq!(parsed(""), (3, false));
        assert_eq!(parsed("u=0"), (0, false));
        assert_eq!(parsed("u=5, i"), (5, true));
        assert_eq!(parsed("i=?1,u=7"), (7, true));
        assert_eq!(parsed("u=1,\ti=?0"), (1, false));
        assert_eq!(parsed("u=2;x=1, i;y, z=\"a\""), (2, true));
        assert_eq!(parsed("u=2, u=6"), (6, false), "the last one holds");
        for ignored in ["u=8", "u=-1", "u=1.5", "u", "i=1", "U=1", "u =1", "i=?2", ",,;", "\u{0}\u{ff}"] {
            assert_eq!(parsed(ignored), (3, false), "{ignored:?}");
        }
    }
}
