//! Holds a file against the shape of a configuration: unknown keys, values of another kind, variables that
//! are not set. Everything that can be said without knowing what a key is for.

use toml::de::DeValue;

use super::environment::expand;
use super::mistake::{At, Mistake};
use super::nearest::nearest;
use super::node::{Node, Reader, Table};
use super::shape::{Kind, Shape};
use super::units::{write_duration, write_size};

/// Reports every mistake of a table.
pub(super) fn validate_table(table: Table<'_>, shape: &'static Shape) {
    for entry in table.in_order() {
        match shape.key(entry.name) {
            Some(key) => validate(entry.node, &key.kind, entry.name),
            None => table.reader.report(unknown(entry.name, entry.key_at, shape)),
        }
    }
    for key in shape.keys.iter().filter(|key| key.is_required && !table.has(key.name)) {
        let title = format!("{} has no `{}`", shape.what, key.name);
        table.reader.report(Mistake::new(table.at, title).help(format!("add `{}`: {}", key.name, key.doc)));
    }
    if shape.is_choice && table.entries.len() != 1 {
        let named: Vec<_> = table.in_order().iter().map(|entry| format!("`{}`", entry.name)).collect();
        let label = match &named[..] {
            [] => format!("write one of {}", list(shape.names())),
            named => format!("{} are {}", named.join(" and "), named.len()),
        };
        let title = format!("{} is one key with its options", shape.what);
        table.reader.report(Mistake::new(table.at, title).label(label).help("give each its own { … }"));
    }
}

fn unknown(name: &str, at: At, shape: &'static Shape) -> Mistake {
    let mistake = Mistake::new(at, format!("unknown key `{name}` in {}", shape.what));
    let mistake = match nearest(name, shape.names()) {
        Some(known) => mistake.label(format!("did you mean `{known}`?")),
        None => mistake.label("no such key"),
    };
    mistake.help(format!("the keys here are {}", list(shape.names())))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Reports every mistake of a value. `name` is its key.
pub(super) fn validate(node: Node<'_>, kind: &'static Kind, name: &str) {
    match kind {
        Kind::List(of) => node.list().into_iter().for_each(|element| validate(element, of, name)),
        Kind::Table(shape) => match node.table() {
            Some(table) => validate_table(table, shape),
            None => mismatch(node, kind, name),
        },
        Kind::Map(_, of) => match node.table() {
            Some(table) => {
                table.in_order().into_iter().for_each(|entry| validate(entry.node, of, entry.name))
            }
            None => mismatch(node, kind, name),
        },
        Kind::Either(kinds) => either(node, kind, kinds, name),
        Kind::Value if matches!(node.value, DeValue::Table(_)) => secret_file(node),
        _ => scalar(node, kind, name),
    }
}

/// The kinds differ in the types of their values, or in their texts: one of them fits, or none does.
fn either(node: Node<'_>, kind: &'static Kind, kinds: &'static [Kind], name: &str) {
    if let (Some(text), Some(shape)) = (node.text(), named_choice(kinds)) {
        return alternative(node, &text, kinds, shape, name);
    }
    if kinds.iter().any(|kind| matches!(kind, Kind::Value) && node.raw().is_none() && takes(kind, node.value))
    {
        return secret_file(node);
    }
    let candidates: Vec<&Kind> = kinds.iter().filter(|kind| takes(kind, node.value)).collect();
    match candidates[..] {
        [] => mismatch(node, kind, name),
        [only] => validate(node, only, name),
        _ => {
            let reader = node.reader;
            let before = reader.mistakes.take();
            let mut found = Vec::new();
            let fits = candidates.iter().any(|kind| {
                validate(node, kind, name);
                found = reader.mistakes.take();
                found.is_empty()
            });
            reader.mistakes.replace(before);
            match node.raw().map(|raw| expand(raw, reader.environment)) {
                _ if fits => {}
                // A variable that is not set is no mistake of the kind.
                Some(Err(_)) => reader.mistakes.borrow_mut().extend(found),
                _ => mismatch(node, kind, name),
            }
        }
    }
}

/// The alternatives that have options, of which some can be written as a word alone.
fn named_choice(kinds: &[Kind]) -> Option<&'static Shape> {
    kinds.iter().find_map(|kind| match kind {
        Kind::Table(shape) if shape.is_choice => Some(*shape),
        _ => None,
    })
}

