//! `quoit test`: runs the tests of a configuration in process, without sockets.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::config_args::{ConfigArgs, mistaken};
use crate::config::{Config, Depth, Environment};
use crate::observe::log;

#[derive(Args, Debug)]
pub(super) struct TestArgs {
    /// Files with further tests
    files: Vec<PathBuf>,

    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &TestArgs) -> ExitCode {
    let config = match args.config.load(Depth::Structure) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let mut tests = config.tests.clone();
    for file in &args.files {
        match Config::load_tests(file, &Environment::process()) {
            Ok(more) => tests.extend(more),
            Err(error) => return mistaken(&error),
        }
    }
    if tests.is_empty() {
        log::line(format_args!("there are no tests; write [[test]] with request and expect"));
        return ExitCode::FAILURE;
    }
    let mut failed = 0;
    for test in &tests {
        let differences = test.run(&config);
        if differences.is_empty() {
            say!("ok      {}", test.name);
            continue;
        }
        failed += 1;
        say!("FAILED  {} ({})", test.name, test.place);
        for difference in differences {
            say!("        {:<10} expected {}", difference.what, difference.expected);
            say!("        {:<10} found    {}", "", difference.found);
        }
    }
    let plural = if tests.len() == 1 { "" } else { "s" };
    say!("{} test{plural}, {failed} failed", tests.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
