//! `loadgen report`: renders stored runs again. Measures and evaluates nothing.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::report::outputs::{self, Outputs};
use crate::report::{json, terminal};
use crate::result::RunResult;

/// Render stored runs again, on the terminal or as files
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Results of `loadgen bench -o json=FILE` or `loadgen merge`; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write reports: json, hlog, hgrm, csv, md and html, as KIND=FILE,…; `-` is standard output
    #[arg(short, long, value_name = "KIND=FILE", value_parser = outputs::parse)]
    output: Option<Outputs>,
}

/// Reports the runs. The error is one line with cause and remedy.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    if args.output.is_some() && args.files.len() > 1 {
        return Err(
            "-o takes one FILE at a time: render them one by one, or `loadgen merge` them".to_string()
        );
    }
    let results = args.files.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    if let Some(outputs) = &args.output {
        outputs.write(&results[0])?;
        if outputs.take_stdout() {
            return Ok(());
        }
    }
    for (place, result) in results.iter().enumerate() {
        let head = match (place, args.files.len()) {
            (_, 1) => String::new(),
            (0, _) => format!("{}\n", args.files[place].display()),
            _ => format!("\n{}\n", args.files[place].display()),
        };
        outputs::write_stdout(&head)?;
        match terminal::write(result, &mut io::stdout().lock()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(format!("cannot write to standard output: {error}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A stored run. The error names the file.
pub(crate) fn read(file: &Path) -> Result<RunResult, String> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => io::stdin().lock().read_to_string(&mut text).map(|_| ()),
        _ => fs::read_to_string(file).map(|read| text = read),
    };
    read.map_err(|error| format!("cannot read {file:?}: {error}"))?;
    json::read(&text).map_err(|error| format!("{file:?}: {error}"))
}
