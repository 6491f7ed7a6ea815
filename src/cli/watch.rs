//! Looks every second whether a file of the configuration has changed, and asks for a reload as SIGHUP does.
//! By looking rather than by notifications: a file may be replaced by a link two links away, on a mounted
//! volume, or on a file system without notifications.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use signal_hook::consts::SIGHUP;
use signal_hook::low_level::raise;

use crate::observe::log;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What changes with a file: another one, another length, another time.
type Stamp = (u64, u64, u64, i64, i64);

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |found: Metadata| (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec());
    files.iter().map(|path| std::fs::metadata(path).ok().map(stamp)).collect()
}

/// Starts looking at the files that `named` returns, until the process ends.
pub(super) fn start(named: impl Fn() -> Vec<PathBuf> + Send + 'static) {
    let mut files = named();
    let mut known = stamps(&files);
    let look = move || loop {
        thread::sleep(LOOK_EVERY);
        let now = stamps(&files);
        if now != known {
            if let Err(error) = raise(SIGHUP) {
                log::line(format_args!(
                    "a file of the configuration has changed, but SIGHUP failed: {error}"
                ));
            }
            known = now;
        }
        // A reload may have brought other files.
        let now = named();
        if now != files {
            files = now;
            known = stamps(&files);
        }
    };
    if let Err(error) = thread::Builder::new().name("watch".to_owned()).spawn(look) {
        log::line(format_args!(
            "the configuration is not watched, because there is no thread for it: {error}"
        ));
    }
}
