//! Flags about how files are served. Each is an environment variable too.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::handler::{CacheRule, Files, FilesOptions, Glob, Mounts};
use crate::ring::Ring;

/// What `quoit serve` can be told about files.
#[derive(Args, Clone, Debug)]
pub(super) struct FilesArgs {
    /// List directories that have no index file
    #[arg(long, env = "QUOIT_LIST", value_parser = FalseyValueParser::new())]
    list: bool,

    /// Answer paths without a file with the root's index file, for applications that route in the browser
    #[arg(long, env = "QUOIT_SPA", value_parser = FalseyValueParser::new())]
    spa: bool,

    /// Files that answer for their directory, the first that exists [default: index.html]
    #[arg(long, value_name = "NAME", env = "QUOIT_INDEX", value_delimiter = ',')]
    index: Vec<String>,

    /// Cache-Control for files whose name fits, such as '*.css=max-age=3600'; the first that fits decides
    #[arg(long, value_name = "GLOB=VALUE", env = "QUOIT_CACHE_CONTROL", value_delimiter = ';')]
    cache_control: Vec<CacheRule>,

    /// Files to be saved and not shown, such as 'uploads/**'
    #[arg(long, value_name = "GLOB", env = "QUOIT_DOWNLOAD", value_delimiter = ',', value_parser = glob)]
    download: Vec<Glob>,

    /// Another directory below a prefix, such as /docs=/srv/docs; may be given several times
    #[arg(long, value_name = "/PREFIX=DIR", env = "QUOIT_MOUNT", value_delimiter = ',', requires = "dir")]
    mount: Vec<Mount>,
}

/// Every text is a pattern.
fn glob(pattern: &str) -> Result<Glob, Infallible> {
    Ok(Glob::new(pattern))
}

/// A directory below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    prefix: String,
    dir: PathBuf,
}

impl FromStr for Mount {
    type Err = &'static str;

    fn from_str(mount: &str) -> Result<Self, Self::Err> {
        let (prefix, dir) = mount.split_once('=').ok_or("expected /PREFIX=DIR")?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !prefix.starts_with('/') || dir.is_empty() {
            return Err("expected /PREFIX=DIR, such as /docs=/srv/docs");
        }
        Ok(Self { prefix: prefix.to_owned(), dir: dir.into() })
    }
}

/// Directories to be served, the same on every worker.
#[derive(Clone)]
pub(super) struct Site {
    dir: PathBuf,
    mounts: Vec<Mount>,
    /// One for all workers and directories: their clones share what is compressed.
    options: FilesOptions,
}

impl FilesArgs {
    pub(super) fn site(self, dir: PathBuf) -> Site {
        let mut options = FilesOptions {
            list: self.list,
            spa: self.spa,
            cache_control: self.cache_control,
            download: self.download,
            ..FilesOptions::default()
        };
        if !self.index.is_empty() {
            options.index = self.index;
        }
        Site { dir, mounts: self.mount, options }
    }
}

impl Site {
    /// Opens everything on one core.
    ///
    /// # Errors
    /// The first that could not be opened, and why.
    pub(super) fn open(&self, ring: &Ring) -> Result<Mounts, (PathBuf, io::Error)> {
        let open = |dir: &PathBuf, prefix: &str| {
            let options = FilesOptions { prefix: prefix.to_owned(), ..self.options.clone() };
            Files::new(ring.clone(), dir, options).map_err(|error| (dir.clone(), error))
        };
        let root = open(&self.dir, "")?;
        let below: Result<Vec<Files>, _> =
            self.mounts.iter().map(|mount| open(&mount.dir, &mount.prefix)).collect();
        Ok(Mounts::new(root, below?))
    }

    /// Every directory that has to be there.
    pub(super) fn dirs(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.dir).chain(self.mounts.iter().map(|mount| &mount.dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_a_prefix_and_a_directory() {
        let mount = |prefix: &str, dir: &str| Ok(Mount { prefix: prefix.into(), dir: dir.into() });
        assert_eq!("/docs=/srv/docs".parse(), mount("/docs", "/srv/docs"));
        assert_eq!("/docs/=a=b".parse(), mount("/docs", "a=b"));
        for wrong in ["", "/docs", "docs=/srv", "/docs=", "=/srv"] {
            assert!(wrong.parse::<Mount>().is_err(), "{wrong}");
        }
    }
}
