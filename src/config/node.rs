//! Values of the files with their places, read as what they are meant to be. A value that is not has been
//! reported by `validate` before, and is absent here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::environment::{Environment, Expanded, expand};
use super::mistake::{At, Mistake, SourceText, position};
use super::units::{parse_byte_rate, parse_duration, parse_size};

/// Largest file of a `{ file = "…" }`: secrets and snippets, not content.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Which texts are put in for values from outside of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The values themselves, to serve.
    Real,
    /// The names of variables and files in place of their values, to print.
    Shown,
}

/// What reading needs beside the values, and what it finds.
pub(super) struct Reader<'d> {
    pub(super) sources: &'d [SourceText],
    pub(super) environment: &'d Environment,
    pub(super) view: View,
    pub(super) mistakes: RefCell<Vec<Mistake>>,
    /// Files that were read, or that the configuration names.
    pub(super) named: RefCell<Vec<PathBuf>>,
    /// Those of them that no client may get.
    pub(super) kept_back: RefCell<Vec<PathBuf>>,
    /// Values from outside, which no message may contain.
    pub(super) hidden: RefCell<Vec<String>>,
    contents: RefCell<BTreeMap<PathBuf, Result<String, String>>>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(sources: &'d [SourceText], environment: &'d Environment, view: View) -> Self {
        Self {
            sources,
            environment,
            view,
            mistakes: RefCell::default(),
            named: RefCell::default(),
            kept_back: RefCell::default(),
            hidden: RefCell::default(),
            contents: RefCell::default(),
        }
    }

    pub(super) fn report(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// The path as it is meant in this file.
    pub(super) fn resolve(&self, file: usize, path: &str) -> PathBuf {
        let directory = self.sources[file].path.parent().unwrap_or(Path::new(""));
        directory.join(path)
    }

    /// File and line of a place.
    pub(super) fn place(&self, at: At) -> String {
        let SourceText { path, text } = &self.sources[at.file];
        format!("{}:{}", path.display(), position(text, at.start).0)
    }

    pub(super) fn name_file(&self, path: &Path) {
        let mut named = self.named.borrow_mut();
        if !named.iter().any(|known| known == path) {
            named.push(path.to_owned());
        }
    }

    /// The content of a small text file, without the line break at its end.
    pub(super) fn content(&self, path: &Path) -> Result<String, String> {
        self.name_file(path);
        let mut contents = self.contents.borrow_mut();
        contents.entry(path.to_owned()).or_insert_with(|| read_small(path)).clone()
    }

    pub(super) fn hide(&self, values: &[String]) {
        let mut hidden = self.hidden.borrow_mut();
        for value in values.iter().filter(|value| !value.is_empty()) {
            if !hidden.contains(value) {
                hidden.push(value.clone());
            }
        }
    }
}

fn read_small(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    if metadata.len() > SECRET_BYTES_MAX {
        return Err("it has more than 64 KiB".to_owned());
    }
    let mut text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// A value with its place.
#[derive(Clone, Copy)]
pub(super) struct Node<'d> {
    pub(super) reader: &'d Reader<'d>,
    pub(super) at: At,
    pub(super) value: &'d DeValue<'d>,
}

/// A table with its place.
#[derive(Clone, Copy)]
pub(super) struct Table<'d> {
    pub(super) reader: &'d Reader<'d>,
    pub(super) at: At,
    pub(super) entries: &'d DeTable<'d>,
}

/// A key that the user chose, with its place and its value.
pub(super) struct Named<'d> {
    pub(super) name: &'d str,
    pub(super) key_at: At,
    pub(super) node: Node<'d>,
}

impl<'d> Node<'d> {
    pub(super) fn report(self, title: impl Into<String>, help: impl Into<String>) {
        self.reader.report(Mistake::new(self.at, title).help(help));
    }

