//! `loadgen compare`: is head slower than base? Its flags, and its way from them to an exit code. How arms
//! are measured, blocks evaluated and reports written stands in the files beside it.

mod arms;
mod blocks;
mod found;
mod render;
mod scenario;
mod stored;

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use self::arms::Arms;
use self::blocks::Looks;
use self::found::{Comparison, Found, SCHEMA};
use self::scenario::{Deltas, Scenario};
use super::generator::Generator;
use super::process::Interrupt;
use super::words;
use crate::exit::{Exit, Failure};
use crate::result::HostFacts;
use crate::stats::change::{BLOCKS_MAX, BLOCKS_MIN};

/// Compare two servers, or two stored runs.
#[derive(Args, Clone, Debug)]
pub(crate) struct CompareArgs {
    /// Two results of `bench -o json=FILE`: base, then head
    #[arg(num_args = 2, value_names = ["BASE.json", "HEAD.json"])]
    #[arg(conflicts_with_all = ["base_cmd", "scenario"])]
    stored: Vec<PathBuf>,
    /// With stored runs: exit with 1 when head is worse than allowed, with 3 when a run is invalid
    #[arg(long, requires = "stored")]
    gate: bool,
    /// Starts base's server, without a shell; {port} and the scenario's {server} are filled in
    #[arg(long, value_name = "CMD", requires = "scenario", required_unless_present = "stored")]
    base_cmd: Option<String>,
    /// Starts head's server
    #[arg(long, value_name = "CMD", required_unless_present_any = ["stored", "aa"])]
    head_cmd: Option<String>,
    /// Compare base with itself, to measure this machine's noise
    #[arg(long, conflicts_with = "head_cmd", requires = "base_cmd")]
    aa: bool,
    /// JSON file with the runs to make and how much worse head may be
    #[arg(long, value_name = "FILE", requires = "base_cmd")]
    scenario: Option<PathBuf>,
    /// Only this scenario of the file; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// How much worse head may be, before what the file says: cpu=2%,p99=15%
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true, value_parser = deltas)]
    delta: Deltas,
    /// Blocks before the first verdict (7 to 40)
    #[arg(long, value_name = "N", default_value_t = 10)]
    blocks: usize,
    /// Blocks before the last, where the first leaves doubt (7 to 40)
    #[arg(long, value_name = "N", default_value_t = 20)]
    blocks_max: usize,
    /// Seconds of each measured phase
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// Seconds of load before each
    #[arg(long, value_name = "S", default_value_t = 0.5)]
    warmup: f64,
    /// Seed of the orders of blocks and of arrivals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// CPU of the servers [default: the first that this process may use]
    #[arg(long, value_name = "CPU")]
    server_cpu: Option<usize>,
    /// CPUs of the generator [default: the last that this process may use]
    #[arg(long, value_name = "LIST")]
    cpus: Option<String>,
    /// Port of the servers [default: a free one each time]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Seconds that a server may take until it accepts
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    start_timeout: f64,
    /// Reports to write: json=FILE,md=FILE,junit=FILE
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', value_parser = output)]
    output: Vec<Output>,
    /// Measures in place of this program's own `bench`
    #[arg(long, value_name = "CMD", hide = true)]
    bench_cmd: Option<String>,
}

/// A report to write.
#[derive(Clone, Debug)]
struct Output {
    form: Form,
    path: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Form {
    Json,
    Markdown,
    Junit,
}

fn deltas(written: &str) -> Result<Deltas, String> {
    if written.is_empty() { Ok(Deltas::default()) } else { written.parse() }
}

fn output(written: &str) -> Result<Output, String> {
    let (form, path) = written.split_once('=').unwrap_or((written, ""));
    let form = match form {
        "json" => Form::Json,
        "md" => Form::Markdown,
        "junit" => Form::Junit,
        _ => return Err("write json=FILE, md=FILE or junit=FILE".to_string()),
    };
    let path = PathBuf::from(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Said before minutes of measuring, not after.
    if path.file_name().is_none() || path.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(format!("`{}` cannot become a file; does its directory exist?", path.display()));
    }
    Ok(Output { form, path })
}

/// Compares, prints, writes what was asked for.
pub(crate) fn run(args: &CompareArgs) -> Result<Exit, Failure> {
    if let [base, head] = args.stored.as_slice() {
        let (text, exit) = stored::compare(base, head, &args.delta, args.gate)?;
        publish(&text)?;
        return Ok(exit);
    }
    let scenarios = scenarios(args)?;
    let looks = looks(args)?;
    let interrupt = Interrupt::listen()?;
    let mut arms = arms(args, interrupt)?;
    let mut comparison = begin(args, &arms);
    let ended = measure(&scenarios, looks, args.seed, &mut arms, &mut comparison);
    let failure = ended.err();
    comparison.host = arms.host.clone();
    let exit = comparison.verdict(failure.as_ref());
    comparison.exit = exit as u8;
    comparison.failure = failure.map(|failure| failure.to_string());
    let text = render::markdown(&comparison);
    publish(&text)?;
    for output in &args.output {
        write(output, &comparison, &text)?;
    }
    Ok(exit)
}

fn scenarios(args: &CompareArgs) -> Result<Vec<Scenario>, Failure> {
    let path = args.scenario.as_deref().unwrap_or(Path::new(""));
    let place = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("{place} cannot be read: {error}")))?;
    let mut scenarios = scenario::read(&text, &args.delta)
        .map_err(|wrong| Failure::Usage(format!("{place} is no scenario file: {wrong}")))?;
    if let Some(name) = args.only.iter().find(|name| scenarios.iter().all(|s| s.name != **name)) {
        return Err(Failure::Usage(format!("--only: {place} has no scenario `{name}`")));
    }
    scenarios.retain(|scenario| args.only.is_empty() || args.only.contains(&scenario.name));
    Ok(scenarios)
}

