//! Which names a file may be stored by. Knows no directory.

/// Longest name that Linux file systems take.
const BYTES_MAX: usize = 255;

/// A name for a file in one directory: a single component, visible, printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName(String);

impl FileName {
    /// Takes a name as a client sent it.
    ///
    /// # Errors
    /// Why not, as the end of a sentence that begins with the name.
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
        // Marks that turn the direction of text make `gpj.exe` of `exe.jpg`.
        let deceives = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if name.chars().any(|c| c.is_control() || deceives(c)) {
            return Err("has invisible characters in it");
        }
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
