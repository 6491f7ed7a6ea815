//! Escapes untrusted text for HTML.

use std::fmt;

/// Shows `text` as text within HTML, in elements and in quoted attributes: `& < > " '` are written as
/// entities. Not for script or style elements, nor for attributes without quotes; for URLs, percent-encode
/// first.
///
/// ```
/// use quoit::service::escape_html;
///
/// assert_eq!(format!("<p>{}</p>", escape_html("a < b")), "<p>a &lt; b</p>");
/// ```
pub fn escape_html(text: &str) -> EscapedHtml<'_> {
    EscapedHtml(text)
}

/// Text that is escaped as it is written out; see [`escape_html`].
#[derive(Clone, Copy, Debug)]
pub struct EscapedHtml<'a>(&'a str);

impl fmt::Display for EscapedHtml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_that_means_something_is_an_entity() {
        let escaped = escape_html("<a href='x' title=\"y\">&amp;é</a>").to_string();
        assert_eq!(escaped, "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;amp;é&lt;/a&gt;");
        assert_eq!(escape_html("").to_string(), "");
    }
}
