//! The names of one certificate, as an operator writes them. Does no DNS lookup.

use std::fmt;
use std::str::FromStr;

/// Most names of a certificate, the limit of Let's Encrypt.
const NAMES_MAX: usize = 100;

/// The names of one certificate: in lower case, without duplicates. The first determines the file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Vec<String>);

/// The text is not a list of names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamesError {
    /// No public CA issues certificates for this name.
    #[error(
        "`{0}` is no public host name; write example.com or *.example.com, and names with other letters in \
         their xn-- form"
    )]
    NoName(String),
    /// It is an IP address.
    #[error("`{0}` is an address; certificates are for names such as example.com")]
    IsAddress(String),
    /// There are no names, or too many.
    #[error("{0} names; a certificate has 1 to {NAMES_MAX}")]
    Count(usize),
}

impl Names {
    /// All names.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// The name that determines the file name.
    pub fn first(&self) -> &str {
        &self.0[0]
    }

    /// Whether one of them is a wildcard.
    pub fn has_wildcard(&self) -> bool {
        self.0.iter().any(|name| name.starts_with("*."))
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl FromStr for Names {
    type Err = NamesError;

    fn from_str(text: &str) -> Result<Self, NamesError> {
        let mut names: Vec<String> = Vec::new();
        for name in text.split(',').map(|name| name.trim().trim_end_matches('.').to_ascii_lowercase()) {
            if name.parse::<std::net::IpAddr>().is_ok() {
                return Err(NamesError::IsAddress(name));
            }
            if !is_name(&name) {
                return Err(NamesError::NoName(name));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if (1..=NAMES_MAX).contains(&names.len()) {
            Ok(Self(names))
        } else {
            Err(NamesError::Count(names.len()))
        }
    }
}

/// Letters, digits and hyphens (RFC 1123 §2.1) in at least two labels, perhaps below a wildcard.
fn is_name(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    host.len() <= 253 && host.contains('.') && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let names: Names = "Example.com, www.example.com.,example.com,*.example.com".parse().unwrap();
        assert_eq!(names.as_slice(), ["example.com", "www.example.com", "*.example.com"]);
        assert_eq!((names.first(), names.has_wildcard()), ("example.com", true));
        assert_eq!(names.to_string(), "example.com, www.example.com, *.example.com");
        for text in
            ["", "a.example,", "localhost", "a..example", "-a.example", "a_b.example", "bücher.example"]
        {
            assert!(matches!(text.parse::<Names>(), Err(NamesError::NoName(_))), "{text}");
        }
        for text in ["*", "*.*.example", "a.*.example", "../a.example", "a/b.example"] {
            assert!(matches!(text.parse::<Names>(), Err(NamesError::NoName(_))), "{text}");
        }
        assert_eq!("127.0.0.1".parse::<Names>(), Err(NamesError::IsAddress("127.0.0.1".into())));
        let many: Vec<String> = (0..101).map(|n| format!("a{n}.example")).collect();
        assert_eq!(many.join(",").parse::<Names>(), Err(NamesError::Count(101)));
    }
}
