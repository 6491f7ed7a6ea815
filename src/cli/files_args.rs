//! Flags for file serving. Each is an environment variable too.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::handler::{CacheRule, DirectoryOptions, FilesOptions, Glob, MountsOptions, PreloadRule};
use crate::plan::HandlerOptions;

/// Options of file serving.
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

    /// A Link field for files whose name fits, sent with them and, over HTTP/2, in a 103 (Early Hints) before
    /// them, such as '*.html=</style.css>; rel=preload; as=style'; may be given several times
    #[arg(long, value_name = "GLOB=LINK", env = "QUOIT_PRELOAD", value_delimiter = '\n')]
    preload: Vec<PreloadRule>,

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

/// A directory mounted at a prefix.
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

impl FilesArgs {
    /// Serves `dir` and the directories mounted below it. All share the compressed variants.
    pub(super) fn handler(self, dir: PathBuf) -> HandlerOptions {
        let mut files = FilesOptions {
            list: self.list,
            spa: self.spa,
            cache_control: self.cache_control,
            download: self.download,
            preload: self.preload,
            ..FilesOptions::default()
        };
        if !self.index.is_empty() {
            files.index = self.index;
        }
        let mounted = |Mount { prefix, dir }: Mount| DirectoryOptions {
            path: dir,
            files: FilesOptions { prefix, ..files.clone() },
        };
        let below: Vec<_> = self.mount.into_iter().map(mounted).collect();
        let root = DirectoryOptions { path: dir, files };
        if below.is_empty() {
            HandlerOptions::Files(root)
        } else {
            HandlerOptions::Mounts(MountsOptions { root, below })
        }
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
