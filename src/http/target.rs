//! Request targets and authorities (RFC 9112 §3.2, RFC 3986): which of the four forms a target has, the
//! positions of its parts, and whether every byte is allowed there.
//!
//! Browsers and other clients send some bytes in paths and queries that RFC 3986 requires to be encoded
//! (`|`, `^`, UTF-8, a single `%`): the URL standard of the WHATWG lets them through. [`normalize`] accepts
//! and percent-encodes them, once, when a head is read; so every layer above, and whatever a target is
//! forwarded or redirected to, sees RFC 3986 alone. Authorities are strict. Nothing is decoded here, and
//! paths are not resolved.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::net::Ipv6Addr;
use std::ops::Range;

use super::method::Method;

/// The four forms of a request target (RFC 9112 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TargetForm {
    /// `/path?query`, the usual one.
    #[default]
    Origin,
    /// `http://host/path?query`, as sent to proxies; servers must accept it too.
    Absolute,
    /// `host:port`, only for CONNECT.
    Authority,
    /// `*`, only for OPTIONS.
    Asterisk,
}

/// The schemes a target in absolute-form may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `http`, in any letter case.
    Http,
    /// `https`, in any letter case.
    Https,
}

impl Scheme {
    /// The name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// The positions of the parts of a target, as byte ranges within it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Its form.
    pub form: TargetForm,
    /// The scheme, in absolute-form.
    pub scheme: Option<Scheme>,
    /// Host and port, in absolute-form and authority-form; else empty.
    pub authority: Range<usize>,
    /// The path, percent-encoded as received. Empty in authority-form, and in absolute-form when it was
    /// omitted (which means `/`).
    pub path: Range<usize>,
    /// What follows the first `?`, without it.
    pub query: Option<Range<usize>>,
}

/// Why a request target is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TargetError {
    /// It is empty: two spaces follow the method.
    Empty,
    /// A byte that is not allowed there unencoded: a control, a space, or `#`, since fragments are never
    /// sent; outside of path and query also a quote, `<>\^{|}`, a backtick, or a non-ASCII byte.
    Character(u8),
    /// `%` without two hexadecimal digits after it, outside of path and query.
    Percent,
    /// Neither `/…`, an absolute URI, `*` nor `host:port`.
    Form,
    /// `*` with another method than OPTIONS.
    AsteriskWithoutOptions,
    /// CONNECT with anything but `host:port`, the port included.
    ConnectWithoutHostAndPort,
    /// An absolute URI whose scheme is neither `http` nor `https`.
    Scheme,
    /// An absolute URI with `user@`, which is used for phishing and never part of a request (RFC 9110
    /// §4.2.4).
    Userinfo,
    /// An absolute URI whose host or port is missing or malformed.
    Authority,
    /// A `..` segment in the path. User agents remove it before they send a request (RFC 3986 §5.2.4), so its
    /// presence indicates a probe.
    ParentSegment,
    /// The normal form of the path has more bytes than positions in a head.
    PathTooLong,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::Empty => {
                f.write_str("request target is empty; separate method and target by one space")
            }
            TargetError::Character(byte) => {
                write!(f, "request target holds byte 0x{byte:02x}; percent-encode it")
            }
            TargetError::Percent => {
                f.write_str("request target has % without two hexadecimal digits; write a literal % as %25")
            }
            TargetError::Form => f.write_str("request target must begin with / or be a full http URI"),
            TargetError::AsteriskWithoutOptions => f.write_str("request target * is for OPTIONS only"),
            TargetError::ConnectWithoutHostAndPort => {
                f.write_str("CONNECT needs a target of the form host:port")
            }
            TargetError::Scheme => f.write_str("request target has a scheme other than http or https"),
            TargetError::Userinfo => f.write_str("request target holds user information; use Authorization"),
            TargetError::Authority => f.write_str("request target has a malformed host or port"),
            TargetError::ParentSegment => {
                f.write_str("the path has a .. segment; send the path that is meant")
            }
            TargetError::PathTooLong => f.write_str("the path is longer than 65535 bytes once it is escaped"),
        }
    }
}

impl Error for TargetError {}

/// Parses a target as a client may send it, in the form allowed for its method. Bytes in path and query that
/// RFC 3986 does not allow unencoded are percent-encoded in the target that is returned; controls, spaces and
/// `#` are refused, and in the authority everything that RFC 3986 does not allow there.
///
/// # Errors
/// The first byte that is allowed nowhere, so that a prefix of a target is refused with the same error as the
/// whole; else what is wrong with its form.
#[inline]
pub fn normalize(method: Method, target: &[u8]) -> Result<(Cow<'_, [u8]>, Target), TargetError> {
    match parse(method, target) {
        Ok(parts) => Ok((Cow::Borrowed(target), parts)),
        Err(error) => normalize_unusual(method, target, error),
    }
}