fn looks(args: &CompareArgs) -> Result<Looks, Failure> {
    let (first, last) = (args.blocks, args.blocks_max.max(args.blocks));
    for blocks in [args.blocks, args.blocks_max] {
        if !(BLOCKS_MIN..=BLOCKS_MAX).contains(&blocks) {
            return Err(Failure::Usage(format!(
                "{blocks} blocks: with fewer than {BLOCKS_MIN} there is no interval, and more than \
                 {BLOCKS_MAX} are not counted"
            )));
        }
    }
    Ok(Looks { first, last })
}

fn arms(args: &CompareArgs, interrupt: Interrupt) -> Result<Arms, Failure> {
    let cores: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    let lacks =
        || Failure::Usage("server and generator need a CPU each; this process may use one".to_string());
    let server_cpu = args.server_cpu.or(cores.first().copied()).ok_or_else(lacks)?;
    let other = cores.iter().rev().find(|&&cpu| cpu != server_cpu);
    let cpus = match &args.cpus {
        Some(list) if list.split(',').any(|cpu| cpu.trim() == server_cpu.to_string()) => {
            return Err(Failure::Usage(format!("CPU {server_cpu} cannot be server's and generator's")));
        }
        Some(list) => list.clone(),
        None => other.ok_or_else(lacks)?.to_string(),
    };
    let command = |line: &str| match words::split(line) {
        Ok(words) if words.is_empty() => Err(Failure::Usage("a command is empty".to_string())),
        words => words.map_err(Failure::Usage),
    };
    let base_cmd = args.base_cmd.as_deref().unwrap_or_default();
    Ok(Arms {
        generator: Generator::new(args.bench_cmd.as_deref(), Some(cpus), interrupt)?,
        base: command(base_cmd)?,
        head: command(args.head_cmd.as_deref().unwrap_or(base_cmd))?,
        server_cpu,
        port: args.port,
        start_timeout: seconds("--start-timeout", args.start_timeout)?,
        measured: seconds("--seconds", args.seconds)?,
        warmup: seconds("--warmup", args.warmup)?,
        host: HostFacts::default(),
    })
}

/// Up to an hour; `bench` takes whole milliseconds.
fn seconds(flag: &str, value: f64) -> Result<Duration, Failure> {
    if (0.001..=3600.0).contains(&value) || (flag == "--warmup" && value == 0.0) {
        return Ok(Duration::from_secs_f64(value));
    }
    Err(Failure::Usage(format!("{flag} {value}: give seconds above 0, up to 3600")))
}

fn begin(args: &CompareArgs, arms: &Arms) -> Comparison {
    Comparison {
        schema: SCHEMA.to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        command: std::env::args().collect(),
        host: HostFacts::default(),
        base: words::join(&arms.base),
        head: words::join(&arms.head),
        aa: args.aa,
        seed: args.seed,
        seconds: args.seconds,
        scenarios: Vec::new(),
        failure: None,
        exit: 0,
    }
}

/// All scenarios in turn; what was found stays in `comparison` also when this fails.
fn measure(
    scenarios: &[Scenario],
    looks: Looks,
    seed: u64,
    arms: &mut Arms,
    comparison: &mut Comparison,
) -> Result<(), Failure> {
    for (place, scenario) in scenarios.iter().enumerate() {
        let mut found = Found { name: scenario.name.clone(), ..Found::default() };
        let seed = seed.wrapping_add((place as u64) << 32);
        let mut runs = 0;
        let ended = blocks::run(scenario, looks, seed, &mut found, |arm| {
            progress(&format!("{}: run {} ({})", scenario.name, runs + 1, arm.side.name()));
            runs += 1;
            arms.measure(scenario, arm)
        });
        progress("");
        comparison.scenarios.push(found);
        ended?;
    }
    Ok(())
}

/// One line that is written over, on terminals alone.
fn progress(text: &str) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        // A failure to print progress is ignored.
        let _ = write!(terminal, "\r\x1b[K{text}");
        let _ = terminal.flush();
    }
}

/// Standard output, and the step summary of a CI job that has one.
fn publish(text: &str) -> Result<(), Failure> {
    // A closed pipe must not turn a verdict into another.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let file = fs::OpenOptions::new().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()));
    written.map_err(|error| Failure::Usage(format!("GITHUB_STEP_SUMMARY cannot be written: {error}")))
}

/// Beside its place first, so that no partial report is read.
fn write(output: &Output, comparison: &Comparison, markdown: &str) -> Result<(), Failure> {
    let text = match output.form {
        Form::Json => serde_json::to_string_pretty(comparison).expect("it has no maps with odd keys") + "\n",
        Form::Markdown => markdown.to_string(),
        Form::Junit => render::junit(comparison),
    };
    let path = &output.path;
    let mut beside = path.clone().into_os_string();
    beside.push(".part");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        Failure::Usage(format!("{} cannot be written: {error}", path.display()))
    })
}
