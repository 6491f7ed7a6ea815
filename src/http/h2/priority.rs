//! Extensible priorities (RFC 9218): how urgent a response is, and whether its parts help. A hint: nothing
//! in it is ever an error. The order of sending is decided elsewhere.

/// The priority of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Priority {
    /// 0 (first) to 7 (last).
    pub urgency: u8,
    /// Parts of it are of use, so it may share the connection with others of its urgency.
    pub incremental: bool,
}

impl Priority {
    /// What holds unless the client asks for something else (§4).
    pub const DEFAULT: Priority = Priority { urgency: 3, incremental: false };

    /// Reads a `priority` field or the value of PRIORITY_UPDATE: a dictionary (RFC 8941 §3.2), of which `u`
    /// and `i` count. What is malformed or out of range is as if it were not there (RFC 9218 §4).
    pub fn parse(value: &[u8]) -> Priority {
        let mut priority = Priority::DEFAULT;
        for member in value.split(|&byte| byte == b',') {
            // Parameters of a member mean nothing here.
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