    /// The text as written, with variables.
    pub(super) fn raw(self) -> Option<&'d str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    fn expanded(self) -> Option<Expanded> {
        expand(self.raw()?, self.reader.environment).ok()
    }

    /// A text that is no secret.
    pub(super) fn text(self) -> Option<String> {
        self.expanded().map(|text| text.real)
    }

    /// A text that may be a secret: where it comes from, in the view that is printed.
    pub(super) fn secret(self) -> Option<String> {
        let (real, shown) = match self.table().and_then(|table| table.entry("file")) {
            Some(file) => {
                let path = file.path()?;
                (self.reader.content(&path).ok()?, format!("(from {})", path.display()))
            }
            None => {
                let Expanded { real, shown, .. } = self.expanded()?;
                (real, shown)
            }
        };
        Some(if self.reader.view == View::Real { real } else { shown })
    }

    /// As [`secret`](Self::secret), of what clients never get: neither is its file served.
    pub(super) fn own_secret(self) -> Option<String> {
        self.keep_back();
        self.secret()
    }

    /// The file of a secret is not served.
    pub(super) fn keep_back(self) {
        let file = self.table().and_then(|table| table.entry("file"));
        self.reader.kept_back.borrow_mut().extend(file.and_then(Node::path));
    }

    pub(super) fn path(self) -> Option<PathBuf> {
        let text = self.text().filter(|text| !text.is_empty())?;
        Some(self.reader.resolve(self.at.file, &text))
    }

    pub(super) fn bool(self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            DeValue::String(_) => self.text()?.parse().ok(),
            _ => None,
        }
    }

    pub(super) fn count(self) -> Option<u64> {
        match self.value {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(_) => {
                let text = self.text()?;
                let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                is_digits.then(|| text.parse().ok()).flatten()
            }
            _ => None,
        }
    }

    /// A number that is not negative.
    pub(super) fn number(self) -> Option<f64> {
        let number: f64 = match self.value {
            DeValue::Float(number) => number.as_str().parse().ok()?,
            DeValue::Integer(_) => self.count()? as f64,
            _ => self.text()?.parse().ok()?,
        };
        (number.is_finite() && number >= 0.0).then_some(number)
    }

    pub(super) fn time(self) -> Option<Duration> {
        parse_duration(&self.text()?)
    }

    pub(super) fn size(self) -> Option<u64> {
        match self.value {
            DeValue::Integer(_) => self.count(),
            _ => parse_size(&self.text()?),
        }
    }

    pub(super) fn byte_rate(self) -> Option<u64> {
        parse_byte_rate(&self.text()?)
    }

    pub(super) fn table(self) -> Option<Table<'d>> {
        match self.value {
            DeValue::Table(entries) => Some(Table { reader: self.reader, at: self.at, entries }),
            _ => None,
        }
    }

    /// The elements of a list; a value alone is one.
    pub(super) fn list(self) -> Vec<Node<'d>> {
        match self.value {
            DeValue::Array(values) => values
                .iter()
                .map(|value| Node {
                    reader: self.reader,
                    at: At::new(self.at.file, value.span()),
                    value: value.get_ref(),
                })
                .collect(),
            _ => vec![self],
        }
    }

    /// The texts of a list.
    pub(super) fn texts(self) -> Vec<String> {
        self.list().into_iter().filter_map(Node::text).collect()
    }

    pub(super) fn is_list(self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }
}

impl<'d> Table<'d> {
    pub(super) fn entry(self, key: &str) -> Option<Node<'d>> {
        let value = self.entries.get(key)?;
        let at = At::new(self.at.file, value.span());
        Some(Node { reader: self.reader, at, value: value.get_ref() })
    }

    /// The place of the key, or of the table.
    pub(super) fn key_at(self, key: &str) -> At {
        let found = self.entries.iter().find(|(known, _)| known.get_ref() == key);
        found.map_or(self.at, |(known, _)| At::new(self.at.file, known.span()))
    }

    /// The place of the value, or of the table.
    pub(super) fn value_at(self, key: &str) -> At {
        self.entry(key).map_or(self.at, |node| node.at)
    }

    pub(super) fn has(self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn text(self, key: &str) -> Option<String> {
        self.entry(key)?.text()
    }

    pub(super) fn secret(self, key: &str) -> Option<String> {
        self.entry(key)?.secret()
    }

    pub(super) fn path(self, key: &str) -> Option<PathBuf> {
        self.entry(key)?.path()
    }

    pub(super) fn bool(self, key: &str) -> Option<bool> {
        self.entry(key)?.bool()
    }

    pub(super) fn count(self, key: &str) -> Option<u64> {
        self.entry(key)?.count()
    }

    pub(super) fn number(self, key: &str) -> Option<f64> {
        self.entry(key)?.number()
    }

    pub(super) fn time(self, key: &str) -> Option<Duration> {
        self.entry(key)?.time()
    }

    pub(super) fn size(self, key: &str) -> Option<u64> {
        self.entry(key)?.size()
    }

    pub(super) fn byte_rate(self, key: &str) -> Option<u64> {
        self.entry(key)?.byte_rate()
    }

    pub(super) fn table(self, key: &str) -> Option<Table<'d>> {
        self.entry(key)?.table()
    }

    pub(super) fn list(self, key: &str) -> Vec<Node<'d>> {
        self.entry(key).map(Node::list).unwrap_or_default()
    }

    pub(super) fn texts(self, key: &str) -> Vec<String> {
        self.entry(key).map(Node::texts).unwrap_or_default()
    }

    pub(super) fn paths(self, key: &str) -> Vec<PathBuf> {
        self.list(key).into_iter().filter_map(Node::path).collect()
    }

    /// The entries in the order in which they were written.
    pub(super) fn in_order(self) -> Vec<Named<'d>> {
        let file = self.at.file;
        let named = self.entries.iter().map(|(key, value)| Named {
            name: key.get_ref(),
            key_at: At::new(file, key.span()),
            node: Node { reader: self.reader, at: At::new(file, value.span()), value: value.get_ref() },
        });
        let mut named: Vec<_> = named.collect();
        named.sort_by_key(|entry| entry.key_at.start);
        named
    }
}