/// An alternative without options.
fn alternative(node: Node<'_>, text: &str, kinds: &'static [Kind], shape: &'static Shape, name: &str) {
    let plain = kinds.iter().flat_map(|kind| match kind {
        Kind::Choice(words) => *words,
        _ => &[],
    });
    let plain: Vec<&str> = plain.copied().collect();
    if plain.contains(&text) {
        return;
    }
    if shape.key(text).is_some() {
        let title = format!("`{text}` has options");
        return node.reader.report(Mistake::new(node.at, title).help(format!("write {{ {text} = … }}")));
    }
    let with_options = shape.names().filter(|name| !plain.contains(name));
    let known: Vec<&str> = plain.iter().copied().chain(with_options).collect();
    let mistake = Mistake::new(node.at, format!("there is no `{text}` for `{name}`"));
    let mistake = match nearest(text, known.iter().copied()) {
        Some(known) => mistake.label(format!("did you mean `{known}`?")),
        None => mistake.label("no such word"),
    };
    node.reader.report(mistake.help(format!("there are {}", list(known.iter().copied()))));
}

/// Whether the kind is the one that a value of this type is meant for.
fn takes(kind: &Kind, value: &DeValue<'_>) -> bool {
    match (kind, value) {
        (Kind::List(of), DeValue::Array(values)) => {
            values.is_empty() || values.iter().any(|value| takes(of, value.get_ref()))
        }
        (Kind::List(of), value) => takes(of, value),
        (Kind::Either(kinds), value) => kinds.iter().any(|kind| takes(kind, value)),
        (Kind::Table(_) | Kind::Map(..), DeValue::Table(_)) => true,
        (Kind::Value, DeValue::Table(table)) => table.len() == 1 && table.contains_key("file"),
        (Kind::Bool, DeValue::Boolean(_)) => true,
        (Kind::Count(..) | Kind::Size(..) | Kind::Number, DeValue::Integer(_)) => true,
        (Kind::Number, DeValue::Float(_)) => true,
        (Kind::Bool | Kind::Table(_) | Kind::Map(..), _) => false,
        (_, DeValue::String(_)) => true,
        _ => false,
    }
}

/// A value that is no table and no list.
fn scalar(node: Node<'_>, kind: &'static Kind, name: &str) {
    let reader = node.reader;
    if let Some(raw) = node.raw() {
        match expand(raw, reader.environment) {
            Ok(expanded) => reader.hide(&expanded.values),
            Err((problem, _)) => {
                return reader.report(Mistake::new(node.at, problem.to_string()).help(problem.remedy()));
            }
        }
    }
    let is_right = match kind {
        Kind::Bool => node.bool().is_some(),
        Kind::Count(min, max) => node.count().is_some_and(|count| (*min..=*max).contains(&count)),
        Kind::Number => node.number().is_some(),
        Kind::Time(min, max) => node.time().is_some_and(|time| (*min..=*max).contains(&time)),
        Kind::Size(min, max) => node.size().is_some_and(|size| (*min..=*max).contains(&size)),
        Kind::ByteRate => node.byte_rate().is_some(),
        Kind::Text | Kind::Value => node.text().is_some(),
        Kind::Path => node.path().is_some_and(|path| !path.as_os_str().as_encoded_bytes().contains(&0)),
        Kind::Choice(words) => return choice(node, words, name),
        Kind::List(_) | Kind::Table(_) | Kind::Map(..) | Kind::Either(_) => true,
    };
    if !is_right {
        mismatch(node, kind, name);
    }
}

