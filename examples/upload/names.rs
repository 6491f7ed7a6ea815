//! The names under which files may be stored. Knows no directory.

use std::ops::RangeInclusive;

/// Longest name that Linux file systems allow.
const BYTES_MAX: usize = 255;

/// Marks that turn the direction of text: they make `gpj.exe` of `exe.jpg`.
const TURNS: [RangeInclusive<char>; 3] =
    ['\u{200e}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

/// A name for a file in one directory: a single component, visible, printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName(String);

impl FileName {
    /// Checks a name from a client.
    ///
    /// # Errors
    /// The reason, as the end of a sentence that begins with the name.
    pub(crate) fn new(name: &str) -> Result<Self, &'static str> {
        if name.is_empty() {
            return Err("is empty");
        }
        if name.len() > BYTES_MAX {
            return Err("is longer than 255 bytes");
        }
        if name.starts_with('.') {
            return Err("begins with a dot");
        }
        if name.contains(['/', '\\']) {
            return Err("has a slash in it");
        }
        if name.chars().any(|c| c.is_control() || TURNS.iter().any(|turns| turns.contains(&c))) {
            return Err("has invisible characters in it");
        }
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
