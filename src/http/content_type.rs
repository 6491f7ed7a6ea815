//! A media type and its parameters, parsed from a Content-Type field (RFC 9110 §8.3), and the parameters of
//! such fields in general (§5.6.6). Borrows from the field; knows no particular type.

use super::message::grammar::{is_token_byte, is_value_byte, trimmed};

/// A media type, as in a field.
///
/// ```
/// use quoit::http::content_type::ContentType;
///
/// let found = ContentType::parse(b"Application/Problem+JSON; charset=utf-8").unwrap();
/// assert!(found.is_json() && !found.is("application", "json"));
/// assert_eq!(found.parameter("Charset"), Some("utf-8".into()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ContentType<'a> {
    main: &'a [u8],
    sub: &'a [u8],
    parameters: &'a [u8],
}

impl<'a> ContentType<'a> {
    /// Parses the value of a field; `None` if it is not a media type. Parameters are parsed on demand.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let (essence, parameters) = value.split_at(end);
        let essence = &essence[trimmed(essence)];
        let slash = memchr::memchr(b'/', essence)?;
        let (main, sub) = (&essence[..slash], &essence[slash + 1..]);
        let is_token = |text: &[u8]| !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte));
        (is_token(main) && is_token(sub)).then_some(Self { main, sub, parameters })
    }

    /// Whether it is this type, regardless of parameters.
    pub fn is(&self, main: &str, sub: &str) -> bool {
        self.main.eq_ignore_ascii_case(main.as_bytes()) && self.sub.eq_ignore_ascii_case(sub.as_bytes())
    }

    /// Whether it is `application/json`, or has the structured suffix `+json` (RFC 6839 §3.1).
    pub fn is_json(&self) -> bool {
        let suffix = self.sub.len().checked_sub(b"+json".len()).map(|at| &self.sub[at..]);
        self.is("application", "json") || suffix.is_some_and(|s| s.eq_ignore_ascii_case(b"+json"))
    }

    /// The value of a parameter, unquoted. `None` when it is missing, repeated or not UTF-8, and when the
    /// parameters are malformed, because none of them is reliable then.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut found = None;
        for parameter in Parameters::of(self.parameters) {
            let parameter = parameter.ok()?;
            if parameter.is(name) && found.replace(parameter).is_some() {
                return None;
            }
        }
        String::from_utf8(found?.unescaped()).ok()
    }
}

/// The parameters are malformed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ParametersMalformed;

/// One parameter as sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parameter<'a> {
    pub(super) name: &'a [u8],
    /// Without its quotes, if any, and with escapes unresolved.
    pub(super) raw_value: &'a [u8],
}

impl Parameter<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// With quoted pairs resolved (RFC 9110 §5.6.4). A token has none.
    fn unescaped(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.raw_value.len());
        let mut bytes = self.raw_value.iter();
        while let Some(&byte) = bytes.next() {
            out.push(if byte == b'\\' { *bytes.next().unwrap_or(&byte) } else { byte });
        }
        out
    }
}

/// The parameters after a first part, each with its semicolon: `; a=b; c="d"`.
pub(super) struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Parameters<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self { rest: &text[trimmed(text)] }
    }

    /// Parses one parameter; `rest` begins with its name.
    fn take(&mut self) -> Result<Parameter<'a>, ParametersMalformed> {
        let rest = self.rest;
        let length = rest.iter().position(|byte| !is_token_byte(*byte)).ok_or(ParametersMalformed)?;
        if length == 0 || rest[length] != b'=' {
            return Err(ParametersMalformed);
        }
        let (name, value) = (&rest[..length], &rest[length + 1..]);
        let (raw_value, behind) = match value {
            [b'"', quoted @ ..] => {
                let end = quoted_end(quoted).ok_or(ParametersMalformed)?;
                (&quoted[..end], &quoted[end + 1..])
            }
            token => {
                let end = token.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(token.len());
                if end == 0 {
                    return Err(ParametersMalformed);
                }
                token.split_at(end)
            }
        };
        self.rest = &behind[trimmed(behind)];
        Ok(Parameter { name, raw_value })
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, ParametersMalformed>;

    /// No parameter follows a malformed one.
    fn next(&mut self) -> Option<Self::Item> {
        while let [separator, rest @ ..] = self.rest {
            if *separator != b';' {
                self.rest = &[];
                return Some(Err(ParametersMalformed));
            }
            self.rest = &rest[trimmed(rest)];
            // Empty parameters are skipped (RFC 9110 §5.6.6).
            if !matches!(self.rest, [] | [b';', ..]) {
                let taken = self.take();
                if taken.is_err() {
                    self.rest = &[];
                }
                return Some(taken);
            }
        }
        None
    }
}

/// The position of the closing quote; `None` without one, and at a byte that is not allowed in a field value.
fn quoted_end(quoted: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, &byte) in quoted.iter().enumerate() {
        match byte {
            _ if !is_value_byte(byte) => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let is = |value: &str, main, sub| ContentType::parse(value.as_bytes()).map(|t| t.is(main, sub));
        assert_eq!(is("text/plain", "text", "plain"), Some(true));
        assert_eq!(is("TEXT/Plain ; charset=x", "text", "plain"), Some(true));
        assert_eq!(is("text/plainer", "text", "plain"), Some(false));
        for malformed in ["", "text", "text/", "/plain", "text /plain", "text/pl ain", "a/b/c", "a/b, c/d"] {
            assert_eq!(is(malformed, "text", "plain"), None, "{malformed:?}");
        }
    }

    #[test]
    fn json_by_name_and_by_suffix() {
        let json = |value: &str| ContentType::parse(value.as_bytes()).is_some_and(|t| t.is_json());
        for yes in ["application/json", "application/JSON; charset=utf-8", "application/ld+json"] {
            assert!(json(yes), "{yes}");
        }
        for no in ["text/json", "application/jsonp", "application/json+xml", "text/plain", "+json"] {
            assert!(!json(no), "{no}");
        }
    }

    #[test]
    fn parameters() {
        let parameter = |value: &str, name| ContentType::parse(value.as_bytes()).unwrap().parameter(name);
        assert_eq!(parameter("a/b; x=1; y=2", "y"), Some("2".into()));
        assert_eq!(parameter("a/b;;X=\"1;\\\"\\2\" ; y=2;", "x"), Some("1;\"2".into()));
        assert_eq!(parameter("a/b; x=\"\"", "x"), Some(String::new()));
        for (nothing, why) in [
            ("a/b", "missing"),
            ("a/b; y=1", "another"),
            ("a/b; x=1; X=2", "twice"),
            ("a/b; x =1", "space"),
            ("a/b; x= 1", "space"),
            ("a/b; x=", "empty token"),
            ("a/b; x=1 y=2", "no semicolon"),
            ("a/b; x=\"1", "open quote"),
            ("a/b; x=1; y", "malformed neighbour"),
            ("a/b; x=\"\u{1}\"", "control"),
        ] {
            assert_eq!(parameter(nothing, "x"), None, "{why}");
        }
    }
}
