//! Cookies (RFC 6265bis): the Cookie field is parsed leniently, because browsers send cookies of any origin,
//! and Set-Cookie is written strictly, because errors there are those of the application. Has no clock and no
//! store.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::date::write_imf_fixdate;
use super::message::grammar::{is_token_byte, trimmed};

/// Longest name and value together that browsers store (RFC 6265bis §5.6).
pub const NAME_AND_VALUE_BYTES_MAX: usize = 4096;

/// Longest Path or Domain that browsers accept (RFC 6265bis §5.6).
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;

/// The cookies of a request, from the values of all its Cookie fields, in order.
///
/// Nothing is decoded or refused: a pair without a name, or with a name that is not UTF-8, is omitted, and
/// one pair of quotes around a value is removed. A name may occur twice; the first one belongs to the more
/// specific path (RFC 6265bis §5.8.3).
///
/// ```
/// use quoit::http::cookie;
///
/// let lines = [&b"a=1; b=\"2\""[..], b"c=3=3"];
/// let found: Vec<_> = cookie::pairs(lines.into_iter()).collect();
/// assert_eq!(found, [("a", &b"1"[..]), ("b", b"2"), ("c", b"3=3")]);
/// ```
pub fn pairs<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    lines.flat_map(|line| line.split(|&byte| byte == b';')).filter_map(pair)
}

fn pair(pair: &[u8]) -> Option<(&str, &[u8])> {
    let equals = memchr::memchr(b'=', pair)?;
    let (name, value) = (&pair[..equals], &pair[equals + 1..]);
    let name = std::str::from_utf8(&name[trimmed(name)]).ok().filter(|name| !name.is_empty())?;
    Some((name, unquoted(&value[trimmed(value)])))
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    }
}

/// Which cross-site requests carry a cookie (RFC 6265bis §4.1.2.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SameSite {
    /// None, not even followed links.
    Strict,
    /// Followed links only.
    Lax,
    /// All of them. Requires [`SetCookie::secure`].
    None,
}

/// Why a cookie cannot be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CookieError {
    /// The cookie has no name.
    NameEmpty,
    /// The name is not a token.
    NameCharacter(u8),
    /// The value has white space, a control or non-ASCII byte, or one of `" , ; \`.
    ValueCharacter(u8),
    /// Name and value are longer than [`NAME_AND_VALUE_BYTES_MAX`], so browsers would drop it.
    TooLong,
    /// The path does not begin with a slash, holds `;` or a control byte, or is too long.
    PathMalformed,
    /// The domain holds something other than letters, digits, `-` and `.`, or is too long.
    DomainMalformed,
    /// `SameSite=None` without `Secure`, which browsers drop.
    NoneNotSecure,
    /// A `__Secure-` name without `Secure`.
    SecurePrefixBroken,
    /// A `__Host-` name without `Secure`, with a domain, or with a path other than `/`.
    HostPrefixBroken,
}

impl fmt::Display for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NameEmpty => "the cookie has no name",
            Self::NameCharacter(byte) => {
                return write!(f, "a cookie's name holds byte 0x{byte:02x}; use letters, digits and - _ .");
            }
            Self::ValueCharacter(byte) => {
                return write!(f, "a cookie's value holds byte 0x{byte:02x}; encode it (base64, percent)");
            }
            Self::TooLong => "the cookie has more than 4096 bytes, which browsers drop; keep a key in it",
            Self::PathMalformed => "a cookie's path begins with a slash and holds no semicolon",
            Self::DomainMalformed => "a cookie's domain is a plain host name",
            Self::NoneNotSecure => "SameSite=None asks for Secure",
            Self::SecurePrefixBroken => "a __Secure- cookie asks for Secure",
            Self::HostPrefixBroken => "a __Host- cookie asks for Secure, Path=/ and no Domain",
        })
    }
}

impl Error for CookieError {}

