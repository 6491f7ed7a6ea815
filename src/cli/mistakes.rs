//! Mistakes on the command line, each in one line with its cause and the remedy. clap finds them and knows
//! their parts; its own text has several paragraphs, and some of its tips do not fit.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args as _, CommandFactory as _};

use super::Cli;
use super::serve::ServeArgs;

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

/// Arguments that are not known. clap reads `-8080` as the flag `-8`; this shows what was written. Nothing
/// for others, which clap shows.
fn no_flag(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let argument = words_of(error, ContextKind::InvalidArg).pop()?;
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let whole = *words.iter().find(|word| word.starts_with(&argument))?;
    let name = whole.split_once('=').map_or(whole, |(name, _)| name);
    let is_served = words.first() == Some(&"serve");
    let tip = if is_flag_of_serve(name) && words.first() == Some(&whole) {
        format!("the command comes first: quoit serve {name}")
    } else if !argument.starts_with('-') {
        let at = words.iter().position(|word| *word == whole)?;
        match at.checked_sub(1).map(|before| words[before]) {
            Some(flag @ ("--hsts" | "--tls-self-signed")) => {
                format!("a value of {flag} is written {flag}={whole}")
            }
            _ if is_served => "serve takes one DIR, and --mount more".to_owned(),
            _ => return None,
        }
    } else if let Some(ours) = is_served.then(|| of_others(name)).flatten() {
        ours.to_owned()
    } else if argument.starts_with("--") {
        return None;
    } else {
        "a value that begins with - is written --flag=VALUE, a directory ./NAME".to_owned()
    };
    Some(format!("unexpected argument '{name}' found; {tip}"))
}

fn is_flag_of_serve(name: &str) -> bool {
    let known = ServeArgs::augment_args(clap::Command::new("serve"));
    name.strip_prefix("--")
        .is_some_and(|name| known.get_arguments().any(|flag| flag.get_long() == Some(name)))
}

/// What flags of other file servers are called here.
fn of_others(flag: &str) -> Option<&'static str> {
    Some(match flag {
        "--port" | "-p" => {
            "the port is part of the address: --listen :PORT, or --listen PORT for this machine alone"
        }
        "--address" | "--addr" | "-a" | "--bind" | "-b" | "--host" | "-H" | "-l" => {
            "the address is --listen ADDR:PORT"
        }
        "--root" | "-r" | "--dir" | "--directory" | "-d" | "--path" => {
            "the directory is written without a flag: quoit serve DIR"
        }
        "--config" | "-c" | "--conf" => "a configuration file is served by quoit run FILE",
        "--browse" | "--index-of" | "--autoindex" | "--listing" => "listings of directories are --list",
        "--single" | "-s" | "--try-files" => "an application that routes in the browser is served by --spa",
        "--cert" | "--certificate" | "--ssl-cert" | "--tls-certificate" => {
            "the certificate is --tls-cert FILE"
        }
        "--key" | "--ssl-key" | "--private-key" => "the key of a certificate is --tls-key FILE",
        "--tls" | "--https" | "--ssl" | "-S" => {
            "HTTPS is --tls-cert FILE, --acme-domain NAMES, or --tls-self-signed while developing"
        }
        "--domain" => "a certificate for a domain is got by --acme-domain NAMES",
        "--cors" => "the field is set by --header 'Access-Control-Allow-Origin: *'",
        "--gzip" | "-g" | "--brotli" | "--compress" | "--compression" => "text is compressed by default",
        "--verbose" | "-v" | "--log" | "--debug" => "requests are shown by --access-log -",
        "--silent" => "nothing is printed with --quiet",
        "--cache" => "caching is told by --cache-control GLOB=VALUE, such as '*.css=max-age=3600'",
        "--threads" | "-j" | "-t" => "the threads are --workers N",
        "--daemon" | "-D" => {
            "a service in the background is the business of systemd: see scripts/quoit.service"
        }
        _ => return None,
    })
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
    if matches!(&*name, "version" | "ver") {
        return Some(format!("there is no command `{name}`; the version is shown by quoit --version"));
    }
    if name == "metrics" {
        return Some(format!(
            "there is no command `{name}`; the administrator's socket and the listener of the key `metrics` \
             answer GET /metrics"
        ));
    }
    let similar = words_of(error, ContextKind::SuggestedSubcommand);
    let tip = match similar.first() {
        Some(similar) => format!("; did you mean {similar}?"),
        None => {
            let commands = Cli::command();
            let names: Vec<_> = commands.get_subcommands().map(clap::Command::get_name).collect();
            format!("; there are {}", names.join(", "))
        }
    };
    Some(format!("there is no command `{name}`{tip}"))
}
