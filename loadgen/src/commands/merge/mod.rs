//! `loadgen merge`: one result of several, from machines that loaded a target at once or from runs in turn.
//! Checks that they did the same; the adding itself is in `combine`.

mod combine;

use std::path::PathBuf;

use self::combine::How;
use super::report::read;
use crate::report::{json, outputs};
use crate::result::RunResult;

/// Add the histograms and counts of several runs
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The result to write, which must not exist yet; `-` is standard output
    out: PathBuf,
    /// Results of `loadgen bench -o json=FILE` or `loadgen merge`
    #[arg(required = true, num_args = 2.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The runs were made at once, by several machines or processes: their rates add up
    #[arg(long, conflicts_with = "in_turn")]
    at_once: bool,
    /// The runs were made one after another: their times add up
    #[arg(long)]
    in_turn: bool,
}

/// Merges the runs. The error is one line with cause and remedy.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let to_stdout = args.out.as_os_str() == "-";
    if !to_stdout && args.out.try_exists().is_ok_and(|exists| exists) {
        let out = &args.out;
        return Err(format!(
            "{out:?} exists, and merge overwrites nothing: the first name is that of a new file"
        ));
    }
    let mut runs = args.files.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    for (run, file) in runs.iter().zip(&args.files).skip(1) {
        let differences = combine::differences(&runs[0], run);
        if !differences.is_empty() {
            let (first, differences) = (&args.files[0], differences.join("; "));
            return Err(format!("{first:?} and {file:?} did different things: {differences}; measure alike"));
        }
    }
    if let Some((first, second)) = combine::same(&runs) {
        let (first, second) = (&args.files[first], &args.files[second]);
        return Err(format!(
            "{first:?} and {second:?} hold the same run, which counts once: name each run once"
        ));
    }
    let how = match (args.at_once, args.in_turn) {
        (true, _) => How::AtOnce,
        (_, true) => How::InTurn,
        _ => combine::how(&runs).ok_or(
            "some of these runs overlap in time and others do not: say --at-once or --in-turn, or merge \
             in steps",
        )?,
    };
    runs.sort_by_key(|run| run.started_unix_ms);
    let merged = runs.into_iter().reduce(|sum, run| combine::merge(&sum, &run, how));
    let merged = merged.expect("clap asks for two files");
    write(&merged, args, to_stdout)?;
    let ran = match how {
        How::AtOnce => "ran at once: rates add up",
        How::InTurn => "ran in turn: times add up",
    };
    eprintln!("loadgen: merged {} runs, which {ran}", args.files.len());
    Ok(())
}

fn write(merged: &RunResult, args: &Args, to_stdout: bool) -> Result<(), String> {
    let text = json::text(merged);
    if to_stdout { outputs::write_stdout(&text) } else { outputs::write_file(&args.out, &text) }
}
