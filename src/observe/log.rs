//! Lines for the operator, on standard error. Off the hot path: only what an operator should act on.

use std::fmt::Arguments;
use std::io::Write;

/// Writes one line: `quoit: …`. Control characters are shown escaped, so that no peer can forge a line; an
/// error while writing is ignored, for there is nobody left to tell.
pub fn line(text: Arguments<'_>) {
    let mut clean = String::from("quoit: ");
    for c in text.to_string().chars() {
        if c.is_control() {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean.push('\n');
    let _ = std::io::stderr().lock().write_all(clean.as_bytes());
}

/// What a panic said, for a line.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
