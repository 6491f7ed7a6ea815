//! Directories: `files = "dir"`, or a table with the options.

use crate::config::node::{Node, Table};
use crate::config::shape::{BYTES, Key, Kind, Shape, TEXTS};
use crate::handler::{Assets, CacheRule, DirectoryOptions, FilesOptions, Glob, MountsOptions, PreloadRule};
use crate::plan::HandlerOptions;

macro_rules! directory_keys {
    ($($more:expr),*) => {
        &[
            Key::required("root", Kind::Path, "The directory."),
            Key::new(
                "strip",
                Kind::Text,
                "The part of the path before the file's name, such as /static. Default: the prefix of the \
                 route.",
            ),
            Key::new("index", TEXTS, "Names of index files, the first that exists. Default index.html."),
            Key::new("list", Kind::Bool, "Whether directories without an index file are listed. Default \
                false."),
            Key::new(
                "spa",
                Kind::Bool,
                "Whether paths without a file are answered with the index file of the root. Default false.",
            ),
            Key::new("clean_urls", Kind::Bool, "Whether /about is answered with about.html. Default false."),
            Key::new(
                "follow_links",
                Kind::Bool,
                "Whether symbolic links may lead out of the directory. Default false.",
            ),
            Key::new(
                "cache_control",
                Kind::Map("patterns of names", &Kind::Text),
                "Cache-Control by name of the file, the first pattern that fits decides.",
            ),
            Key::new(
                "preload",
                Kind::Map("patterns of names", &TEXTS),
                "Link fields by name of the file, also sent as early hints over HTTP/2.",
            ),
            Key::new("download", TEXTS, "Patterns of files to be saved and not shown."),
            Key::new("charset", Kind::Text, "The charset of text; empty for none. Default utf-8."),
            Key::new(
                "siblings",
                Kind::Bool,
                "Whether app.js.br, app.js.zst and app.js.gz are served for app.js. Default true.",
            ),
            Key::new(
                "compress",
                Kind::Bool,
                "Whether text without such siblings is compressed, once, in memory. Default true.",
            ),
            Key::new("compressed_size", BYTES, "Most bytes of text compressed in memory. Default 64 MiB."),
            Key::new("cache_size", BYTES, "Bytes of files kept in memory per core. Default 64 MiB."),
            Key::new("cached_file_size", BYTES, "Larger files are streamed instead. Default 512 KiB."),
            $($more),*
        ]
    };
}

pub(in crate::config) const FILES: Shape = Shape::new(
    "a directory of files",
    directory_keys![Key::new(
        "mounts",
        Kind::Map("prefixes of paths", &Kind::Either(&[Kind::Path, Kind::Table(&MOUNT)])),
        "Other directories below prefixes. Their options are those of this one unless they are given."
    )],
);

const MOUNT: Shape = Shape::new("a mounted directory", directory_keys![]);

/// The handler of a directory below this prefix.
pub(in crate::config) fn files(node: Node<'_>, prefix: &str) -> Option<HandlerOptions> {
    let options = FilesOptions { prefix: prefix.to_owned(), ..FilesOptions::default() };
    let Some(table) = node.table() else {
        return Some(HandlerOptions::Files(DirectoryOptions { path: node.path()?, files: options }));
    };
    let root = DirectoryOptions { path: table.path("root")?, files: with(table, options) };
    let Some(mounts) = table.table("mounts") else { return Some(HandlerOptions::Files(root)) };
    let mut below = Vec::new();
    for entry in mounts.in_order() {
        // A path below a mount is no route of the root's application, and a mount has none of its own.
        let prefix = entry.name.strip_suffix('/').unwrap_or(entry.name).to_owned();
        let inherited = FilesOptions { prefix, spa: false, ..root.files.clone() };
        if let Some(directory) = mount(entry.node, inherited) {
            below.push(directory);
        }
    }
    Some(HandlerOptions::Mounts(MountsOptions { root, below }))
}

fn mount(node: Node<'_>, inherited: FilesOptions) -> Option<DirectoryOptions> {
    match node.table() {
        None => Some(DirectoryOptions { path: node.path()?, files: inherited }),
        Some(table) => Some(DirectoryOptions { path: table.path("root")?, files: with(table, inherited) }),
    }
}

/// These options, with those that are given.
fn with(table: Table<'_>, mut files: FilesOptions) -> FilesOptions {
    let flag = |key: &str, field: &mut bool| *field = table.bool(key).unwrap_or(*field);
    flag("list", &mut files.list);
    flag("spa", &mut files.spa);
    flag("clean_urls", &mut files.clean_urls);
    flag("follow_links", &mut files.follow_links);
    flag("siblings", &mut files.siblings);
    files.prefix = table.text("strip").unwrap_or(files.prefix);
    files.charset = table.text("charset").unwrap_or(files.charset);
    files.cache_bytes_max = table.size("cache_size").unwrap_or(files.cache_bytes_max);
    files.cached_file_bytes_max = table.size("cached_file_size").unwrap_or(files.cached_file_bytes_max);
    match (table.bool("compress"), table.size("compressed_size")) {
        (Some(false), _) => files.assets = Assets::off(),
        (_, Some(bytes)) => files.assets = Assets::new(bytes),
        (Some(true), None) => files.assets = Assets::default(),
        (None, None) => {}
    }
    if table.has("index") {
        files.index = table.texts("index");
        if let Some(index) = files.index.iter().enumerate().find(|(i, name)| files.index[..*i].contains(name))
        {
            let node = table.entry("index").expect("it is there");
            node.report(format!("the index file {} is named twice", index.1), "name each file once");
        }
    }
    if let Some(rules) = table.table("cache_control") {
        let rules = rules.in_order().into_iter().filter_map(|entry| {
            Some(CacheRule { glob: glob(entry.name, entry.node)?, value: entry.node.text()? })
        });
        files.cache_control = rules.collect();
    }
    if let Some(rules) = table.table("preload") {
        files.preload = Vec::new();
        for entry in rules.in_order() {
            let Some(glob) = glob(entry.name, entry.node) else { continue };
            let links = entry.node.texts().into_iter();
            files.preload.extend(links.map(|link| PreloadRule { glob: glob.clone(), link }));
        }
    }
    if table.has("download") {
        let patterns = table.list("download").into_iter();
        files.download = patterns.filter_map(|node| glob(&node.text()?, node)).collect();
    }
    files
}

/// A pattern of names. What other programs take for classes and choices would be a part of names here.
fn glob(pattern: &str, node: Node<'_>) -> Option<Glob> {
    if pattern.is_empty() || pattern.contains(['[', ']', '{', '}', '\\']) {
        node.report(
            format!("`{pattern}` is no pattern of names"),
            "patterns know *, ** and ?, and no [ ] { } or \\; write ? for one character",
        );
        return None;
    }
    Some(Glob::new(pattern))
}
