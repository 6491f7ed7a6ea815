//! Request methods (RFC 9110 §9). Knows the names and which of them are safe; which methods a resource allows
//! is decided by its handler.

/// Longest method accepted. The longest registered one, `UPDATEREDIRECTREF`, has 17 bytes; 32 leaves room for
/// others, and the length fits a byte.
pub(crate) const METHOD_BYTES_MAX: usize = 32;

/// A request method. Names are case-sensitive: `get` is [`Method::Other`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Method {
    /// Transfer the target's representation (RFC 9110 §9.3.1).
    #[default]
    Get,
    /// As GET, without the content (§9.3.2).
    Head,
    /// Let the target process the content (§9.3.3).
    Post,
    /// Replace the target's representation (§9.3.4).
    Put,
    /// Remove the target's representations (§9.3.5).
    Delete,
    /// Open a tunnel (§9.3.6).
    Connect,
    /// Describe the communication options (§9.3.7).
    Options,
    /// Loop the request back (§9.3.8).
    Trace,
    /// Change the target in part (RFC 5789).
    Patch,
    /// Any other token; the request head keeps its spelling.
    Other,
}

impl Method {
    /// The method of a token; never fails, because the token's syntax was checked before.
    #[inline]
    pub fn from_token(token: &[u8]) -> Method {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    /// The registered name. For [`Method::Other`] this is `"OTHER"`, good for counters only: the token
    /// itself is `RequestHead::method_str`.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other => "OTHER",
        }
    }

    /// Whether the method is read-only by definition (RFC 9110 §9.2.1). An unknown one is not.
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// Whether a request may be sent twice with the effect of one (RFC 9110 §9.2.2).
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_method_reads_back() {
        for method in [
            Method::Get,
            Method::Head,
            Method::Post,
            Method::Put,
            Method::Delete,
            Method::Connect,
            Method::Options,
            Method::Trace,
            Method::Patch,
        ] {
            assert_eq!(Method::from_token(method.as_str().as_bytes()), method);
        }
    }

    #[test]
    fn case_and_length_matter() {
        for token in ["get", "Get", "GETT", "GE", "", "PROPFIND", "OTHER"] {
            assert_eq!(Method::from_token(token.as_bytes()), Method::Other, "{token}");
        }
    }

    #[test]
    fn safe_methods_are_the_four_of_the_standard() {
        assert!(Method::Get.is_safe() && Method::Head.is_safe());
        assert!(Method::Options.is_safe() && Method::Trace.is_safe());
        assert!(!Method::Post.is_safe() && !Method::Other.is_safe() && !Method::Connect.is_safe());
    }
}
