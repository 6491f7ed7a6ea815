//! Mistakes on the command line, each in one line with its cause and the remedy. clap finds them and knows
//! their parts; its own text has several paragraphs, and some of its tips do not fit.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The mistake in one line. `arguments` are those of the process, without its name.
pub(super) fn one_line(error: &clap::Error, arguments: &[OsString]) -> String {
    let text = match error.kind() {
        ErrorKind::InvalidUtf8 => not_text(arguments),
        ErrorKind::MissingRequiredArgument => missing(error),
        ErrorKind::InvalidSubcommand => no_command(error),
        ErrorKind::UnknownArgument => no_flag(error, arguments),
        _ => None,
    };
    let text = text.unwrap_or_else(|| joined(&error.to_string()));
    let source = variable(error, arguments)
        .map_or(String::new(), |name| format!("; it comes from the variable {name}"));
    format!("{text}{source} (see --help)")
}

/// The paragraphs of clap's message as one line, without those that are not about the mistake.
fn joined(text: &str) -> String {
    let said = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let mut parts: Vec<&str> =
        said.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
    // For values that begin with dashes clap knows one remedy, which makes them a directory.
    parts.retain(|line| !line.starts_with("tip: to pass '-"));
    if parts.first().is_some_and(|line| line.ends_with("cannot be used multiple times")) {
        parts.push("give it once");
    }
    if let Some(wrong) = parts.first_mut().filter(|line| line.contains("unexpected value ")) {
        // clap adds what follows to every flag without a value.
        *wrong = wrong.split(" found; ").next().unwrap_or(wrong);
        parts.push("the flag takes no value: write it alone");
    }
    let line = parts.join("; ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// The words of a part of the message.
fn words_of(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(word)) => vec![word.clone()],
        Some(ContextValue::Strings(words)) => words.clone(),
        _ => Vec::new(),
    }
}

/// clap says that there is such an argument; this says which.
fn not_text(arguments: &[OsString]) -> Option<String> {
    let at = arguments.iter().position(|argument| argument.to_str().is_none())?;
    let shown = arguments[at].to_string_lossy();
    let before = at.checked_sub(1).and_then(|at| arguments[at].to_str());
    Some(match before.filter(|word| word.starts_with("--") && !word.contains('=')) {
        Some(flag) => format!("the value of {flag} is not UTF-8: {shown}; write it as UTF-8 text"),
        None => format!("an argument is not UTF-8: {shown}; write it as UTF-8 text"),
    })
}

/// The variable that a wrong value comes from; `None` where its flag was given.
fn variable(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let shown = words_of(error, ContextKind::InvalidArg).pop()?;
    let flag = shown.split([' ', '=', '[']).next()?;
    let name = format!("QUOIT_{}", flag.strip_prefix("--")?.replace('-', "_").to_uppercase());
    let is_given = arguments.iter().any(|word| word.to_str().is_some_and(|word| word.starts_with(flag)));
    let is_of_value = matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
    (is_of_value && !is_given && std::env::var_os(&name).is_some()).then_some(name)
}

/// clap reads `-8080` as the flag `-8`; this shows what was written. Nothing for others, which clap shows.
fn no_flag(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let letter = words_of(error, ContextKind::InvalidArg).pop()?;
    if !letter.starts_with('-') && arguments.first().is_some_and(|command| command == "serve") {
        return Some(format!("unexpected argument '{letter}' found; serve takes one DIR, and --mount more"));
    }
    if !letter.starts_with('-') || letter.starts_with("--") {
        return None;
    }
    let whole = arguments.iter().filter_map(|word| word.to_str()).find(|word| word.starts_with(&letter))?;
    let tip = "a value that begins with - is written --flag=VALUE, a directory ./NAME";
    Some(format!("unexpected argument '{whole}' found; {tip}"))
}

fn missing(error: &clap::Error) -> Option<String> {
    let names = words_of(error, ContextKind::InvalidArg);
    let verb = if names.len() == 1 { "is" } else { "are" };
    if names.is_empty() { None } else { Some(format!("{} {verb} missing", names.join(" and "))) }
}

fn no_command(error: &clap::Error) -> Option<String> {
    let name = words_of(error, ContextKind::InvalidSubcommand).pop()?;
    if Path::new(OsStr::new(&name)).is_dir() {
        return Some(format!("there is no command `{name}`; to serve that directory: quoit serve {name}"));
    }
    let similar = words_of(error, ContextKind::SuggestedSubcommand);
    let tip = match similar.first() {
        Some(similar) => format!("; did you mean {similar}?"),
        None => {
            "; there are serve, proxy, run, check, explain, test, diff, schema, cert, doctor, completions \
             and man"
                .to_owned()
        }
    };
    Some(format!("there is no command `{name}`{tip}"))
}
