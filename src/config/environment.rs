//! Values from outside of the file: `${NAME}` in a text, expanded after parsing, so that a value is a value
//! and never syntax.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Where the variables of `${NAME}` come from.
#[derive(Clone)]
pub struct Environment(Source);

#[derive(Clone)]
enum Source {
    Process,
    Given(Arc<BTreeMap<String, String>>),
}

/// Without the values, which may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Process => "Environment(process)",
            Source::Given(_) => "Environment(given)",
        })
    }
}

impl Environment {
    /// The variables of this process.
    pub fn process() -> Self {
        Self(Source::Process)
    }

    /// These variables, for tests.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self(Source::Given(Arc::new(owned.collect())))
    }

    fn value(&self, name: &str) -> Result<String, ExpandProblem> {
        let unset = || ExpandProblem::Unset(name.to_owned());
        match &self.0 {
            Source::Given(known) => known.get(name).cloned().ok_or_else(unset),
            Source::Process => {
                let value = std::env::var_os(name).ok_or_else(unset)?;
                value.into_string().map_err(|_| ExpandProblem::NotText(name.to_owned()))
            }
        }
    }
}

/// Why a text cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpandProblem {
    /// The variable is not set.
    Unset(String),
    /// Its value is not UTF-8.
    NotText(String),
    /// `${` without `}`.
    Open,
    /// What stands between the braces is no name.
    BadName(String),
}

impl fmt::Display for ExpandProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset(name) => write!(f, "the variable {name} is not set"),
            Self::NotText(name) => write!(f, "the value of the variable {name} is not UTF-8"),
            Self::Open => f.write_str("`${` has no `}`"),
            Self::BadName(name) => write!(f, "`{name}` is no name of a variable"),
        }
    }
}

impl ExpandProblem {
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Unset(name) => {
                format!("set it before the start, or give it a default: ${{{name}:-value}}")
            }
            Self::NotText(_) => "set it to UTF-8 text".to_owned(),
            Self::Open | Self::BadName(_) => {
                "write ${NAME}, with letters, digits and underscores; a plain `${` is written `$${`"
                    .to_owned()
            }
        }
    }
}

/// A text with its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The value.
    pub(super) real: String,
    /// The same with the names of the variables in place of their values.
    pub(super) shown: String,
    /// The values that were put in.
    pub(super) values: Vec<String>,
}

/// Replaces `${NAME}` by the variable's value, `${NAME:-value}` by `value` where it is not set, and `$$` by
/// `$`. Another `$` stands for itself, and values are not expanded again.
///
/// # Errors
/// The problem, with its place in the text.
pub(super) fn expand(
    text: &str,
    environment: &Environment,
) -> Result<Expanded, (ExpandProblem, Range<usize>)> {
    let mut expanded = Expanded { real: String::new(), shown: String::new(), values: Vec::new() };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        expanded.both(before);
        let offset = text.len() - from.len();
        rest = if let Some(after) = from.strip_prefix("$$") {
            expanded.both("$");
            after
        } else if let Some(after) = from.strip_prefix("${") {
            let end = after.find('}').ok_or((ExpandProblem::Open, offset..text.len()))?;
            let place = offset..offset + end + 3;
            let (name, default) = match after[..end].split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (&after[..end], None),
            };
            let value = variable(name, default, environment).map_err(|problem| (problem, place))?;
            expanded.real.push_str(&value);
            expanded.shown.push_str(&from[..end + 3]);
            expanded.values.push(value);
            &after[end + 1..]
        } else {
            expanded.both("$");
            &from[1..]
        };
    }
    expanded.both(rest);
    Ok(expanded)
}

fn variable(name: &str, default: Option<&str>, environment: &Environment) -> Result<String, ExpandProblem> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(is_name) {
        return Err(ExpandProblem::BadName(name.to_owned()));
    }
    match (environment.value(name), default) {
        (Err(ExpandProblem::Unset(_)), Some(default)) => Ok(default.to_owned()),
        (value, _) => value,
    }
}

impl Expanded {
    fn both(&mut self, text: &str) {
        self.real.push_str(text);
        self.shown.push_str(text);
    }
}

/// A text that expands to this one.
pub(super) fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment() -> Environment {
        Environment::of([("A", "a\"b\n#]${B}$"), ("E", ""), ("B", "never")])
    }

    #[test]
    fn variables_become_values_and_nothing_else() {
        let real = |text: &str| expand(text, &environment()).unwrap().real;
        for (text, value) in [
            ("plain", "plain"),
            ("x${A}y", "xa\"b\n#]${B}$y"),
            ("[${E}]", "[]"),
            ("${NO:-d}", "d"),
            ("${NO:-}", ""),
            ("${E:-d}", ""),
            ("$$", "$"),
            ("$${A}", "${A}"),
            ("$5 and $", "$5 and $"),
            ("$2y$10$x", "$2y$10$x"),
        ] {
            assert_eq!(real(text), value, "{text}");
        }
        let shown = expand("x${A}-${NO:-d}$$", &environment()).unwrap().shown;
        assert_eq!(shown, "x${A}-${NO:-d}$");
    }

    #[test]
    fn problems_have_places() {
        for (text, problem, place) in [
            ("x${NO}", ExpandProblem::Unset("NO".into()), 1..6),
            ("${NO", ExpandProblem::Open, 0..4),
            ("${}", ExpandProblem::BadName(String::new()), 0..3),
            ("${1A}", ExpandProblem::BadName("1A".into()), 0..5),
            ("${a b}", ExpandProblem::BadName("a b".into()), 0..6),
        ] {
            assert_eq!(expand(text, &environment()), Err((problem, place)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_itself(text: String) {
            prop_assert_eq!(expand(&escape(&text), &Environment::of([])).map(|e| e.real), Ok(text));
        }
    }
}
