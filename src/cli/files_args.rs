//! Flags for file serving. Each is an environment variable too.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::values::{Lines, needs_directory, twice};
use crate::handler::{
    CacheRule, DirectoryOptions, FilesOptions, Glob, MountsOptions, NoCacheRule, PreloadRule,
};
use crate::plan::HandlerOptions;

/// Options of file serving.
#[derive(Args, Clone, Debug)]
pub(super) struct FilesArgs {
    /// List directories that have no index file
    #[arg(long, env = "QUOIT_LIST", value_parser = FalseyValueParser::new())]
    list: bool,

    /// Answer paths without a file, but for those below a --mount, with the root's index file, for
    /// applications that route in the browser
    #[arg(long, env = "QUOIT_SPA", value_parser = FalseyValueParser::new())]
    spa: bool,

    /// Answer /about with about.html
    #[arg(long, env = "QUOIT_CLEAN_URLS", value_parser = FalseyValueParser::new())]
    clean_urls: bool,

    /// Follow symbolic links that are absolute or lead out of the directory
    #[arg(long, env = "QUOIT_FOLLOW_LINKS", value_parser = FalseyValueParser::new())]
    follow_links: bool,

    /// Files that answer for their directory, the first that exists [default: index.html]
    #[arg(long, value_name = "NAME", env = "QUOIT_INDEX", value_delimiter = ',')]
    index: Vec<String>,

    /// Cache-Control for files whose name fits, such as '*.css=max-age=3600'; the first that fits decides
    #[arg(long, value_name = "GLOB=VALUE", env = "QUOIT_CACHE_CONTROL", value_delimiter = ';')]
    #[arg(value_parser = cache_rule)]
    cache_control: Vec<CacheRule>,

    /// A Link field for files whose name fits, sent with them and, over HTTP/2, in a 103 (Early Hints) before
    /// them, such as '*.html=</style.css>; rel=preload; as=style'; may be given several times
    #[arg(long, value_name = "GLOB=LINK", env = "QUOIT_PRELOAD")]
    preload: Vec<Lines<PreloadRule>>,

    /// Files to be saved and not shown, such as 'uploads/**'
    #[arg(long, value_name = "GLOB", env = "QUOIT_DOWNLOAD", value_delimiter = ',', value_parser = glob)]
    download: Vec<Glob>,

    /// Another directory below a prefix, such as /docs=/srv/docs; may be given several times
    #[arg(long, value_name = "/PREFIX=DIR", env = "QUOIT_MOUNT", value_delimiter = ',')]
    mount: Vec<Mount>,
}

/// Refuses what other programs take for classes and choices: here it would be a part of names.
fn checked(glob: Glob) -> Result<Glob, String> {
    match glob.to_string().find(['[', ']', '{', '}', '\\']) {
        None => Ok(glob),
        Some(_) => Err(format!(
            "`{glob}`: patterns know *, ** and ?, and no [ ] {{ }} or \\; write ? for one character"
        )),
    }
}

fn glob(pattern: &str) -> Result<Glob, String> {
    if pattern.is_empty() {
        Err("expected a pattern such as 'uploads/**'".into())
    } else {
        checked(Glob::new(pattern))
    }
}

fn cache_rule(rule: &str) -> Result<CacheRule, String> {
    let CacheRule { glob, value } = rule.parse().map_err(|error: NoCacheRule| error.to_string())?;
    Ok(CacheRule { glob: checked(glob)?, value })
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
    /// Finds what was given twice, flags that need a directory that there is not, and `--spa` without a page.
    pub(super) fn check(&self, dir: Option<&Path>) -> Vec<String> {
        let mut mistakes = Vec::new();
        if let Some(prefix) = twice(self.mount.iter().map(|mount| &mount.prefix)) {
            mistakes.push(format!("--mount names {prefix} twice; give each prefix one directory"));
        }
        if let Some(glob) = twice(self.cache_control.iter().map(|rule| rule.glob.to_string())) {
            mistakes.push(format!(
                "--cache-control names {glob} twice; the first rule decides, so leave one out"
            ));
        }
        if let Some(name) = twice(&self.index) {
            mistakes.push(format!("--index names {name} twice; give each name once"));
        }
        let Some(dir) = dir else {
            mistakes.extend(self.only_with_directory().map(needs_directory));
            return mistakes;
        };
        // A directory that cannot be read is reported when it is opened.
        let has_index = || self.index_names().any(|name| dir.join(name).exists());
        if self.spa && dir.is_dir() && !has_index() {
            let names: Vec<_> = self.index_names().collect();
            mistakes.push(format!(
                "--spa answers with {}, and {} has none; build the application first, or use --index",
                names.join(" or "),
                dir.display()
            ));
        }
        mistakes
    }

    /// Whether `/` of this directory is answered with 404: no index file, no listing.
    pub(super) fn root_is_missing(&self, dir: &Path) -> bool {
        !self.list && !self.index_names().any(|name| dir.join(name).exists())
    }

    fn index_names(&self) -> impl Iterator<Item = &str> {
        let default = self.index.is_empty().then_some("index.html");
        self.index.iter().map(String::as_str).chain(default)
    }

    /// A flag that was given and has no effect without a directory.
    fn only_with_directory(&self) -> Option<&'static str> {
        [
            (self.list, "--list"),
            (self.spa, "--spa"),
            (self.clean_urls, "--clean-urls"),
            (self.follow_links, "--follow-links"),
            (!self.index.is_empty(), "--index"),
            (!self.cache_control.is_empty(), "--cache-control"),
            (!self.preload.is_empty(), "--preload"),
            (!self.download.is_empty(), "--download"),
            (!self.mount.is_empty(), "--mount"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }

    /// Serves `dir` and the directories mounted below it. All share the compressed variants.
    pub(super) fn handler(self, dir: PathBuf) -> HandlerOptions {
        let mut files = FilesOptions {
            list: self.list,
            spa: self.spa,
            clean_urls: self.clean_urls,
            follow_links: self.follow_links,
            cache_control: self.cache_control,
            download: self.download,
            preload: Lines::all(self.preload),
            ..FilesOptions::default()
        };
        if !self.index.is_empty() {
            files.index = self.index;
        }
        let mounted = |Mount { prefix, dir }: Mount| DirectoryOptions {
            path: dir,
            // A path below a mount is no route of the root's application, and a mount has none of its own.
            files: FilesOptions { prefix, spa: false, ..files.clone() },
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
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        files: FilesArgs,
    }

    #[test]
    fn every_flag_of_files_needs_a_directory() {
        let mut flags = 0;
        for arg in Line::command().get_arguments().filter(|arg| arg.get_id() != "help") {
            let flag = format!("--{}", arg.get_long().expect("a long name"));
            let value = match &*flag {
                "--cache-control" => "*=no-store",
                "--preload" => "*=</a.css>; rel=preload",
                "--mount" => "/a=/srv/a",
                _ => "name",
            };
            let takes_value = arg.get_action().takes_values();
            let words = ["quoit", &flag].into_iter().chain(takes_value.then_some(value));
            let files = Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).files;
            assert_eq!(files.check(None), [needs_directory(&flag)]);
            flags += 1;
        }
        assert!(flags > 6, "{flags}");
    }

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