#[cold]
fn normalize_unusual(
    method: Method,
    target: &[u8],
    error: TargetError,
) -> Result<(Cow<'_, [u8]>, Target), TargetError> {
    check_bytes(target)?;
    let start = path_start(method, target);
    if start == target.len() {
        return Err(error);
    }
    let mut encoded = target[..start].to_vec();
    encode(&target[start..], &mut encoded);
    let parts = parse(method, &encoded)?;
    Ok((Cow::Owned(encoded), parts))
}

/// Where path and query begin, in which bytes may be encoded; the length of a target that has neither.
fn path_start(method: Method, target: &[u8]) -> usize {
    if method == Method::Connect {
        return target.len();
    }
    if target.starts_with(b"/") {
        return 0;
    }
    match parse_absolute_start(target) {
        Ok((_, authority)) => authority.end,
        Err(_) => target.len(),
    }
}

/// Appends a part of a path or query, with every byte percent-encoded that RFC 3986 does not allow there
/// unencoded, and with every `%` that begins no escape as `%25`. Escapes stay, so encoding twice changes
/// nothing.
pub(crate) fn encode(part: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(part.len());
    for (at, &byte) in part.iter().enumerate() {
        match CLASSES[usize::from(byte)] {
            Class::Name | Class::Other | Class::Question => out.push(byte),
            Class::Percent if is_escape(&part[at..]) => out.push(byte),
            Class::Percent | Class::Encoded | Class::Refused => {
                let digit = |value: u8| DIGITS[usize::from(value)];
                out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 0xf)]);
            }
        }
    }
}

/// Refuses the first byte that no part of a target may hold, not even encoded by the recipient.
pub(super) fn check_bytes(target: &[u8]) -> Result<(), TargetError> {
    match target.iter().find(|&&byte| CLASSES[usize::from(byte)] == Class::Refused) {
        Some(&byte) => Err(TargetError::Character(byte)),
        None => Ok(()),
    }
}

/// Parses a target by RFC 3986 alone, in the form allowed for its method.
///
/// Square brackets are accepted in path and query although RFC 3986 requires them to be encoded there:
/// browsers send them literally (`?tag[]=a`), and they are not delimiters after the authority.
///
/// # Errors
/// The first byte that is not allowed; else what is wrong with its form.
#[inline]
pub fn parse(method: Method, target: &[u8]) -> Result<Target, TargetError> {
    let question = check_characters(target)?;
    if method == Method::Connect {
        return parse_authority_form(target);
    }
    let path_and_query = |start: usize| match question {
        Some(at) => (start..at, Some(at + 1..target.len())),
        None => (start..target.len(), None),
    };
    match target {
        [] => Err(TargetError::Empty),
        [b'/', ..] => {
            let (path, query) = path_and_query(0);
            Ok(Target { form: TargetForm::Origin, scheme: None, authority: 0..0, path, query })
        }
        [b'*'] if method == Method::Options => {
            Ok(Target { form: TargetForm::Asterisk, scheme: None, authority: 0..0, path: 0..1, query: None })
        }
        [b'*'] => Err(TargetError::AsteriskWithoutOptions),
        _ => {
            let (scheme, authority) = parse_absolute_start(target)?;
            let (path, query) = path_and_query(authority.end);
            Ok(Target { form: TargetForm::Absolute, scheme: Some(scheme), authority, path, query })
        }
    }
}

/// CONNECT's `host:port`; an empty or missing port is refused (RFC 9110 §9.3.6).
fn parse_authority_form(target: &[u8]) -> Result<Target, TargetError> {
    let has_port = target.last().is_some_and(u8::is_ascii_digit)
        && target.iter().rposition(|&byte| byte == b':') > target.iter().rposition(|&byte| byte == b']');
    if !has_port || !is_authority(target) {
        return Err(TargetError::ConnectWithoutHostAndPort);
    }
    let end = target.len();
    Ok(Target { form: TargetForm::Authority, scheme: None, authority: 0..end, path: end..end, query: None })
}