/// A cookie to be set. By default it is not visible to scripts (`HttpOnly`), is sent cross-site only for
/// followed links (`SameSite=Lax`), to the whole site (`Path=/`), only to the host that set it (no `Domain`),
/// and lasts as long as the browser's session.
///
/// ```
/// use std::time::Duration;
/// use quoit::http::cookie::SetCookie;
///
/// let cookie = SetCookie::new("__Host-id", "31d4d96e").secure().max_age(Duration::from_secs(3600));
/// assert_eq!(
///     cookie.to_value().unwrap(),
///     b"__Host-id=31d4d96e; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax"
/// );
/// assert!(SetCookie::new("a", "1; Domain=example.com").to_value().is_err());
/// ```
#[derive(Clone, Debug)]
pub struct SetCookie<'a> {
    name: &'a str,
    value: &'a str,
    path: &'a str,
    domain: Option<&'a str>,
    max_age_seconds: Option<u64>,
    expires_unix_seconds: Option<u64>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
}

impl<'a> SetCookie<'a> {
    /// A cookie with this name and value. Both are sent as they are, so the caller encodes values with other
    /// characters.
    pub fn new(name: &'a str, value: &'a str) -> Self {
        Self {
            name,
            value,
            path: "/",
            domain: None,
            max_age_seconds: None,
            expires_unix_seconds: None,
            secure: false,
            http_only: true,
            same_site: SameSite::Lax,
        }
    }

    /// Removes a cookie. Path and domain, and `secure` for prefixed names, must be those it was set with.
    pub fn removal(name: &'a str) -> Self {
        Self { max_age_seconds: Some(0), expires_unix_seconds: Some(0), ..Self::new(name, "") }
    }

    /// Sent only for requests to this path and below. Default `/`.
    pub fn path(self, path: &'a str) -> Self {
        Self { path, ..self }
    }

    /// Sent to this domain and all hosts below it. Default: only the host that sets it.
    pub fn domain(self, domain: &'a str) -> Self {
        Self { domain: Some(domain), ..self }
    }

    /// Lifetime in whole seconds. Browsers limit it to 400 days.
    pub fn max_age(self, age: Duration) -> Self {
        Self { max_age_seconds: Some(age.as_secs()), ..self }
    }

    /// End of the lifetime, in Unix seconds. `max_age` has precedence, and needs no clock.
    pub fn expires(self, unix_seconds: u64) -> Self {
        Self { expires_unix_seconds: Some(unix_seconds), ..self }
    }

    /// Over TLS only.
    pub fn secure(self) -> Self {
        Self { secure: true, ..self }
    }

    /// Makes it visible to scripts.
    pub fn readable_by_scripts(self) -> Self {
        Self { http_only: false, ..self }
    }

    /// Which cross-site requests carry it. Default [`SameSite::Lax`].
    pub fn same_site(self, same_site: SameSite) -> Self {
        Self { same_site, ..self }
    }

    /// The value of the Set-Cookie field.
    ///
    /// # Errors
    /// A browser would interpret it differently, or drop it: see [`CookieError`].
    pub fn to_value(&self) -> Result<Vec<u8>, CookieError> {
        self.check()?;
        let mut out = Vec::with_capacity(64 + self.name.len() + self.value.len() + self.path.len());
        for piece in [self.name, "=", self.value, "; Path=", self.path] {
            out.extend_from_slice(piece.as_bytes());
        }
        if let Some(domain) = self.domain {
            out.extend_from_slice(b"; Domain=");
            out.extend_from_slice(domain.as_bytes());
        }
        if let Some(seconds) = self.max_age_seconds {
            out.extend_from_slice(b"; Max-Age=");
            out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
        }
        if let Some(unix_seconds) = self.expires_unix_seconds {
            out.extend_from_slice(b"; Expires=");
            out.extend_from_slice(&write_imf_fixdate(unix_seconds.try_into().unwrap_or(i64::MAX)));
        }
        if self.secure {
            out.extend_from_slice(b"; Secure");
        }
        if self.http_only {
            out.extend_from_slice(b"; HttpOnly");
        }
        out.extend_from_slice(match self.same_site {
            SameSite::Strict => b"; SameSite=Strict",
            SameSite::Lax => b"; SameSite=Lax",
            SameSite::None => b"; SameSite=None",
        });
        Ok(out)
    }

