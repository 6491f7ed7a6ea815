//! A plan from a TOML file: what `quoit run` serves. Every mistake is found at once, each with its file,
//! line, caret, what was probably meant, and the remedy.
//!
//! ```
//! use quoit::config::{Config, Depth, Environment};
//!
//! let text = "listen = \"127.0.0.1:0\"\n\n[[route]]\npath = \"/health\"\nrespond = \"fine\"\n";
//! let config = Config::from_text("quoit.toml", text, &Environment::process(), Depth::Check).unwrap();
//! let explained = config.plan.explain("GET", "/health", &[]).unwrap();
//! assert!(explained.responder.to_string().starts_with("route any /health: respond 200 OK"));
//!
//! let text = "[[rout]]\npath = \"/health\"\n";
//! let mistakes = Config::from_text("quoit.toml", text, &Environment::process(), Depth::Check).unwrap_err();
//! assert!(mistakes.to_string().contains("did you mean `route`?"));
//! ```
//!
//! ```text
//! source      the file and those it includes; TOML with places
//! validate    against the shapes of `read`: unknown keys, kinds of values, variables
//! read        tables → options → Plan and Settings
//! placed      mistakes of the plan → places in the files
//! ```
//!
//! Knows no server: the supervisor runs the plan, and the command line the commands.

mod environment;
mod mistake;
mod nearest;
mod node;
mod placed;
mod read;
mod schema;
mod shape;
mod source;
mod trial;
mod units;
mod validate;
mod write;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

pub use self::environment::Environment;
pub use self::mistake::Mistakes;
use self::mistake::{At, Mistake, SourceText};
use self::node::{Reader, Table, View};
use self::read::root::{self, Parts, ROOT};
use self::read::tests::TEST_FILE;
use self::source::Sources;
pub use self::trial::{Difference, TestCase};
pub use self::write::Unwritable;
use self::write::Writer;
use crate::acme::{Acme, AcmeOptions};
use crate::exchange::Limits;
use crate::net::Address;
use crate::net::tls::{TlsOptions, TlsServer};
use crate::observe::access::{Destination, Format};
use crate::plan::{KeptBack, Plan, Secret, SecretKind};

/// A configuration without mistakes.
#[derive(Clone)]
pub struct Config {
    /// What is served.
    pub plan: Plan,
    /// The same for printing: values from variables and files are replaced by their names.
    pub shown: Plan,
    /// What concerns the process and not a request.
    pub settings: Settings,
    /// The files that it consists of and names, and the directories whose files it includes.
    pub files: Vec<PathBuf>,
    /// Requests with what is expected of them.
    pub tests: Vec<TestCase>,
    tls: Vec<TlsUnit>,
}

/// What can be shown.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("shown", &self.shown)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What a configuration says about the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Number of workers. Default: one per CPU.
    pub workers: Option<usize>,
    /// CPUs to pin workers to. Default: all, if there is a worker for each.
    pub cpus: Option<Vec<usize>>,
    /// Permissions of socket files.
    pub unix_mode: Option<u32>,
    /// Whether nothing is printed at start and stop.
    pub quiet: bool,
    /// The limits on clients.
    pub limits: Limits,
    /// The access log.
    pub access_log: Option<(Destination, Option<Format>)>,
    /// The administrator's socket.
    pub admin: Option<PathBuf>,
    /// Where `GET /metrics` is answered, beside the administrator's socket.
    pub metrics: Option<Address>,
}

/// How much of what a configuration names is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Everything, and the state of ACME is locked: to serve it.
    Serve,
    /// Directories, certificates, files of users and pages: to check it.
    Check,
    /// Only what its texts come from: to explain, compare and test it on any machine.
    Structure,
}

/// A TLS configuration by its name, kept when a changed file names the same one.
#[derive(Clone, Debug)]
struct TlsUnit {
    name: String,
    /// As it was asked for, without the certificates of ACME.
    options: TlsOptions,
    acme_options: Option<AcmeOptions>,
    server: Arc<TlsServer>,
    acme: Option<Acme>,
}

/// Why a configuration cannot be used.
#[derive(Clone)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason, with the remedy.
        reason: String,
    },
    /// It has mistakes.
    Mistakes(Mistakes),
}

impl ConfigError {
    /// As text, with colours for a terminal.
    pub fn render(&self, coloured: bool) -> String {
        match self {
            Self::Unreadable { path, reason } => format!("cannot read {}: {reason}", path.display()),
            Self::Mistakes(mistakes) => mistakes.render(coloured),
        }
    }

    /// A line for each mistake.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Unreadable { .. } => vec![self.render(false)],
            Self::Mistakes(mistakes) => mistakes.lines(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such file; name another with --config FILE, or write one (quoit serve … \
             --print-config prints one that does the same)"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => "no permission; let this user read it".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    ConfigError::Unreadable { path: path.to_owned(), reason }
}

impl Config {
    /// Reads a file and those that it includes.
    ///
    /// # Errors
    /// Every mistake.
    pub fn load(path: &Path, environment: &Environment, depth: Depth) -> Result<Self, ConfigError> {
        let text = source::read(path).map_err(|error| unreadable(path, &error))?;
        Self::build(path, &text, environment, depth, &[])
    }

