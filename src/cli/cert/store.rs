//! Writes a certificate and its key side by side. The key is readable only by its owner from the first byte
//! on; existing files are not replaced without --force.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

/// The two files.
#[derive(Debug)]
pub(super) struct PemPair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("{file} exists already; --force replaces it, another directory leaves it", file = .0.display())]
    Exists(PathBuf),
    #[error(
        "{file} cannot be written: there is no such directory; make it with mkdir -p",
        file = .0.display()
    )]
    NoDirectory(PathBuf),
    #[error("{file} cannot be written: {1}", file = .0.display())]
    Refused(PathBuf, #[source] io::Error),
}

impl PemPair {
    /// `NAME.pem` and `NAME.key` in a directory.
    pub(super) fn new(dir: &Path, name: &str) -> Self {
        let file = |extension: &str| {
            let file = format!("{name}.{extension}");
            if dir == Path::new(".") { file.into() } else { dir.join(file) }
        };
        Self { certificate: file("pem"), key: file("key") }
    }

    /// Writes both.
    ///
    /// # Errors
    /// The file and the remedy; if one exists, nothing was written.
    pub(super) fn write(&self, certificate: &str, key: &str, force: bool) -> Result<(), StoreError> {
        if !force && let Some(there) = [&self.key, &self.certificate].into_iter().find(|path| path.exists()) {
            return Err(StoreError::Exists(there.clone()));
        }
        put(&self.key, key, KEY_MODE, force)?;
        put(&self.certificate, certificate, CERTIFICATE_MODE, force)
    }
}

/// Writes under another name and renames, so that a watching server never reads a partial file.
fn put(path: &Path, text: &str, mode: u32, force: bool) -> Result<(), StoreError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::NoDirectory(path.to_owned()),
        io::ErrorKind::AlreadyExists => StoreError::Exists(path.to_owned()),
        _ => StoreError::Refused(path.to_owned(), error),
    };
    let temporary = temporary(path);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if force {
            fs::rename(&temporary, path)
        } else {
            // Fails if the file was created meanwhile.
            fs::hard_link(&temporary, path)
        }
    };
    let outcome = write().map_err(failed);
    let _ = fs::remove_file(&temporary);
    outcome
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}
