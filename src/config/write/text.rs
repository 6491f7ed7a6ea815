//! TOML as text: entries in order, values on one line, tables below them. Knows no key.

use std::fmt;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// A number or a truth value.
    Plain(String),
    /// A text, with `$` as it is to be read.
    Text(String),
    /// A list on one line.
    List(Vec<Item>),
    /// A list with a line for each element.
    Lines(Vec<Item>),
    /// A table on one line.
    Inline(Entries),
    /// A table of its own.
    Table(Entries),
    /// A list of tables of their own.
    Tables(Vec<Entries>),
}

/// Keys with their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(Vec<(String, Item)>);

impl Item {
    pub(super) fn plain(value: impl fmt::Display) -> Self {
        Self::Plain(value.to_string())
    }

    pub(super) fn text(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl Entries {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, key: &str, item: Item) {
        self.0.push((key.to_owned(), item));
    }

    /// Unless the key is there already.
    pub(super) fn push_new(&mut self, key: &str, item: Item) {
        if !self.0.iter().any(|(known, _)| known == key) {
            self.push(key, item);
        }
    }

    /// In place of an entry with this key.
    pub(super) fn replace(&mut self, key: &str, item: Item) {
        self.0.retain(|(known, _)| known != key);
        self.push(key, item);
    }

    pub(super) fn option<T>(&mut self, key: &str, value: Option<T>, item: impl FnOnce(T) -> Item) {
        if let Some(value) = value {
            self.push(key, item(value));
        }
    }

    /// A table `[outer.name]`.
    pub(super) fn table_in(&mut self, outer: &str, name: &str, entries: Entries) {
        match self.0.iter_mut().find(|(key, _)| key == outer) {
            Some((_, Item::Table(tables))) => tables.push(name, Item::Table(entries)),
            _ => self.push(outer, Item::Table(Entries(vec![(name.to_owned(), Item::Table(entries))]))),
        }
    }

    pub(super) fn inline(self) -> Item {
        Item::Inline(self)
    }
}

/// A whole document.
pub(super) fn render(entries: &Entries) -> String {
    let mut text = String::new();
    write_entries(&mut text, "", entries);
    text
}

/// Values before tables, because what follows the header of a table belongs to it.
fn write_entries(text: &mut String, path: &str, Entries(entries): &Entries) {
    for (key, item) in entries {
        if !matches!(item, Item::Table(_) | Item::Tables(_)) {
            text.push_str(&format!("{} = {}\n", bare(key), Inline(item)));
        }
    }
    for (key, item) in entries {
        let path = if path.is_empty() { bare(key) } else { format!("{path}.{}", bare(key)) };
        match item {
            Item::Table(inner) => {
                // A table that has nothing but tables needs no header.
                let has_values = inner.0.iter().any(|(_, item)| !matches!(item, Item::Table(_)));
                if has_values || inner.is_empty() {
                    header(text, &format!("[{path}]"));
                }
                write_entries(text, &path, inner);
            }
            Item::Tables(tables) => {
                for inner in tables {
                    header(text, &format!("[[{path}]]"));
                    write_entries(text, &path, inner);
                }
            }
            _ => {}
        }
    }
}

fn header(text: &mut String, header: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(header);
    text.push('\n');
}

/// A key, with quotes where it needs them.
fn bare(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if is_bare { key.to_owned() } else { Quoted(key).to_string() }
}

/// A value on its line.
struct Inline<'a>(&'a Item);

impl fmt::Display for Inline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Item::Plain(value) => f.write_str(value),
            Item::Text(value) => Quoted(value).fmt(f),
            Item::List(items) => {
                let items: Vec<String> = items.iter().map(|item| Inline(item).to_string()).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Item::Lines(items) => {
                f.write_str("[\n")?;
                items.iter().try_for_each(|item| writeln!(f, "    {},", Inline(item)))?;
                f.write_str("]")
            }
            Item::Tables(tables) => {
                let items: Vec<String> =
                    tables.iter().map(|entries| Inline(&Item::Inline(entries.clone())).to_string()).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Item::Inline(Entries(entries)) | Item::Table(Entries(entries)) => {
                if entries.is_empty() {
                    return f.write_str("{}");
                }
                let entry = |(key, item): &(String, Item)| format!("{} = {}", bare(key), Inline(item));
                let entries: Vec<String> = entries.iter().map(entry).collect();
                write!(f, "{{ {} }}", entries.join(", "))
            }
        }
    }
}

/// A basic string (TOML 1.0 §String).
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;

        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{:04X}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::de::{DeTable, DeValue};

    use super::*;

    proptest! {
        #[test]
        fn texts_and_keys_are_read_as_they_were_written(key: String, value: String) {
            let mut entries = Entries::default();
            entries.push(&key, Item::List(vec![Item::text(&value)]));
            let text = render(&entries);
            let document = DeTable::parse(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let Some(DeValue::Array(list)) = document.get_ref().get(&*key).map(|value| value.get_ref()) else {
                return Err(TestCaseError::fail(text.clone()));
            };
            prop_assert_eq!(list[0].get_ref().as_str(), Some(&*value));
        }
    }
}
