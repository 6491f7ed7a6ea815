//! `quoit explain METHOD URL`: which parts of a configuration handle a request, and why others do not.

use std::process::ExitCode;

use clap::Args;

use super::config_args::ConfigArgs;
use crate::config::Depth;
use crate::observe::log;

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// The method, such as GET
    method: String,

    /// The URL, such as https://example.com/path, or a path alone
    url: String,

    /// A field of the request, such as 'Host: example.com'; may be given several times
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,

    #[command(flatten)]
    config: ConfigArgs,
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE, such as 'Host: example.com'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    let config = match args.config.load(Depth::Structure) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let headers: Vec<(&str, &str)> = args.header.iter().map(|(name, value)| (&**name, &**value)).collect();
    match config.shown.explain(&args.method, &args.url, &headers) {
        Ok(explanation) => {
            say!("{explanation}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            log::error(&error);
            ExitCode::FAILURE
        }
    }
}