    fn check(&self) -> Result<(), CookieError> {
        if self.name.is_empty() {
            return Err(CookieError::NameEmpty);
        }
        if let Some(byte) = self.name.bytes().find(|byte| !is_token_byte(*byte)) {
            return Err(CookieError::NameCharacter(byte));
        }
        if let Some(byte) = self.value.bytes().find(|byte| !is_cookie_octet(*byte)) {
            return Err(CookieError::ValueCharacter(byte));
        }
        if self.name.len() + self.value.len() > NAME_AND_VALUE_BYTES_MAX {
            return Err(CookieError::TooLong);
        }
        let path_byte = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b';';
        if !self.path.starts_with('/')
            || self.path.len() > ATTRIBUTE_BYTES_MAX
            || !self.path.bytes().all(path_byte)
        {
            return Err(CookieError::PathMalformed);
        }
        if self.domain.is_some_and(|domain| !is_domain(domain)) {
            return Err(CookieError::DomainMalformed);
        }
        self.check_promises()
    }

    /// Combinations of attributes that browsers require. They compare prefixes case-insensitively.
    fn check_promises(&self) -> Result<(), CookieError> {
        if self.same_site == SameSite::None && !self.secure {
            return Err(CookieError::NoneNotSecure);
        }
        if has_prefix(self.name, "__Secure-") && !self.secure {
            return Err(CookieError::SecurePrefixBroken);
        }
        if has_prefix(self.name, "__Host-") && (!self.secure || self.domain.is_some() || self.path != "/") {
            return Err(CookieError::HostPrefixBroken);
        }
        Ok(())
    }
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// RFC 6265bis §4.1.1.
fn is_cookie_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

fn is_domain(domain: &str) -> bool {
    let byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    // A single leading dot is ignored by browsers (RFC 6265bis §5.6.3).
    let host = domain.strip_prefix('.').unwrap_or(domain);
    domain.len() <= ATTRIBUTE_BYTES_MAX
        && host.split('.').all(|label| !label.is_empty())
        && host.bytes().all(byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&'static str]) -> Vec<(&'static str, &'static [u8])> {
        pairs(lines.iter().map(|line| line.as_bytes())).collect()
    }

    #[test]
    fn cookies_are_read_leniently() {
        assert_eq!(read(&["a=1; b=2"]), [("a", &b"1"[..]), ("b", b"2")]);
        assert_eq!(read(&["a=1;b=2;", "c=3"]), [("a", &b"1"[..]), ("b", b"2"), ("c", b"3")]);
        assert_eq!(read(&[" a = \t1 ; b"]), [("a", &b"1"[..])]);
        assert_eq!(read(&["=1; ; =; a="]), [("a", &b""[..])]);
        assert_eq!(read(&["a=\"1 2\"; b=\"; c=\"\"; d=x\"y\""]).len(), 4);
        assert_eq!(read(&["a=\"1 2\"; b=\""]), [("a", &b"1 2"[..]), ("b", b"\"")]);
        assert_eq!(read(&["a[b]=1; ä=2; a[b]=3"]), [("a[b]", &b"1"[..]), ("ä", b"2"), ("a[b]", b"3")]);
        assert_eq!(pairs([&b"\xff=1; a=\xff"[..]].into_iter()).collect::<Vec<_>>(), [("a", &b"\xff"[..])]);
        assert_eq!(read(&[]).len(), 0);
    }

    #[test]
    fn cookies_are_written_with_safe_defaults() {
        let value = |cookie: SetCookie| String::from_utf8(cookie.to_value().unwrap()).unwrap();
        assert_eq!(value(SetCookie::new("a", "1")), "a=1; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(
            value(
                SetCookie::new("a", "")
                    .path("/x y")
                    .domain("example.com")
                    .max_age(Duration::from_millis(60_999))
                    .expires(784_111_777)
                    .secure()
                    .readable_by_scripts()
                    .same_site(SameSite::None)
            ),
            "a=; Path=/x y; Domain=example.com; Max-Age=60; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Secure; \
             SameSite=None"
        );
        assert_eq!(
            value(SetCookie::removal("a").same_site(SameSite::Strict)),
            "a=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Strict"
        );
    }

    #[test]
    fn nothing_can_be_injected() {
        let long = "x".repeat(NAME_AND_VALUE_BYTES_MAX);
        let error = |cookie: SetCookie| cookie.to_value().unwrap_err();
        assert_eq!(error(SetCookie::new("", "1")), CookieError::NameEmpty);
        assert_eq!(error(SetCookie::new("a b", "1")), CookieError::NameCharacter(b' '));
        assert_eq!(error(SetCookie::new("a=b", "1")), CookieError::NameCharacter(b'='));
        assert_eq!(error(SetCookie::new("a", "1; Secure")), CookieError::ValueCharacter(b';'));
        assert_eq!(error(SetCookie::new("a", "1\r\nX: y")), CookieError::ValueCharacter(b'\r'));
        assert_eq!(error(SetCookie::new("a", "\"1\"")), CookieError::ValueCharacter(b'"'));
        assert_eq!(error(SetCookie::new("a", "ä")), CookieError::ValueCharacter(0xc3));
        assert_eq!(error(SetCookie::new("a", &long)), CookieError::TooLong);
        assert!(SetCookie::new("a", &long[1..]).to_value().is_ok());
        for path in ["", "x", "/a;b", "/a\r\nb", "/ä"] {
            assert_eq!(error(SetCookie::new("a", "1").path(path)), CookieError::PathMalformed, "{path:?}");
        }
        for domain in ["", ".", "a..b", "a b", "a;b", "a.", "a/b"] {
            assert_eq!(error(SetCookie::new("a", "1").domain(domain)), CookieError::DomainMalformed);
        }
    }

    #[test]
    fn prefixes_and_sites_keep_their_promises() {
        let new = |name| SetCookie::new(name, "1");
        assert_eq!(new("a").same_site(SameSite::None).to_value(), Err(CookieError::NoneNotSecure));
        for name in ["__Secure-a", "__secure-a"] {
            assert_eq!(new(name).to_value(), Err(CookieError::SecurePrefixBroken));
            assert!(new(name).secure().domain("example.com").path("/a").to_value().is_ok());
        }
        for name in ["__Host-a", "__HOST-a"] {
            assert_eq!(new(name).to_value(), Err(CookieError::HostPrefixBroken));
            assert_eq!(new(name).secure().path("/a").to_value(), Err(CookieError::HostPrefixBroken));
            assert_eq!(new(name).secure().domain("a.b").to_value(), Err(CookieError::HostPrefixBroken));
            assert!(new(name).secure().to_value().is_ok());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(lines in proptest::collection::vec(any::<Vec<u8>>(), 0..4)) {
            for (name, value) in pairs(lines.iter().map(Vec::as_slice)) {
                prop_assert!(!name.is_empty() && !name.contains([';', '=']));
                prop_assert!(!value.contains(&b';'));
            }
        }

        #[test]
        fn what_is_written_is_read_back(name in "\\PC{1,9}", value in "\\PC{0,9}") {
            if let Ok(written) = SetCookie::new(&name, &value).to_value() {
                let sent = written.split(|byte| *byte == b';').next();
                let read: Vec<_> = pairs(sent.into_iter()).collect();
                prop_assert_eq!(read, [(name.as_str(), value.as_bytes())]);
            }
        }
    }
}
