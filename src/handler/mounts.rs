//! Several directories as one tree: each serves the paths that begin with its prefix. Knows which
//! directory a path belongs to, and nothing of files.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::files::{Files, FilesOptions};
use crate::ring::{Ring, Root};
use crate::service::{LocalFuture, Request, Response, Service};

/// A directory, and how its files are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// The directory.
    pub path: PathBuf,
    /// How its files are served, and below which prefix.
    pub files: FilesOptions,
}

/// A directory for everything, and others below prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountsOptions {
    /// Serves the paths that belong to none of the others.
    pub root: DirectoryOptions,
    /// The others, each with its [prefix](FilesOptions::prefix). Default none.
    pub below: Vec<DirectoryOptions>,
}

/// A directory that cannot be served.
#[derive(Debug, Error)]
#[error("cannot serve {}: {}", path.display(), cause(source))]
pub struct DirectoryError {
    /// The directory.
    pub path: PathBuf,
    /// The kernel's reason; `InvalidInput` for invalid options.
    pub source: io::Error,
}

/// Cause and remedy.
fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such directory; check the spelling, or make it with mkdir".to_owned()
        }
        io::ErrorKind::NotADirectory => "it is a file; name the directory it is in".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "no permission; this user needs read and search permission (chmod o+rx)".to_owned()
        }
        _ => error.to_string(),
    }
}

impl DirectoryOptions {
    /// This directory, with the default options.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), files: FilesOptions::default() }
    }

    /// Opens the directory on one core. Blocking: for start-up.
    ///
    /// # Errors
    /// Why it cannot be served.
    pub fn open(&self, ring: &Ring) -> Result<Files, DirectoryError> {
        Files::new(ring.clone(), &self.path, self.files.clone()).map_err(|source| self.error(source))
    }

    /// Whether the directory could be opened now. Blocking, and needs no core.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn check(&self) -> Result<(), DirectoryError> {
        self.check_options()?;
        Root::open(&self.path).map(drop).map_err(|source| self.error(source))
    }

    /// Whether the options can be meant, without accessing the directory.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check_options(&self) -> Result<(), DirectoryError> {
        self.files.check().map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> DirectoryError {
        DirectoryError { path: self.path.clone(), source }
    }
}

impl MountsOptions {
    /// This directory alone.
    pub fn new(root: DirectoryOptions) -> Self {
        Self { root, below: Vec::new() }
    }

    /// Every directory, the root first.
    pub fn directories(&self) -> impl Iterator<Item = &DirectoryOptions> {
        std::iter::once(&self.root).chain(&self.below)
    }

    /// Opens every directory on one core. Blocking: for start-up.
    ///
    /// # Errors
    /// All that cannot be served.
    pub fn open(&self, ring: &Ring) -> Result<Mounts, Vec<DirectoryError>> {
        let (mut opened, mut errors) = (Vec::new(), Vec::new());
        for directory in self.directories() {
            match directory.open(ring) {
                Ok(files) => opened.push(files),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let root = opened.remove(0);
        Ok(Mounts::new(root, opened))
    }
}

/// One directory for everything, and others below prefixes
/// ([`FilesOptions::prefix`](super::FilesOptions::prefix)).
///
/// The longest matching prefix decides; it matches whole segments: `/static` does not match `/statically`.
pub struct Mounts {
    root: Files,
    /// The longest prefix first.
    below: Vec<Files>,
}

impl Mounts {
    /// `root` serves the paths that belong to none of `below`.
    pub fn new(root: Files, mut below: Vec<Files>) -> Self {
        below.sort_by_key(|files| std::cmp::Reverse(files.prefix().len()));
        Self { root, below }
    }

    /// Answers after checking the file, even if its response is in memory.
    pub(crate) fn look(&self, request: Request) -> LocalFuture<'_, Response> {
        self.of(&request).look(request)
    }

    fn of(&self, request: &Request) -> &Files {
        if self.below.is_empty() {
            return &self.root;
        }
        let path = request.head().path();
        let fits = |files: &&Files| {
            path.strip_prefix(files.prefix()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.below.iter().find(fits).unwrap_or(&self.root)
    }
}

impl Service for Mounts {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        self.look(request)
    }

    fn call_now(&self, request: Request) -> Result<Response, Request> {
        self.of(&request).call_now(request)
    }
}