/// The scheme of an absolute URI and the range of its authority.
fn parse_absolute_start(target: &[u8]) -> Result<(Scheme, Range<usize>), TargetError> {
    let colon = target.iter().position(|&byte| byte == b':').ok_or(TargetError::Form)?;
    let scheme = &target[..colon];
    if !target[colon..].starts_with(b"://") || !scheme.first().is_some_and(u8::is_ascii_alphabetic) {
        return Err(TargetError::Form);
    }
    let scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case(b"http") => Scheme::Http,
        _ if scheme.eq_ignore_ascii_case(b"https") => Scheme::Https,
        _ => return Err(TargetError::Scheme),
    };
    let start = colon + 3;
    let rest = &target[start..];
    let length = rest.iter().position(|&byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = &rest[..length];
    if authority.contains(&b'@') {
        return Err(TargetError::Userinfo);
    }
    if !is_authority(authority) {
        return Err(TargetError::Authority);
    }
    Ok((scheme, start..start + length))
}

/// Whether `bytes` are a non-empty host with an optional port: the syntax of a `Host` value and of a URI's
/// authority without user information (RFC 3986 §3.2.2). The host is a registered name, an IPv4 address or a
/// bracketed IPv6 address (no zone, no future forms); a port is at most 65535 and may be empty, which means
/// the default one.
pub fn is_authority(bytes: &[u8]) -> bool {
    let port = if let [b'[', rest @ ..] = bytes {
        let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
        let address = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        if address.parse::<Ipv6Addr>().is_err() {
            return false;
        }
        &rest[end + 1..]
    } else {
        let length = registered_name_length(bytes);
        if length == 0 {
            return false;
        }
        &bytes[length..]
    };
    match port {
        [] => true,
        [b':', digits @ ..] => is_port(digits),
        _ => false,
    }
}

/// Host and port of an authority that [`is_authority`] accepts. The host keeps its brackets; the port is
/// `None` when absent or empty.
pub fn split_authority(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

/// Length of the registered name at the start; a malformed percent-escape ends it.
#[inline]
fn registered_name_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += length_within(&bytes[at..], Class::Name);
        if !is_escape(&bytes[at..]) {
            return at;
        }
        at += 3;
    }
}

/// Bytes at the start whose class is at most `most`; four at a time, because their look-ups do not depend on
/// each other.
#[inline]
fn length_within(bytes: &[u8], most: Class) -> usize {
    let class = |byte: u8| CLASSES[usize::from(byte)];
    let (fours, _) = bytes.as_chunks::<4>();
    let is_within =
        |four: &&[u8; 4]| four.iter().fold(Class::Name, |worst, &byte| worst.max(class(byte))) <= most;
    let start = 4 * fours.iter().take_while(is_within).count();
    start + bytes[start..].iter().take_while(|&&byte| class(byte) <= most).count()
}

#[inline]
fn is_port(digits: &[u8]) -> bool {
    // Five digits hold every port; more could only be leading zeros, which are refused.
    if digits.len() > 5 {
        return false;
    }
    let mut port = 0u32;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return false;
        }
        port = port * 10 + u32::from(digit);
    }
    port <= u32::from(u16::MAX)
}

fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Checks every byte in order and returns the position of the first `?`.
#[inline]
fn check_characters(target: &[u8]) -> Result<Option<usize>, TargetError> {
    let mut question = None;
    let mut at = 0;
    loop {
        // Nearly all bytes are of these two classes, so this determines the cost.
        at += length_within(&target[at..], Class::Other);
        let Some(&byte) = target.get(at) else { return Ok(question) };
        match CLASSES[byte as usize] {
            Class::Name | Class::Other => {}
            Class::Question => {
                question = question.or(Some(at));
                at += 1;
            }
            Class::Percent if is_escape(&target[at..]) => at += 3,
            Class::Percent => return Err(TargetError::Percent),
            Class::Encoded | Class::Refused => return Err(TargetError::Character(byte)),
        }
    }
}

