//! Mistakes in flags as one line with cause and remedy, where clap writes a paragraph and the usage.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The mistake on one line; `None` for what is none: help and version.
pub(crate) fn one_line(error: &clap::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        _ => {}
    }
    if let Some(word) = wrong_command(error) {
        let remedy = if word.contains("://") {
            format!("write loadgen bench {word}")
        } else {
            "there are bench, capacity, compare, merge, report and selftest".to_owned()
        };
        return Some(format!("`{word}` is no command; {remedy}"));
    }
    let text = error.to_string();
    // What comes before the usage, without its layout.
    let said = text.split("\n\nUsage:").next().unwrap_or_default();
    let said = said.split("\n\nFor more information").next().unwrap_or_default();
    // clap's advice on how to pass a flag as a value never applies: no value here begins with a dash.
    let is_told = |line: &&str| !line.is_empty() && !line.starts_with("tip: to pass ");
    let parts = said.lines().map(str::trim).filter(is_told);
    let parts: Vec<&str> = parts
        .map(|line| line.strip_prefix("error: ").or_else(|| line.strip_prefix("tip: ")).unwrap_or(line))
        .collect();
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or("loadgen");
    // `loadgen bench`, without what follows.
    let command: Vec<&str> =
        usage.split_whitespace().take_while(|word| word.starts_with(char::is_lowercase)).collect();
    let command = if command.is_empty() { "loadgen".to_owned() } else { command.join(" ") };
    let joined = parts.join("; ").replace(":; ", ": ");
    // The program's own remedies stand behind the cause already.
    let remedy = match error.kind() {
        ErrorKind::ValueValidation => String::new(),
        _ => format!("; see {command} --help"),
    };
    Some(format!("{joined}{remedy}"))
}

/// A word where a command should be.
fn wrong_command(error: &clap::Error) -> Option<&str> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => Some(word),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::*;

    fn told(line: &str) -> Option<String> {
        let bench = Command::new("bench")
            .arg(Arg::new("url").required(true).action(ArgAction::Append))
            .arg(Arg::new("rate").long("rate").value_parser(crate::plan::units::rate))
            .arg(Arg::new("expect").long("expect").value_parser(["a", "b"]));
        let loadgen = Command::new("loadgen").version("1").subcommand(bench).arg_required_else_help(true);
        one_line(&loadgen.try_get_matches_from(line.split_whitespace()).unwrap_err())
    }

    #[test]
    fn mistakes_are_one_line_with_a_remedy() {
        for (line, wanted) in [
            ("loadgen http://h/", "`http://h/` is no command; write loadgen bench http://h/"),
            (
                "loadgen bnch",
                "`bnch` is no command; there are bench, capacity, compare, merge, report and selftest",
            ),
            (
                "loadgen bench",
                "the following required arguments were not provided: <url>...; see loadgen bench --help",
            ),
        ] {
            assert_eq!(told(line).as_deref(), Some(wanted));
        }
        for (line, parts) in [
            (
                "loadgen bench http://h/ --foo",
                ["unexpected argument '--foo' found", "see loadgen bench --help"],
            ),
            ("loadgen bench http://h/ --rat 5", ["'--rat'", "'--rate'"]),
            ("loadgen bench http://h/ --rate x", ["'x'", "write 0.5, 1000 or 20k"]),
            ("loadgen bench http://h/ --expect c", ["'c'", "[possible values: a, b]"]),
        ] {
            let told = told(line).unwrap();
            assert!(parts.iter().all(|part| told.contains(part)) && told.lines().count() == 1, "{told}");
            assert!(!told.contains("to pass"), "{told}");
        }
        assert_eq!((told("loadgen"), told("loadgen --help"), told("loadgen --version")), (None, None, None));
    }
}
