//! Patterns of paths and hosts: parsing and segments. Knows no routes.

use std::fmt;

/// Segments of a pattern. More than sensible paths have, and a bound on the depth of a search.
const SEGMENTS_MAX: usize = 32;

/// One segment of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Segment {
    /// This text, decoded.
    Literal(Box<str>),
    /// Any one segment that is not empty.
    Parameter,
    /// The rest of the path, which may be empty. Last.
    Rest,
}

/// A pattern of a path: `/users/{id}/files/{*path}`.
#[derive(Clone, Debug, Default)]
pub(super) struct Pattern {
    /// As it was written.
    pub(super) text: String,
    pub(super) segments: Vec<Segment>,
    /// Names of its parameters, in order.
    pub(super) names: Vec<Box<str>>,
}

/// Why a pattern is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatternError {
    /// It does not begin with a slash.
    NoSlash,
    /// A brace within a segment: a parameter is a whole segment.
    PartOfSegment,
    /// `{}`, or a name with bytes other than letters, digits and `_`.
    BadName,
    /// Two parameters have one name.
    SameName,
    /// Something follows `{*rest}`.
    RestNotLast,
    /// A segment is `.` or `..`, which no request has.
    DotSegment,
    /// A segment before the last is empty, which no request has: `//` counts as one slash.
    EmptySegment,
    /// It has `%`, `?` or `#`: patterns are written decoded.
    Encoded,
    /// More than 32 segments.
    TooLong,
    /// The prefix of a nested router ends in a slash or in `{*rest}`.
    BadPrefix,
    /// Not a host name: `example.com`, or `*.example.com` for every name below it.
    BadHost,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSlash => "a path begins with a slash",
            Self::PartOfSegment => "a parameter is a whole segment: /{name}/",
            Self::BadName => "a parameter's name is letters, digits and underscores",
            Self::SameName => "two parameters have the same name",
            Self::RestNotLast => "nothing can follow {*rest}",
            Self::DotSegment => "no request has a . or .. segment",
            Self::EmptySegment => "no request has an empty segment: // counts as one slash",
            Self::Encoded => "write the path decoded, without %, ? and #",
            Self::TooLong => "it has more than 32 segments",
            Self::BadPrefix => "a prefix ends in a plain segment, without a slash behind it",
            Self::BadHost => {
                "a host is example.com, or *.example.com for every name below it, without a port"
            }
        })
    }
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        let mut pattern = Self { text: text.to_owned(), ..Self::default() };
        for segment in rest.split('/') {
            match pattern.segments.last() {
                Some(Segment::Rest) => return Err(PatternError::RestNotLast),
                Some(Segment::Literal(text)) if text.is_empty() => return Err(PatternError::EmptySegment),
                _ => {}
            }
            pattern.push(segment)?;
        }
        if pattern.segments.len() > SEGMENTS_MAX {
            return Err(PatternError::TooLong);
        }
        Ok(pattern)
    }

    /// The prefix of a nested router: empty, or a path without a slash at its end.
    pub(super) fn parse_prefix(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let pattern = Self::parse(text)?;
        match pattern.segments.last() {
            Some(Segment::Literal(last)) if last.is_empty() => Err(PatternError::BadPrefix),
            Some(Segment::Rest) => Err(PatternError::BadPrefix),
            _ => Ok(pattern),
        }
    }

    /// This prefix and what stands below it.
    pub(super) fn join(&self, below: &Self) -> Result<Self, PatternError> {
        let mut joined = self.clone();
        joined.text.push_str(&below.text);
        joined.segments.extend(below.segments.iter().cloned());
        for name in &below.names {
            joined.push_name(name)?;
        }
        if joined.segments.len() > SEGMENTS_MAX { Err(PatternError::TooLong) } else { Ok(joined) }
    }

    /// The path, if there is but one that matches.
    pub(super) fn as_literal(&self) -> Option<&str> {
        let is_literal = self.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)));
        is_literal.then_some(&*self.text)
    }

    fn push(&mut self, segment: &str) -> Result<(), PatternError> {
        if let Some(inner) = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
            let (kind, name) = match inner.strip_prefix('*') {
                Some(name) => (Segment::Rest, name),
                None => (Segment::Parameter, inner),
            };
            self.push_name(name)?;
            self.segments.push(kind);
            return Ok(());
        }
        match segment {
            "." | ".." => Err(PatternError::DotSegment),
            _ if segment.contains(['{', '}']) => Err(PatternError::PartOfSegment),
            _ if segment.contains(['%', '?', '#']) => Err(PatternError::Encoded),
            _ => {
                self.segments.push(Segment::Literal(segment.into()));
                Ok(())
            }
        }
    }

    fn push_name(&mut self, name: &str) -> Result<(), PatternError> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(PatternError::BadName);
        }
        if self.names.iter().any(|known| &**known == name) {
            return Err(PatternError::SameName);
        }
        self.names.push(name.into());
        Ok(())
    }
}

/// Which hosts a router answers for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum HostPattern {
    /// This name, in lower case.
    Name(Box<str>),
    /// Every name with this suffix: `.example.com`.
    Below(Box<str>),
}

impl HostPattern {
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        let (name, below) = match text.strip_prefix("*.") {
            Some(_) => (&text[1..], true),
            None => (text, false),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        // A port is no part of it: a site with one would have no requests.
        let has_port = name.rsplit(']').next().is_some_and(|after| after.contains(':'));
        if has_port || name.trim_start_matches('.').is_empty() || !name.bytes().all(is_name) {
            return Err(PatternError::BadHost);
        }
        let name = name.to_ascii_lowercase().into_boxed_str();
        Ok(if below { Self::Below(name) } else { Self::Name(name) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_names_are_read() {
        let pattern = Pattern::parse("/users/{id}/files/{*path}").unwrap();
        assert_eq!(pattern.segments[1], Segment::Parameter);
        assert_eq!(pattern.segments[3], Segment::Rest);
        assert_eq!(pattern.names, [Box::from("id"), Box::from("path")]);
        assert_eq!(Pattern::parse("/").unwrap().segments, [Segment::Literal("".into())]);
        assert_eq!(Pattern::parse("/a/").unwrap().as_literal(), Some("/a/"));
        let nested = Pattern::parse_prefix("/api/{v}").unwrap().join(&Pattern::parse("/x").unwrap()).unwrap();
        assert_eq!(nested.text, "/api/{v}/x");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, error) in [
            ("users", PatternError::NoSlash),
            ("/a{b}", PatternError::PartOfSegment),
            ("/{}", PatternError::BadName),
            ("/{a-b}", PatternError::BadName),
            ("/{a}/{a}", PatternError::SameName),
            ("/{*a}/b", PatternError::RestNotLast),
            ("/a/../b", PatternError::DotSegment),
            ("//a", PatternError::EmptySegment),
            ("/a//", PatternError::EmptySegment),
            ("/a%20b", PatternError::Encoded),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err(), error, "{text}");
        }
        assert_eq!(Pattern::parse(&"/a".repeat(33)).unwrap_err(), PatternError::TooLong);
        assert_eq!(Pattern::parse_prefix("/a/").unwrap_err(), PatternError::BadPrefix);
        for host in ["*.", "a.test:8080", "[::1]:80", "::1"] {
            assert_eq!(HostPattern::parse(host).unwrap_err(), PatternError::BadHost);
        }
        assert!(HostPattern::parse("[::1]").is_ok());
        assert_eq!(HostPattern::parse("*.A.b").unwrap(), HostPattern::Below(".a.b".into()));
    }
}