    /// As [`load`](Self::load), from a text in place of the file's.
    ///
    /// # Errors
    /// Every mistake.
    pub fn from_text(
        path: impl AsRef<Path>,
        text: &str,
        environment: &Environment,
        depth: Depth,
    ) -> Result<Self, ConfigError> {
        Self::build(path.as_ref(), text, environment, depth, &[])
    }

    /// Reads a file that is to replace this one, such as the same file once more. TLS that is configured as
    /// here stays the same object, so that listeners and renewals go on with it.
    ///
    /// # Errors
    /// Every mistake.
    pub fn load_next(
        &self,
        path: &Path,
        environment: &Environment,
        depth: Depth,
    ) -> Result<Self, ConfigError> {
        let text = source::read(path).map_err(|error| unreadable(path, &error))?;
        Self::build(path, &text, environment, depth, &self.tls)
    }

    /// The file that says what this plan and these settings say. `tls` are the TLS configurations that the
    /// plan's listeners refer to, each with the options that it was asked for.
    ///
    /// # Errors
    /// What has no form in a file.
    pub fn write(
        plan: &Plan,
        settings: &Settings,
        tls: &[(String, Arc<TlsServer>, TlsOptions, Option<AcmeOptions>)],
    ) -> Result<String, Unwritable> {
        let units = tls.iter().map(|(name, server, options, acme_options)| TlsUnit {
            name: name.clone(),
            options: options.clone(),
            acme_options: acme_options.clone(),
            server: server.clone(),
            acme: None,
        });
        let units: Vec<_> = units.collect();
        Writer { tls: &units, limits: &settings.limits }.config(plan, settings)
    }

    /// The file that says the same as this one and those that it includes, with defaults left out. Values of
    /// variables and files are written as they were read.
    ///
    /// # Errors
    /// What has no form in a file.
    pub fn to_text(&self) -> Result<String, Unwritable> {
        Writer { tls: &self.tls, limits: &self.settings.limits }.config(&self.plan, &self.settings)
    }

    /// The certificates that are obtained by ACME, each with the TLS that presents them.
    pub fn renewals(&self) -> impl Iterator<Item = (Acme, Arc<TlsServer>)> {
        self.tls.iter().filter_map(|unit| Some((unit.acme.clone()?, unit.server.clone())))
    }

    /// The TLS configurations.
    pub fn tls_servers(&self) -> impl Iterator<Item = &Arc<TlsServer>> {
        self.tls.iter().map(|unit| &unit.server)
    }

    /// The JSON schema of configuration files, which editors' TOML plug-ins understand.
    pub fn schema() -> String {
        serde_json::to_string_pretty(&schema::schema()).expect("it has no maps but those of texts")
    }

    /// The tests of a file that has nothing else.
    ///
    /// # Errors
    /// Every mistake.
    pub fn load_tests(path: &Path, environment: &Environment) -> Result<Vec<TestCase>, ConfigError> {
        let text = source::read(path).map_err(|error| unreadable(path, &error))?;
        let texts = vec![SourceText { path: path.to_owned(), text }];
        let reader = Reader::new(&texts, environment, View::Real);
        let (document, errors) = DeTable::parse_recoverable(&texts[0].text);
        validate::syntax(&reader, 0, &errors);
        let table = Table { reader: &reader, at: At::new(0, 0..0), entries: document.get_ref() };
        validate::validate_table(table, &TEST_FILE);
        let tests = root::tests(&[table]);
        let (mistakes, hidden) = (reader.mistakes.take(), reader.hidden.take());
        drop(errors);
        if mistakes.is_empty() {
            return Ok(tests);
        }
        Err(ConfigError::Mistakes(Mistakes::new(texts.clone(), hide(mistakes, &hidden))))
    }

    /// What the process would have to be started anew for: `workers`, `admin`, …
    pub fn settings_fixed(&self, next: &Self) -> Vec<&'static str> {
        let (old, new) = (&self.settings, &next.settings);
        let renewed = |config: &Self| {
            let units = config.tls.iter().filter(|unit| unit.acme_options.is_some());
            units.map(|unit| Arc::as_ptr(&unit.server)).collect::<Vec<_>>()
        };
        let changed = [
            (old.workers != new.workers, "workers"),
            (old.cpus != new.cpus, "cpus"),
            (old.unix_mode != new.unix_mode, "unix_mode"),
            (old.quiet != new.quiet, "quiet"),
            (old.limits.drain_timeout != new.limits.drain_timeout, "limits.drain_timeout"),
            (old.admin != new.admin, "admin"),
            (old.metrics != new.metrics, "metrics"),
            (renewed(self) != renewed(next), "acme"),
        ];
        changed.into_iter().filter_map(|(is_changed, name)| is_changed.then_some(name)).collect()
    }

