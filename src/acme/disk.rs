//! Atomic replacement of files: written under a temporary name, synced, renamed, and the directory synced, so
//! that a power failure leaves the old or the new content. Does not interpret the content.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Suffix of files that are not complete. At a start, such files are leftovers of a crash.
pub(super) const UNFINISHED: &str = ".unfinished";

/// The disk operations, in order. A crash can follow each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskStep {
    /// A file is created, empty.
    Create,
    /// It is written.
    Write,
    /// It is synced.
    SyncFile,
    /// It is renamed to its final name.
    Rename,
    /// Its directory is synced.
    SyncDirectory,
    /// A file is removed.
    Remove,
}

/// The disk, with a failure to inject in tests.
#[derive(Debug, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) crash: std::sync::Arc<tests::Crash>,
}

impl Disk {
    /// Replaces the content of `path` by `bytes`, readable by the owner only. After an error the file has its
    /// old content or all of `bytes`.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let unfinished = with_ending(path, UNFINISHED);
        self.before(DiskStep::Create)?;
        remove_if_there(&unfinished)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        if let Err(error) = self.before(DiskStep::Write) {
            // A crash in the middle of the write leaves a part.
            let _ = file.write_all(&bytes[..bytes.len() / 2]);
            return Err(error);
        }
        file.write_all(bytes)?;
        self.before(DiskStep::SyncFile)?;
        file.sync_all()?;
        self.before(DiskStep::Rename)?;
        fs::rename(&unfinished, path)?;
        self.sync_directory_of(path)
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.before(DiskStep::Remove)?;
        remove_if_there(path)?;
        self.sync_directory_of(path)
    }

    /// Renames a file within its directory, and replaces an existing one.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) fn set_aside(&self, path: &Path, ending: &str) -> io::Result<PathBuf> {
        let aside = with_ending(path, ending);
        self.before(DiskStep::Rename)?;
        fs::rename(path, &aside)?;
        self.sync_directory_of(path)?;
        Ok(aside)
    }

    fn sync_directory_of(&self, path: &Path) -> io::Result<()> {
        self.before(DiskStep::SyncDirectory)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests crash here")]
    fn before(&self, _step: DiskStep) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn before(&self, step: DiskStep) -> io::Result<()> {
        self.crash.before(step)
    }
}

/// Creates a directory and its parents, accessible to the owner only.
///
/// # Errors
/// The I/O error.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes incomplete files that a crash has left.
///
/// # Errors
/// The I/O error.
pub(super) fn tidy(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(UNFINISHED.as_bytes()) {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}

/// The file's content; `None` if there is no such file.
///
/// # Errors
/// The I/O error.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Simulates a crash before one of the steps: that step and all later ones fail.
    #[derive(Debug)]
    pub(in crate::acme) struct Crash {
        steps: AtomicUsize,
        at: AtomicUsize,
    }

    impl Default for Crash {
        fn default() -> Self {
            Self { steps: AtomicUsize::new(0), at: AtomicUsize::new(usize::MAX) }
        }
    }

    impl Crash {
        /// Crashes before the step with this number, counted from now.
        pub(in crate::acme) fn at(&self, step: usize) {
            self.steps.store(0, Ordering::Relaxed);
            self.at.store(step, Ordering::Relaxed);
        }

        /// Steps since then.
        pub(in crate::acme) fn steps(&self) -> usize {
            self.steps.load(Ordering::Relaxed)
        }

        pub(super) fn before(&self, step: DiskStep) -> io::Result<()> {
            let now = self.steps.fetch_add(1, Ordering::Relaxed);
            if now >= self.at.load(Ordering::Relaxed) {
                return Err(io::Error::other(format!("crashed before {step:?}")));
            }
            Ok(())
        }
    }

    #[test]
    fn a_file_is_the_old_or_the_new_wherever_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let disk = Disk::default();
        disk.replace(&path, b"old").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let steps = disk.crash.steps();
        assert_eq!(steps, 5, "create, write, sync, rename, sync");
        for step in 0..steps {
            disk.crash.at(step);
            disk.replace(&path, b"new and longer").unwrap_err();
            let found = fs::read(&path).unwrap();
            let renamed = step > 3;
            let expected = if renamed { &b"new and longer"[..] } else { b"old" };
            assert_eq!(found, expected, "before step {step}");
            disk.crash.at(usize::MAX);
            tidy(dir.path()).unwrap();
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
            disk.replace(&path, b"old").unwrap();
        }
    }

    #[test]
    fn what_is_missing_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert_eq!(read(&path).unwrap(), None);
        Disk::default().remove(&path).unwrap();
        Disk::default().replace(&path, b"x").unwrap();
        let aside = Disk::default().set_aside(&path, ".damaged").unwrap();
        assert_eq!((read(&path).unwrap(), read(&aside).unwrap()), (None, Some(b"x".to_vec())));
    }
}
