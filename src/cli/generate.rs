//! `quoit completions` and `quoit man`: generated from the command line's definition.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, Command, ValueEnum};

use crate::observe::log;

/// A supported shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    /// For ~/.local/share/bash-completion/completions/quoit
    Bash,
    /// For a file _quoit in a directory of $fpath
    Zsh,
    /// For ~/.config/fish/completions/quoit.fish
    Fish,
}

#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// The page of one command, such as serve; without it, the page of quoit
    command: Option<String>,
}

/// Prints completions.
pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> ExitCode {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "quoit", &mut script);
    print(&script)
}

/// Prints a page for man(1).
pub(super) fn man(args: &ManArgs, mut command: Command) -> ExitCode {
    // Gives the subcommands their full names.
    command.build();
    let page = match &args.command {
        None => command,
        Some(name) => match command.find_subcommand(name) {
            Some(found) => found.clone(),
            None => {
                log::line(format_args!("there is no command {name}; see quoit --help"));
                return ExitCode::FAILURE;
            }
        },
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).expect("a Vec takes everything");
    print(&text)
}

/// A closed pipe, such as to head(1), is not an error.
pub(super) fn print(text: &[u8]) -> ExitCode {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            log::line(format_args!("standard output cannot be written: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
