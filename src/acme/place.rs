//! Where the state of ACME is kept unless a directory is named.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::{env, fs};

/// Directory for persistent state: as systemd sets it, or the usual one of this user.
pub fn default_state_directory() -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // systemd separates several by colons.
    let systemd = variable("STATE_DIRECTORY");
    let systemd = systemd.and_then(|list| env::split_paths(&list).next());
    let is_root = || fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let users = || variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    let place = systemd
        .or_else(|| if is_root() { Some("/var/lib/quoit".into()) } else { Some(users()?.join("quoit")) });
    place.map(|place| place.join("acme"))
}
