//! Files that are served by no name, by any handler: what the core [keeps back](Ring::keep_back), and the
//! output of this process. Identified by device and inode, so that neither a link within the root nor a hard
//! link leads to them. Knows no requests.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::observe::log;
use crate::ring::{Metadata, Ring, output_files};

/// Levels of directories of a secret directory: the state of ACME has two.
const LEVELS_MAX: u32 = 4;

pub(super) struct Refused {
    /// Device and inode of the files that this process writes its own output to: they hold what is logged.
    outputs: Vec<(u64, u64)>,
    told: Cell<bool>,
}

impl Refused {
    pub(super) fn new() -> Self {
        Self { outputs: output_files(), told: Cell::new(false) }
    }

    /// Whether this is one of them. A plain call for each secret, and only when a file is looked up.
    pub(super) fn contains(&self, ring: &Ring, file: &Metadata) -> bool {
        if self.outputs.contains(&(file.device, file.inode)) {
            return true;
        }
        let kept_back = ring.kept_back();
        let Some(secret) = kept_back.iter().find(|path| holds(path, file, LEVELS_MAX)) else {
            return false;
        };
        if !self.told.replace(true) {
            log::line(format_args!(
                "a request for {} is 404, because that is secret; move it out of what is served, or remove \
                 the link to it",
                secret.display()
            ));
        }
        true
    }
}

/// Whether the core keeps this file back.
pub(super) fn is_kept_back(ring: &Ring, file: &Metadata) -> bool {
    ring.kept_back().iter().any(|path| holds(path, file, LEVELS_MAX))
}

/// Whether the file is what this path leads to, or is below it.
fn holds(path: &Path, file: &Metadata, levels: u32) -> bool {
    let Ok(found) = fs::metadata(path) else { return false };
    let device = u64::from(libc::major(found.dev())) << 32 | u64::from(libc::minor(found.dev()));
    if device != file.device {
        return false;
    }
    if !found.is_dir() {
        return found.ino() == file.inode;
    }
    let entries = if levels == 0 { None } else { fs::read_dir(path).ok() };
    entries.into_iter().flatten().flatten().any(|entry| holds(&entry.path(), file, levels - 1))
}
