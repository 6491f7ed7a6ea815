//! One directory: files that are being written, which are hidden, and complete files. Everything here blocks;
//! it runs on threads beside the core.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use serde::Serialize;

use crate::names::FileName;

/// The names of files while they are written: hidden, and with the id of the process.
const STAGED_PREFIX: &str = ".upload-";

/// Where files are stored; the same for all cores.
#[derive(Clone)]
pub(crate) struct Store {
    dir: Arc<PathBuf>,
    janitor: Sender<Leftover>,
    next: Arc<AtomicU64>,
}

/// A file to be removed. Removing a large one takes a while, and an upload is dropped on its core: so one
/// thread removes them all.
struct Leftover {
    /// Closed by the janitor too: the last close frees the blocks.
    _file: File,
    path: PathBuf,
}

/// A stored file.
#[derive(Serialize)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// A file that is being written. Dropped before it is published, it is removed.
pub(crate) struct Staged {
    /// `None` once it is published.
    file: Option<File>,
    path: PathBuf,
    bytes: u64,
    janitor: Sender<Leftover>,
}

impl Store {
    /// Opens the directory and removes the incomplete files of processes that have ended.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let dir = fs::canonicalize(dir)?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix(STAGED_PREFIX)?.split('-').next());
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                fs::remove_file(entry.path())?;
            }
        }
        let (janitor, leftovers) = channel::<Leftover>();
        thread::Builder::new().name("janitor".into()).spawn(move || {
            for leftover in leftovers {
                let _ = fs::remove_file(&leftover.path);
            }
        })?;
        Ok(Self { dir: Arc::new(dir), janitor, next: Arc::default() })
    }

    /// Begins a file.
    pub(crate) fn stage(&self) -> io::Result<Staged> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{STAGED_PREFIX}{}-{number}", std::process::id()));
        let file = File::create_new(&path)?;
        Ok(Staged { file: Some(file), path, bytes: 0, janitor: self.janitor.clone() })
    }

    /// Gives complete files their names, all or none of those that are new; which of them replaced another.
    ///
    /// # Errors
    /// The name that exists, where none may be replaced; or the error of the disk.
    pub(crate) fn publish(
        &self,
        files: Vec<(FileName, Staged)>,
        replaces: bool,
    ) -> Result<Vec<(Stored, bool)>, PublishError> {
        for (_, staged) in &files {
            staged.file.as_ref().map_or(Ok(()), File::sync_all)?;
        }
        let mut published: Vec<(Stored, bool)> = Vec::new();
        for (name, mut staged) in files {
            let target = self.dir.join(name.as_str());
            let existed = replaces && target.exists();
            let named = match replaces {
                true => fs::rename(&staged.path, &target),
                // A link never replaces another file, as a rename does.
                false => fs::hard_link(&staged.path, &target),
            };
            if let Err(error) = named {
                for (stored, _) in published.iter().filter(|_| !replaces) {
                    let _ = fs::remove_file(self.dir.join(&stored.name));
                }
                return Err(match error.kind() {
                    io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => PublishError::Taken(name),
                    _ => PublishError::Io(error),
                });
            }
            if !replaces {
                fs::remove_file(&staged.path)?;
            }
            staged.file = None;
            published.push((Stored { name: name.as_str().to_owned(), bytes: staged.bytes }, existed));
        }
        File::open(&*self.dir)?.sync_all()?;
        Ok(published)
    }

    /// The complete files, by name.
    pub(crate) fn list(&self) -> io::Result<Vec<Stored>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&*self.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // One that was removed meanwhile is skipped.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() && !name.starts_with('.') {
                files.push(Stored { name, bytes: metadata.len() });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }
}

impl Staged {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.file.as_ref().expect("written before it is published");
        file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // Without a janitor the process is ending, and the next one cleans up.
            let _ = self.janitor.send(Leftover { _file: file, path: std::mem::take(&mut self.path) });
        }
    }
}

/// Why complete files got no names.
pub(crate) enum PublishError {
    Taken(FileName),
    Io(io::Error),
}

impl From<io::Error> for PublishError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
