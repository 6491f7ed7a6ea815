//! What a configuration may contain, as data: the keys of each table and what stands under them. Checked
//! against files by `validate`, and printed for editors by `schema`. Knows no particular key.

use std::time::Duration;

/// A kind of value.
#[derive(Debug)]
pub(super) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number in this range.
    Count(u64, u64),
    /// A number that is not negative, with or without a fraction.
    Number,
    /// A time in this range.
    Time(Duration, Duration),
    /// A number of bytes in this range.
    Size(u64, u64),
    /// Bytes per second.
    ByteRate,
    /// A text that is no secret: a name, an address, a pattern. `$` stands for variables.
    Text,
    /// A text that may be a secret: a field's value, a password. Also `{ file = "…" }`, which is read.
    /// Commands print where it comes from, and not the text, unless it stands in the file itself.
    Value,
    /// A file or directory, relative to the directory of the file that names it.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list, or one value alone.
    List(&'static Kind),
    /// A table with these keys.
    Table(&'static Shape),
    /// A table whose keys are names of the user's: what the keys are, and what stands under them.
    Map(&'static str, &'static Kind),
    /// One of these, which differ in their types.
    Either(&'static [Kind]),
}

/// A table.
#[derive(Debug)]
pub(super) struct Shape {
    /// What it is, with its article: `a route`.
    pub(super) what: &'static str,
    pub(super) keys: &'static [Key],
    /// Whether exactly one of its keys is given: the name of an alternative with its options.
    pub(super) is_choice: bool,
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// For the schema: what it does, its default.
    pub(super) doc: &'static str,
    pub(super) is_required: bool,
}

impl Key {
    pub(super) const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, doc, is_required: false }
    }

    pub(super) const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, doc, is_required: true }
    }
}

impl Shape {
    pub(super) const fn new(what: &'static str, keys: &'static [Key]) -> Self {
        Self { what, keys, is_choice: false }
    }

    pub(super) const fn choice(what: &'static str, keys: &'static [Key]) -> Self {
        Self { what, keys, is_choice: true }
    }

    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.keys.iter().map(|key| key.name)
    }
}

/// A week: no wait of a server is longer, and the ring's clock need not represent it.
pub(super) const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest time at all, such as that of HSTS.
pub(super) const CENTURY: Duration = Duration::from_secs(36_500 * 24 * 3600);
/// The shortest time that is not none.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// A time of at least a millisecond and at most a week.
pub(super) const WAIT: Kind = Kind::Time(TICK, WEEK);
/// As `WAIT`, or 0.
pub(super) const WAIT_OR_NONE: Kind = Kind::Time(Duration::ZERO, WEEK);
/// Any number of bytes.
pub(super) const BYTES: Kind = Kind::Size(0, i64::MAX as u64);
/// A list of texts, or one.
pub(super) const TEXTS: Kind = Kind::List(&Kind::Text);
/// A list of paths, or one.
pub(super) const PATHS: Kind = Kind::List(&Kind::Path);