    /// The settings that differ.
    pub fn settings_changed(&self, next: &Self) -> Vec<&'static str> {
        let (old, new) = (&self.settings, &next.settings);
        let changed = [
            (old.workers != new.workers, "workers"),
            (old.cpus != new.cpus, "cpus"),
            (old.unix_mode != new.unix_mode, "unix_mode"),
            (old.quiet != new.quiet, "quiet"),
            (old.limits != new.limits, "limits"),
            (old.access_log != new.access_log, "access_log"),
            (old.admin != new.admin, "admin"),
            (old.metrics != new.metrics, "metrics"),
        ];
        changed.into_iter().filter_map(|(is_changed, name)| is_changed.then_some(name)).collect()
    }

    /// What changes from this configuration to `next`, in effect, a line each. Values of variables and files
    /// are not shown, but that they change is.
    pub fn changes(&self, next: &Self) -> Vec<String> {
        let settings = self.settings_changed(next).into_iter().map(|name| format!("~ {name}"));
        let shown = self.shown.diff(&next.shown).changes;
        let mut lines: Vec<String> = settings.chain(shown.iter().map(ToString::to_string)).collect();
        for change in self.plan.diff(&next.plan).changes {
            if !shown.iter().any(|known| known.place == change.place) {
                lines.push(format!("~ {}: a value of a variable or of a file", change.place));
            }
        }
        lines
    }

    fn build(
        path: &Path,
        text: &str,
        environment: &Environment,
        depth: Depth,
        known: &[TlsUnit],
    ) -> Result<Self, ConfigError> {
        let first = SourceText { path: path.to_owned(), text: text.to_owned() };
        let Sources { texts, mistakes, directories, unread } = source::with_includes(first, environment);
        let reader = Reader::new(&texts, environment, View::Real);
        reader.mistakes.borrow_mut().extend(mistakes);
        let documents: Vec<_> = texts.iter().map(|source| DeTable::parse_recoverable(&source.text)).collect();
        let tables = |reader| {
            documents.iter().enumerate().map(move |(file, (document, _))| Table {
                reader,
                at: At::new(file, 0..0),
                entries: document.get_ref(),
            })
        };
        for (file, (_, errors)) in documents.iter().enumerate() {
            validate::syntax(&reader, file, errors);
        }
        tables(&reader).for_each(|table| validate::validate_table(table, &ROOT));
        // Includes that do not parse would look like missing keys: what can be read is.
        let roots: Vec<_> = tables(&reader).collect();
        let Parts { mut plan, settings, tls, placed, tests } = root::read(&reader, &roots, depth, known);
        let secrets = secrets(&settings, &tls);
        let found = if depth == Depth::Structure { plan.check_alone() } else { plan.check_beside(&secrets) };
        if let Err(errors) = found {
            placed::report(&reader, &plan, &errors, &placed);
        }
        let mistakes = reader.mistakes.take();
        if !mistakes.is_empty() {
            let (hidden, named) = (reader.hidden.take(), reader.named.take());
            drop(documents);
            let own = texts.iter().map(|source| source.path.clone());
            let files = own.chain(named).chain(directories).chain(unread).collect();
            let mut mistakes = Mistakes::new(texts, hide(mistakes, &hidden));
            mistakes.files = files;
            return Err(ConfigError::Mistakes(mistakes));
        }
        // The same once more, with the names of variables and files in place of their values.
        let shown = Reader::new(&texts, environment, View::Shown);
        let roots: Vec<_> = tables(&shown).collect();
        let shown = root::read(&shown, &roots, depth, &tls).plan;
        let own = texts.iter().map(|source| source.path.clone());
        plan.kept_back = KeptBack(own.clone().chain(reader.kept_back.take()).collect());
        let files = own.chain(reader.named.take()).chain(directories).collect();
        Ok(Self { plan, shown, settings, files, tests, tls })
    }
}

/// What no directory may serve, beside the secrets of the plan.
fn secrets(settings: &Settings, tls: &[TlsUnit]) -> Vec<Secret> {
    let log = settings.access_log.iter().filter_map(|(destination, _)| match destination {
        Destination::File(path) => Some(Secret { kind: SecretKind::AccessLog, path: path.clone() }),
        Destination::Stdout => None,
    });
    let acme = tls.iter().filter_map(|unit| {
        Some(Secret { kind: SecretKind::AcmeState, path: unit.acme_options.as_ref()?.state.clone() })
    });
    log.chain(acme).collect()
}

/// Values from outside that are shorter are no secrets, and would be found everywhere.
const HIDDEN_BYTES_MIN: usize = 4;

/// The mistakes without the values of variables and files.
fn hide(mistakes: Vec<Mistake>, hidden: &[String]) -> Vec<Mistake> {
    let without = |text: String| {
        let secrets = hidden.iter().filter(|value| value.len() >= HIDDEN_BYTES_MIN);
        secrets.fold(text, |text, secret| text.replace(&**secret, "…"))
    };
    let clean = |mistake: Mistake| Mistake {
        title: without(mistake.title),
        label: without(mistake.label),
        help: mistake.help.into_iter().map(without).collect(),
        ..mistake
    };
    mistakes.into_iter().map(clean).collect()
}
