//! Log lines for the operator, on standard error. Not on the request path: only what an operator should act
//! on.

use std::error::Error;
use std::fmt::Arguments;
use std::io::Write;

/// Writes one line: `quoit: …`. Control characters are escaped, so that no peer can forge a line; a write
/// error is ignored, because it cannot be reported.
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

/// Writes an error as one line, with its causes. The messages of this crate include their cause where that
/// helps the operator, followed by the remedy; a cause that is included is not repeated.
pub fn error(error: &(dyn Error + 'static)) {
    line(format_args!("{}", with_causes(error)));
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

/// The message of a panic, for a line.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("the disk: {0}; is it full?")]
        Tells(#[source] io::Error),
        #[error("the backup failed")]
        Wraps(#[source] Box<Failure>),
    }

    #[test]
    fn causes_are_written_once() {
        let refused = || Failure::Tells(io::Error::other("refused"));
        assert_eq!(with_causes(&refused()), "the disk: refused; is it full?");
        let wrapped = Failure::Wraps(Box::new(refused()));
        assert_eq!(with_causes(&wrapped), "the backup failed: the disk: refused; is it full?");
    }
}
