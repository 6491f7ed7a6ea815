//! Status codes (RFC 9110 §15 and later registered ones that a server needs) with their reason phrases and
//! prebuilt status lines. The caller selects the code.

use std::fmt;

/// A status code, 100 to 999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(
    // INVARIANT: 100..=999, so that it is always three digits on the wire.
    u16,
);

macro_rules! statuses {
    ($($constant:ident $code:literal $reason:literal;)+) => {
        impl Status {
            $(#[doc = concat!("`", $code, " ", $reason, "`.")] pub const $constant: Status = Status($code);)+

            /// The registered reason phrase; empty for a code this table does not know.
            pub fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)+
                    _ => "",
                }
            }

            /// The whole HTTP/1.1 status line with its CRLF, for the codes this table knows.
            #[inline]
            pub fn line(self) -> Option<&'static [u8]> {
                Some(match self.0 {
                    $($code => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n").as_bytes(),)+
                    _ => return None,
                })
            }

            #[cfg(test)]
            const KNOWN: &[Status] = &[$(Status::$constant),+];
        }
    };
}

statuses! {
    CONTINUE 100 "Continue";
    SWITCHING_PROTOCOLS 101 "Switching Protocols";
    EARLY_HINTS 103 "Early Hints";
    OK 200 "OK";
    CREATED 201 "Created";
    ACCEPTED 202 "Accepted";
    NON_AUTHORITATIVE_INFORMATION 203 "Non-Authoritative Information";
    NO_CONTENT 204 "No Content";
    RESET_CONTENT 205 "Reset Content";
    PARTIAL_CONTENT 206 "Partial Content";
    MULTIPLE_CHOICES 300 "Multiple Choices";
    MOVED_PERMANENTLY 301 "Moved Permanently";
    FOUND 302 "Found";
    SEE_OTHER 303 "See Other";
    NOT_MODIFIED 304 "Not Modified";
    USE_PROXY 305 "Use Proxy";
    TEMPORARY_REDIRECT 307 "Temporary Redirect";
    PERMANENT_REDIRECT 308 "Permanent Redirect";
    BAD_REQUEST 400 "Bad Request";
    UNAUTHORIZED 401 "Unauthorized";
    PAYMENT_REQUIRED 402 "Payment Required";
    FORBIDDEN 403 "Forbidden";
    NOT_FOUND 404 "Not Found";
    METHOD_NOT_ALLOWED 405 "Method Not Allowed";
    NOT_ACCEPTABLE 406 "Not Acceptable";
    PROXY_AUTHENTICATION_REQUIRED 407 "Proxy Authentication Required";
    REQUEST_TIMEOUT 408 "Request Timeout";
    CONFLICT 409 "Conflict";
    GONE 410 "Gone";
    LENGTH_REQUIRED 411 "Length Required";
    PRECONDITION_FAILED 412 "Precondition Failed";
    CONTENT_TOO_LARGE 413 "Content Too Large";
    URI_TOO_LONG 414 "URI Too Long";
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type";
    RANGE_NOT_SATISFIABLE 416 "Range Not Satisfiable";
    EXPECTATION_FAILED 417 "Expectation Failed";
    MISDIRECTED_REQUEST 421 "Misdirected Request";
    UNPROCESSABLE_CONTENT 422 "Unprocessable Content";
    TOO_EARLY 425 "Too Early";
    UPGRADE_REQUIRED 426 "Upgrade Required";
    PRECONDITION_REQUIRED 428 "Precondition Required";
    TOO_MANY_REQUESTS 429 "Too Many Requests";
    REQUEST_HEADER_FIELDS_TOO_LARGE 431 "Request Header Fields Too Large";
    UNAVAILABLE_FOR_LEGAL_REASONS 451 "Unavailable For Legal Reasons";
    INTERNAL_SERVER_ERROR 500 "Internal Server Error";
    NOT_IMPLEMENTED 501 "Not Implemented";
    BAD_GATEWAY 502 "Bad Gateway";
    SERVICE_UNAVAILABLE 503 "Service Unavailable";
    GATEWAY_TIMEOUT 504 "Gateway Timeout";
    HTTP_VERSION_NOT_SUPPORTED 505 "HTTP Version Not Supported";
    INSUFFICIENT_STORAGE 507 "Insufficient Storage";
    NETWORK_AUTHENTICATION_REQUIRED 511 "Network Authentication Required";
}

impl Status {
    /// A status from its number, `None` outside 100..=999.
    pub const fn new(code: u16) -> Option<Status> {
        if code >= 100 && code <= 999 { Some(Status(code)) } else { None }
    }

    /// The number.
    #[inline]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// 1xx: an interim response, another one follows (101 excepted).
    #[inline]
    pub const fn is_informational(self) -> bool {
        self.0 < 200
    }

    /// 2xx.
    pub const fn is_success(self) -> bool {
        self.0 >= 200 && self.0 < 300
    }

    /// Whether a response with this status never has content, regardless of its fields: 1xx, 204 and 304 (RFC
    /// 9112 §6.3).
    #[inline]
    pub const fn forbids_body(self) -> bool {
        self.0 < 200 || self.0 == 204 || self.0 == 304
    }

    /// Appends the HTTP/1.1 status line with its CRLF; a code without a known reason gets an empty one, which
    /// still needs the space before it (RFC 9112 §4).
    #[inline]
    pub fn write_line(self, out: &mut Vec<u8>) {
        match self.line() {
            Some(line) => out.extend_from_slice(line),
            None => {
                out.extend_from_slice(b"HTTP/1.1 ");
                out.extend_from_slice(itoa::Buffer::new().format(self.0).as_bytes());
                out.extend_from_slice(b" \r\n");
            }
        }
    }
}

/// `200 OK`, or the number alone when the reason is unknown.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}", self.0),
            reason => write!(f, "{} {reason}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(status: Status) -> String {
        let mut out = Vec::new();
        status.write_line(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_prebuilt_for_every_known_code() {
        for &status in Status::KNOWN {
            let line = format!("HTTP/1.1 {} {}\r\n", status.code(), status.reason());
            assert_eq!(status.line(), Some(line.as_bytes()));
            assert_eq!(written(status), line);
            assert_eq!(Status::new(status.code()), Some(status));
        }
    }

    #[test]
    fn unknown_codes_are_written_digit_by_digit() {
        let status = Status::new(299).unwrap();
        assert_eq!(status.line(), None);
        assert_eq!(written(status), "HTTP/1.1 299 \r\n");
        assert_eq!(status.to_string(), "299");
        assert_eq!(Status::OK.to_string(), "200 OK");
    }

    #[test]
    fn only_three_digits_are_a_status() {
        assert_eq!((Status::new(99), Status::new(1000), Status::new(0)), (None, None, None));
        assert!(Status::new(100).is_some() && Status::new(999).is_some());
    }

    #[test]
    fn bodiless_codes() {
        for code in 100..=999 {
            let expected = matches!(code, 100..=199 | 204 | 304);
            assert_eq!(Status::new(code).unwrap().forbids_body(), expected, "{code}");
        }
    }
}
