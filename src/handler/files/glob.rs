//! Patterns over file names: `*.pdf`, `downloads/**`, `assets/*.js`. Works on bytes.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A pattern over the name of a file below the root.
///
/// `*` stands for any bytes of one segment, `?` for one of them, `**` for any bytes at all. Without a slash
/// the pattern applies to the last segment alone, in any directory. Case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// A pattern. A slash in front is dropped: every name is below the root.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.trim_start_matches('/').to_owned())
    }

    /// Whether the name, relative to the root, fits.
    pub fn matches(&self, name: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let name = match memchr::memrchr(b'/', name) {
            Some(slash) if !pattern.contains(&b'/') && pattern != b"**" => &name[slash + 1..],
            _ => name,
        };
        matches(pattern, name)
    }
}

impl FromStr for Glob {
    type Err = Infallible;

    fn from_str(pattern: &str) -> Result<Self, Infallible> {
        Ok(Self::new(pattern))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Backtracks to the last `*`, or failing that to the last `**`, and never further: untrusted names must not
/// cost more than their length times the pattern's, squared at worst.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut last_any: Option<(usize, usize)> = None;
    let mut last_segment: Option<(usize, usize)> = None;
    loop {
        match pattern.get(p) {
            Some(b'*') if pattern.get(p + 1) == Some(&b'*') => {
                p += 2;
                (last_any, last_segment) = (Some((p, n)), None);
                continue;
            }
            Some(b'*') => {
                p += 1;
                last_segment = Some((p, n));
                continue;
            }
            Some(b'?') if n < name.len() && name[n] != b'/' => {
                (p, n) = (p + 1, n + 1);
                continue;
            }
            Some(byte) if name.get(n) == Some(byte) => {
                (p, n) = (p + 1, n + 1);
                continue;
            }
            None if n == name.len() => return true,
            _ => {}
        }
        // One byte more for the innermost star that can take it.
        if let Some((after, taken)) =
            last_segment.filter(|(_, taken)| name.get(*taken).is_some_and(|b| *b != b'/'))
        {
            last_segment = Some((after, taken + 1));
            (p, n) = (after, taken + 1);
        } else if let Some((after, taken)) = last_any.filter(|(_, taken)| *taken < name.len()) {
            (last_any, last_segment) = (Some((after, taken + 1)), None);
            (p, n) = (after, taken + 1);
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns() {
        for (pattern, fits, fits_not) in [
            ("*.pdf", &["a.pdf", "b/c/a.pdf", ".pdf"][..], &["a.pdf.txt", "a.PDF", "pdf", "a.pdf/b"][..]),
            ("*", &["a", "b/c", ""], &[]),
            ("**", &["a", "b/c"], &[]),
            ("a?c", &["abc", "x/abc", "a\u{7f}c"], &["ac", "abbc"]),
            ("assets/*.js", &["assets/a.js"], &["assets/b/a.js", "a.js", "x/assets/a.js"]),
            ("/assets/*.js", &["assets/a.js"], &["assets/b/a.js"]),
            ("assets/**", &["assets/a", "assets/b/c.js"], &["assets", "b/assets/a"]),
            ("**/a.js", &["b/a.js", "b/c/a.js"], &["a.js", "b/xa.jsx"]),
            ("a/**/b/*.c", &["a/x/b/y.c", "a/x/y/b/z.c", "a/b/b/b.c"], &["a/x/b/y/z.c", "a/x/b/y.d"]),
            ("a*b*c", &["abc", "axxbyybzc", "abbc"], &["abcd", "acb"]),
            ("", &[""], &["a"]),
        ] {
            let glob = Glob::new(pattern);
            for name in fits {
                assert!(glob.matches(name.as_bytes()), "{pattern} {name}");
            }
            for name in fits_not {
                assert!(!glob.matches(name.as_bytes()), "{pattern} {name}");
            }
        }
    }

    /// The rules again, slowly.
    fn reference(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=name.len()).any(|n| reference(rest, &name[n..])),
            [b'*', rest @ ..] => {
                let end = memchr::memchr(b'/', name).unwrap_or(name.len());
                (0..=end).any(|n| reference(rest, &name[n..]))
            }
            [b'?', rest @ ..] => name.first().is_some_and(|b| *b != b'/') && reference(rest, &name[1..]),
            [byte, rest @ ..] => name.first() == Some(byte) && reference(rest, &name[1..]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]
        #[test]
        fn the_fast_way_agrees_with_the_slow_one(pattern in "[ab/*?]{0,8}", name in "[ab/]{0,10}") {
            let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(matches(pattern, name), reference(pattern, name));
        }
    }

    #[test]
    fn hostile_names_end() {
        let glob = Glob::new("*a*a*a*a*a*a*a*a*a*a*b");
        assert!(!glob.matches(&[b'a'; 4000]));
        let glob = Glob::new("**/*a*a*a**a*a*a/**/*a*a*a*b");
        assert!(!glob.matches(&b"aaaaaaaaaaaa/".repeat(100)));
    }
}
