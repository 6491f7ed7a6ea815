//! Command lines as reports may show them: without the values of fields that are known to hold secrets.
//! Bodies, queries and files are not looked into.

use super::request::parse_field;

/// In the place of a value.
const HIDDEN: &str = "***";

/// Parts of names, in small letters, whose fields are hidden: `Authorization`, `Proxy-Authorization`,
/// `X-Auth-Token`, `Cookie`, `X-Api-Key` and the like. One name too many costs a word typed again.
const TELLING: [&str; 7] = ["auth", "cookie", "key", "token", "secret", "password", "credential"];

/// The arguments of a command, with `***` for the values of secret fields given by `-H` or `--header`.
pub(crate) fn hidden(arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut is_field = false;
    let hide_next = |argument: String| {
        let follows = std::mem::replace(&mut is_field, matches!(&*argument, "-H" | "--header"));
        // As clap takes them: `-H FIELD`, `-HFIELD`, `-H=FIELD`, `--header FIELD`, `--header=FIELD`.
        let flags = ["--header=", "-H=", "-H"];
        match flags.iter().find(|flag| argument.starts_with(**flag)) {
            _ if follows => {
                is_field = false;
                hide_field(argument)
            }
            Some(flag) if argument.len() > flag.len() => {
                format!("{flag}{}", hide_field(argument[flag.len()..].to_owned()))
            }
            _ => argument,
        }
    };
    arguments.into_iter().map(hide_next).collect()
}

fn hide_field(text: String) -> String {
    match parse_field(&text) {
        Ok((name, _)) if is_telling(&name) => format!("{name}: {HIDDEN}"),
        _ => text,
    }
}

fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide(arguments: &[&str]) -> Vec<String> {
        hidden(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn secrets_are_hidden_however_they_are_given() {
        for name in ["Authorization", "proxy-authorization", "COOKIE", "X-Api-Key", "apikey", "X-Auth-Token"]
        {
            let field = format!("{name}:hush");
            let told = format!("{name}: ***");
            assert_eq!(hide(&["-H", &field, "-c", "1"]), ["-H", &told, "-c", "1"]);
            assert_eq!(hide(&["--header", &field]), ["--header", &told]);
            for flag in ["-H", "-H=", "--header="] {
                assert_eq!(hide(&[&format!("{flag}{field}")]), [format!("{flag}{told}")]);
            }
        }
    }

    #[test]
    fn all_else_stays() {
        let line = ["bench", "-H", "Accept: a", "-HX: y", "-b", "Cookie: in a body", "--header", "-H", "-H"];
        assert_eq!(hide(&line), line);
        assert_eq!(hide(&["-H", "no field", "Cookie: a"]), ["-H", "no field", "Cookie: a"]);
    }
}
