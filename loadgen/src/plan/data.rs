//! Data files for templates: rows of named values, as CSV (RFC 4180) with a line of names, or as JSON lines.
//! Request after request takes the next row, on all cores together. Reads no files.

use std::collections::BTreeMap;

/// Rows of named values.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Data {
    names: Vec<String>,
    /// At least one, each with as many values as there are names.
    rows: Vec<Vec<Box<[u8]>>>,
}

impl Data {
    /// Reads a file's text: JSON lines where it begins with `{`, CSV otherwise.
    ///
    /// # Errors
    /// A sentence that names the line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        // Spreadsheets begin with it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let data =
            if text.trim_start().starts_with('{') { Self::json_lines(text)? } else { Self::csv(text)? };
        if data.rows.is_empty() {
            return Err("no row of data in it; write a line of names and a line of values".to_owned());
        }
        Ok(data)
    }

    /// The column of a name.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The names, for messages.
    pub(crate) fn names(&self) -> String {
        self.names.join(", ")
    }

    /// A value of the `n`-th request: rows are taken in order, and again from the first.
    pub(crate) fn value(&self, n: u64, column: usize) -> &[u8] {
        &self.rows[(n % self.rows.len() as u64) as usize][column]
    }

    fn csv(text: &str) -> Result<Self, String> {
        let mut records = records(text)?.into_iter();
        let (_, names) = records.next().ok_or("it is empty; begin with a line of names")?;
        let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
        let mut rows = Vec::new();
        for (line, record) in records {
            if record.len() != names.len() {
                return Err(format!(
                    "line {line} has {} values and there are {} names; quote what holds a comma",
                    record.len(),
                    names.len()
                ));
            }
            rows.push(record.into_iter().map(|value| value.into_bytes().into()).collect());
        }
        Ok(Self { names, rows })
    }

    fn json_lines(text: &str) -> Result<Self, String> {
        type Row = BTreeMap<String, serde_json::Value>;
        let (mut names, mut rows): (Vec<String>, _) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |why: &dyn std::fmt::Display| {
                format!("line {}: {why}; write an object with the same names on each line", number + 1)
            };
            let row: Row = serde_json::from_str(line).map_err(|error| wrong(&error))?;
            if rows.is_empty() {
                names = row.keys().cloned().collect();
            }
            if !row.keys().eq(names.iter()) {
                return Err(wrong(&"its names are not those of the first line"));
            }
            // Text without its quotes, all else as JSON writes it.
            let plain = |value: serde_json::Value| match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            rows.push(row.into_values().map(|value| plain(value).into_bytes().into()).collect());
        }
        Ok(Self { names, rows })
    }
}

/// The records of a CSV text, each with its line.
fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let (mut records, mut record, mut value) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begun, mut is_quoted, mut was_quoted) = (1, 1, false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => value.extend(chars.next()),
            '"' if is_quoted => is_quoted = false,
            c if is_quoted => value.push(c),
            '"' if value.is_empty() && !was_quoted => (is_quoted, was_quoted) = (true, true),
            ',' => {
                record.push(std::mem::take(&mut value));
                was_quoted = false;
            }
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                if !record.is_empty() || !value.is_empty() || was_quoted {
                    record.push(std::mem::take(&mut value));
                    records.push((begun, std::mem::take(&mut record)));
                }
                (begun, was_quoted) = (line, false);
            }
            c if was_quoted => {
                return Err(format!(
                    "line {line}: `{c}` behind a closing quote; double a quote that is meant"
                ));
            }
            c => value.push(c),
        }
    }
    if is_quoted {
        return Err(format!("line {begun}: a quote that is not closed"));
    }
    if !record.is_empty() || !value.is_empty() || was_quoted {
        record.push(value);
        records.push((begun, record));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(data: &Data, n: u64) -> Vec<String> {
        let value = |column| String::from_utf8(data.value(n, column).to_vec()).unwrap();
        (0..data.names.len()).map(value).collect()
    }

    #[test]
    fn csv_is_rfc_4180s() {
        let text = "\u{feff}id, name\r\n1,Anna\r\n\r\n2,\"Bob, \"\"the\nsecond\"\"\"\n3,\n\"\",x";
        let data = Data::parse(text).unwrap();
        assert_eq!((data.column("id"), data.column("name"), data.column("x")), (Some(0), Some(1), None));
        assert_eq!(row(&data, 0), ["1", "Anna"]);
        assert_eq!(row(&data, 1), ["2", "Bob, \"the\nsecond\""]);
        assert_eq!(
            (row(&data, 2), row(&data, 3)),
            (vec!["3".into(), String::new()], vec!["".into(), "x".into()])
        );
        assert_eq!(row(&data, 4), row(&data, 0), "and again");
        for (text, part) in [
            ("", "names"),
            ("id\n", "no row"),
            ("id,name\n1\n", "line 2 has 1 values"),
            ("id\n\"1", "line 2: a quote"),
            ("id\n\"1\"2", "behind a closing quote"),
        ] {
            assert!(Data::parse(text).unwrap_err().contains(part), "{text:?}");
        }
    }

    #[test]
    fn json_lines_are_read() {
        let data = Data::parse("{\"n\": 7, \"a\": \"x \\\"y\"}\n\n{\"a\": [1], \"n\": null}\n").unwrap();
        assert_eq!(data.names(), "a, n");
        assert_eq!(
            (row(&data, 0), row(&data, 1)),
            (vec!["x \"y".into(), "7".to_owned()], vec!["[1]".into(), "null".into()])
        );
        for (text, part) in
            [("{\"a\": 1}\n{\"b\": 1}", "line 2: its names"), ("{\"a\": 1}\n{", "line 2: EOF")]
        {
            assert!(Data::parse(text).unwrap_err().contains(part), "{text:?}");
        }
    }
}