/// The classes of bytes within a target; the usual ones first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Unreserved or sub-delimiter (RFC 3986 §2.2, §2.3): allowed everywhere, a registered name included.
    Name,
    /// Allowed in path and query, or as a delimiter: `/ : @ [ ]`.
    Other,
    /// `?`.
    Question,
    /// `%`, which two hexadecimal digits must follow.
    Percent,
    /// Allowed in path and query once it is percent-encoded: clients send it as it is.
    Encoded,
    /// Never allowed: controls, the space, `#`.
    Refused,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Encoded; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Class::Name,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => Class::Name,
            b'/' | b':' | b'@' | b'[' | b']' => Class::Other,
            b'?' => Class::Question,
            b'%' => Class::Percent,
            0..=b' ' | b'#' | 0x7f => Class::Refused,
            _ => Class::Encoded,
        };
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use super::*;

    /// `form authority path query`, or the error.
    fn told(method: Method, target: &str) -> String {
        match parse(method, target.as_bytes()) {
            Ok(parts) => format!(
                "{:?} {} {} {}",
                parts.form,
                &target[parts.authority],
                &target[parts.path],
                parts.query.map_or("-", |query| &target[query])
            ),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn forms_and_parts() {
        let vectors = [
            (Method::Get, "/", "Origin  / -"),
            (Method::Get, "//a//b", "Origin  //a//b -"),
            (Method::Get, "/a?b?c", "Origin  /a b?c"),
            (Method::Get, "/a?", "Origin  /a "),
            (Method::Get, "/%41%ff?%2F", "Origin  /%41%ff %2F"),
            (Method::Get, "/a[1].jpg?tag[]=x", "Origin  /a[1].jpg tag[]=x"),
            (Method::Get, "/-._~!$&'()*+,;=:@", "Origin  /-._~!$&'()*+,;=:@ -"),
            (Method::Get, "/a@b:c?http://d/", "Origin  /a@b:c http://d/"),
            (Method::Options, "*", "Asterisk  * -"),
            (Method::Options, "/x", "Origin  /x -"),
            (Method::Get, "http://a", "Absolute a  -"),
            (Method::Get, "HTTPS://a:1/b?c", "Absolute a:1 /b c"),
            (Method::Get, "http://a?b/c", "Absolute a  b/c"),
            (Method::Get, "http://[::1]:80/", "Absolute [::1]:80 / -"),
            (Method::Get, "http://a:/", "Absolute a: / -"),
            (Method::Connect, "a:443", "Authority a:443  -"),
            (Method::Connect, "[::1]:443", "Authority [::1]:443  -"),
        ];
        for (method, target, expected) in vectors {
            assert_eq!(told(method, target), expected, "{target}");
        }
    }

    #[test]
    fn refused_targets() {
        let vectors = [
            (Method::Get, "", "Empty"),
            (Method::Get, "*", "AsteriskWithoutOptions"),
            (Method::Options, "**", "Form"),
            (Method::Get, "a", "Form"),
            (Method::Get, "?a", "Form"),
            (Method::Get, "a:80", "Form"),
            (Method::Get, "http:/a", "Form"),
            (Method::Get, "://a", "Form"),
            (Method::Get, "/a#b", "Character(35)"),
            (Method::Get, "/\u{e9}", "Character(195)"),
            (Method::Get, "/%", "Percent"),
            (Method::Get, "/%4", "Percent"),
            (Method::Get, "/%4g", "Percent"),
            (Method::Get, "/%g4", "Percent"),
            (Method::Get, "/?%u0041", "Percent"),
            (Method::Get, "ftp://a/", "Scheme"),
            (Method::Get, "http://", "Authority"),
            (Method::Get, "http:///a", "Authority"),
            (Method::Get, "http://:80/", "Authority"),
            (Method::Get, "http://u@a/", "Userinfo"),
            (Method::Get, "http://u:p@a/", "Userinfo"),
            (Method::Get, "http://a:65536/", "Authority"),
            (Method::Get, "http://a:b/", "Authority"),
            (Method::Get, "http://[::1/", "Authority"),
            (Method::Get, "http://[v1.a]/", "Authority"),
            (Method::Get, "http://[fe80::1%25eth0]/", "Authority"),
            (Method::Get, "http://[::1]x/", "Authority"),
            (Method::Get, "http://a[1]/", "Authority"),
            (Method::Connect, "a", "ConnectWithoutHostAndPort"),
            (Method::Connect, "a:", "ConnectWithoutHostAndPort"),
            (Method::Connect, ":443", "ConnectWithoutHostAndPort"),
            (Method::Connect, "/a", "ConnectWithoutHostAndPort"),
            (Method::Connect, "[::1]", "ConnectWithoutHostAndPort"),
            (Method::Connect, "[::1", "ConnectWithoutHostAndPort"),
            (Method::Connect, "http://a:443/", "ConnectWithoutHostAndPort"),
            (Method::Connect, "u@a:443", "ConnectWithoutHostAndPort"),
        ];
        for (method, target, expected) in vectors {
            assert_eq!(told(method, target), expected, "{target}");
        }
    }

    #[test]
    fn every_byte_is_judged_as_the_standard_says() {
        for byte in 0..=255u8 {
            let allowed = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?[]".contains(&byte);
            let expected = match byte {
                b'%' => Err(TargetError::Percent),
                _ if allowed => Ok(()),
                _ => Err(TargetError::Character(byte)),
            };
            assert_eq!(parse(Method::Get, &[b'/', byte]).map(|_| ()), expected, "0x{byte:02x}");
        }
    }

    #[test]
    fn authorities() {
        for good in
            ["a", "a.b", "a_b", "127.0.0.1:8080", "a:", "a:0", "a:65535", "[::ffff:1.2.3.4]:1", "a%41"]
        {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in ["", ":", ":1", "a b", "a/b", "a:1:2", "a:000080", "a:-1", "a:+1", "[]", "[::1]80", "::1"]
        {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
        for bad in ["a%4", "a%zz", "a@b", "a?b", "[1.2.3.4]", "[::1", "a]", "a,b c", "\u{e9}"] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn host_and_port() {
        assert_eq!(split_authority("a:80"), ("a", Some(80)));
        assert_eq!(split_authority("a"), ("a", None));
        assert_eq!(split_authority("a:"), ("a", None));
        assert_eq!(split_authority("[::1]:80"), ("[::1]", Some(80)));
        assert_eq!(split_authority("[::1]"), ("[::1]", None));
        assert_eq!(split_authority(""), ("", None));
    }

    /// The normal form, with `|` around the path, or the error.
    fn normal(method: Method, target: &[u8]) -> String {
        match normalize(method, target) {
            Ok((target, parts)) => {
                let text = std::str::from_utf8(&target).expect("a normal target is ASCII");
                let Range { start, end } = parts.path;
                format!("{}|{}|{}", &text[..start], &text[start..end], &text[end..])
            }
            Err(error) => format!("{error:?}"),
        }
    }

    /// What the URL standard of the WHATWG lets through unencoded in a path or a query (its percent-encode
    /// sets), and raw UTF-8, which curl sends.
    #[test]
    fn what_browsers_send_is_encoded_once() {
        let vectors: &[(&[u8], &str)] = &[
            (b"/a|b^c?d=e|f^g", "|/a%7Cb%5Ec|?d=e%7Cf%5Eg"),
            (b"/{x}?{y}`z\\", "|/%7Bx%7D|?%7By%7D%60z%5C"),
            (b"/a\\b`c", "|/a%5Cb%60c|"),
            (b"/\"<>?\"<>'", "|/%22%3C%3E|?%22%3C%3E'"),
            ("/café?ü".as_bytes(), "|/caf%C3%A9|?%C3%BC"),
            (b"/\xe9?\xff\x80", "|/%E9|?%FF%80"),
            (b"/100%?q=100%", "|/100%25|?q=100%25"),
            (b"/%zz?%u0041&%4", "|/%25zz|?%25u0041&%254"),
            (b"/%%32%65%", "|/%25%32%65%25|"),
            (b"/%c3%A9|?%7c|", "|/%c3%A9%7C|?%7c%7C"),
            (b"http://a/|?|", "http://a|/%7C|?%7C"),
            (b"http://a?|", "http://a||?%7C"),
            (b"/plain?a[]=1", "|/plain|?a[]=1"),
        ];
        for (target, expected) in vectors {
            let first = normal(Method::Get, target);
            assert_eq!(&first, expected, "{}", target.escape_ascii());
            let again = first.replace('|', "");
            assert_eq!(&normal(Method::Get, again.as_bytes()), expected, "encoding twice changes nothing");
        }
    }

    #[test]
    fn controls_spaces_fragments_and_authorities_are_strict() {
        for byte in (0..=b' ').chain([b'#', 0x7f]) {
            for place in [&b"/"[..], b"/a?b", b"http://a/", b"http://a/?"] {
                let target = [place, &[byte], b"|"].concat();
                assert_eq!(normalize(Method::Get, &target).unwrap_err(), TargetError::Character(byte));
            }
        }
        for byte in 0x80..=0xff {
            assert!(normalize(Method::Get, &[b'/', byte]).is_ok());
            for target in [[b"http://", &[byte][..], b"/"].concat(), vec![byte]] {
                assert_eq!(normalize(Method::Get, &target).unwrap_err(), TargetError::Character(byte));
            }
        }
        for (method, target, expected) in [
            (Method::Get, "http://a|b/", "Character(124)"),
            (Method::Get, "http://a\\b/", "Character(92)"),
            (Method::Get, "http://a%/", "Percent"),
            (Method::Get, "http://a%zz/|", "Percent"),
            (Method::Get, "http://u@a/", "Userinfo"),
            (Method::Connect, "a|b:1", "Character(124)"),
            (Method::Connect, "a%:1", "Percent"),
            (Method::Options, "*|", "Character(124)"),
            (Method::Get, "a|b", "Character(124)"),
            (Method::Get, "", "Empty"),
        ] {
            assert_eq!(normal(method, target.as_bytes()), expected, "{target}");
        }
    }
}