fn choice(node: Node<'_>, words: &'static [&'static str], name: &str) {
    let Some(text) = node.text() else { return mismatch_of(node, &words_of(words), name) };
    if words.contains(&&*text) {
        return;
    }
    let title = format!("`{name}` is {}", words_of(words));
    let mistake = Mistake::new(node.at, title);
    node.reader.report(match nearest(&text, words.iter().copied()) {
        Some(known) => mistake.label(format!("did you mean \"{known}\"?")),
        None => mistake.label("another word"),
    });
}

fn words_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match &quoted[..] {
        [one] => one.clone(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
        [] => String::new(),
    }
}

fn secret_file(node: Node<'_>) {
    let Some(table) = node.table() else { return };
    let file = table.entry("file").filter(|_| table.entries.len() == 1);
    let Some(file) = file else {
        let title = "a text from a file is written { file = \"…\" }, with nothing else";
        return node.reader.report(Mistake::new(node.at, title));
    };
    scalar(file, &Kind::Path, "file");
    let Some(path) = file.path() else { return };
    match node.reader.content(&path) {
        Ok(text) => node.reader.hide(&[text]),
        Err(error) => {
            let title = format!("cannot read {}: {error}", path.display());
            file.report(title, "name a small text file that this user may read");
        }
    }
}

fn mismatch(node: Node<'_>, kind: &'static Kind, name: &str) {
    mismatch_of(node, &expected(kind), name);
}

fn mismatch_of(node: Node<'_>, expected: &str, name: &str) {
    let mistake = Mistake::new(node.at, format!("`{name}` is {expected}"));
    let mistake = mistake.label(format!("this is {}", found(node)));
    node.reader.report(mistake);
}

/// What the value is, for messages. Values from outside are not shown.
fn found(node: Node<'_>) -> String {
    match node.value {
        DeValue::String(text) if text.is_empty() => "an empty text".to_owned(),
        DeValue::String(text) if text.contains("${") || text.len() > 60 => "another text".to_owned(),
        DeValue::String(text) => format!("{:?}", &**text),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// What stands under a key of this kind, for messages.
fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Count(0, u64::MAX) => "a whole number, such as 4".to_owned(),
        Kind::Count(min, u64::MAX) => format!("a whole number, at least {min}"),
        Kind::Count(min, max) => format!("a whole number from {min} to {max}"),
        Kind::Number => "a number such as 1.9, not negative".to_owned(),
        Kind::Time(min, max) => {
            let above = if min.is_zero() { "" } else { " above 0" };
            format!("a time{above} such as \"30s\", \"250ms\" or \"1h\", at most {}", write_duration(*max))
        }
        Kind::Size(0, _) => "a number of bytes such as 8192, \"16 KiB\" or \"64 MiB\"".to_owned(),
        Kind::Size(min, max) => {
            format!("a number of bytes from \"{}\" to \"{}\"", write_size(*min), write_size(*max))
        }
        Kind::ByteRate => "a rate such as \"240 B/s\" or \"1 MiB/s\"".to_owned(),
        Kind::Text => "a text in quotes".to_owned(),
        Kind::Value => "a text in quotes, or { file = \"…\" }".to_owned(),
        Kind::Path => "a path in quotes".to_owned(),
        Kind::Choice(words) => words_of(words),
        Kind::List(of) => format!("{}, or a list of such", expected(of)),
        Kind::Table(shape) => format!("{}: a table with {}", shape.what, list(shape.names())),
        Kind::Map(keys, of) => format!("a table whose keys are {keys}, each with {}", expected(of)),
        Kind::Either(kinds) => kinds.iter().map(expected).collect::<Vec<_>>().join("; or "),
    }
}

/// Reports what the parser of TOML found.
pub(super) fn syntax(reader: &Reader<'_>, file: usize, errors: &[toml::de::Error]) {
    for error in errors {
        let at = At::new(file, error.span().unwrap_or(0..0));
        reader.report(Mistake::new(at, format!("this is no TOML: {}", error.message())));
    }
}
