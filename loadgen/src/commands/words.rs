//! Command lines as words: quotes and placeholders, without a shell. Starts nothing.

/// Splits at spaces; '…' and "…" keep them, a backslash outside '…' keeps the next character. Nothing else
/// that a shell does happens: use `sh -c '…'` if needed. The error names the unclosed quote.
pub(crate) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => {
                let next = chars.next().ok_or_else(|| format!("`{line}` ends with a backslash"))?;
                word.get_or_insert_default().push(next);
            }
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("`{line}` lacks a closing {open}"));
    }
    words.extend(word);
    Ok(words)
}

/// The words as a line that [`split`] reads again.
pub(crate) fn join(words: &[String]) -> String {
    let quoted = words.iter().map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%{}".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            return word.clone();
        }
        format!("'{}'", word.replace('\'', "'\\''"))
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Puts the port for every `{port}`.
pub(crate) fn fill_port(words: &[String], port: u16) -> Vec<String> {
    words.iter().map(|word| word.replace("{port}", &port.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_people_write_them() {
        for (line, words) in [
            ("  a  b\tc ", vec!["a", "b", "c"]),
            ("sh -c 'exec x \"y\"'", vec!["sh", "-c", "exec x \"y\""]),
            (r#"a\ b "c \" d" ''"#, vec!["a b", "c \" d", ""]),
            (r"'\' x", vec![r"\", "x"]),
            ("--port={port}'1'2", vec!["--port={port}12"]),
            ("", vec![]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        assert!(split("a 'b").unwrap_err().contains("closing '"));
        assert!(split("a\\").unwrap_err().contains("backslash"));
    }

    #[test]
    fn joined_words_split_again() {
        let words: Vec<String> = ["a", "", "b c", "it's", "x\"y", "{port}"].map(String::from).into();
        assert_eq!(split(&join(&words)).unwrap(), words);
        assert_eq!(fill_port(&words[5..], 81), ["81"]);
    }
}
