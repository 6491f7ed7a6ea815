//! One normal form of a path: routes, mounts, filters and files take a request for the same, however its path
//! is spelt. Every case is judged by a second implementation of the rules, written here.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use quoit::handler::{DirectoryOptions, Files, FilesOptions, Mounts};
use quoit::http::status::Status;
use quoit::service::{Next, Request, Response, Router};

use crate::common::{Client, Hosted, lenient, serve_with};
use crate::site::SECRET;

/// The segments that a path stands for, decoded, and whether it ends as a directory's does; `None` if it has
/// a `..`.
fn segments(path: &str) -> Option<(Vec<String>, bool)> {
    let mut segments = Vec::new();
    let mut is_directory = false;
    for raw in path[1..].split('/') {
        let mut decoded = String::new();
        let mut rest = raw;
        while let Some(at) = rest.find('%') {
            decoded.push_str(&rest[..at]);
            decoded.push(char::from(u8::from_str_radix(&rest[at + 1..at + 3], 16).unwrap()));
            rest = &rest[at + 3..];
        }
        decoded.push_str(rest);
        is_directory = matches!(&*decoded, "" | ".");
        if decoded.split('/').any(|part| part == "..") {
            return None;
        }
        if !is_directory {
            segments.push(decoded);
        }
    }
    Some((segments, is_directory))
}

/// A root with what may be seen, what is guarded, and what lies below the prefix of a mount.
fn write_sites(dir: &Path) {
    for (name, content) in [
        ("root/private/x", SECRET),
        ("root/pub/x", "public"),
        ("root/docs/x", "below the mount"),
        ("docs/x", "docs"),
        ("docs/private/x", "docs of their own"),
    ] {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn mounts(core: &quoit::server::CoreContext, dir: &Path) -> Mounts {
    let options = FilesOptions { prefix: "/docs".into(), ..FilesOptions::default() };
    let docs = Files::new(core.ring.clone(), &dir.join("docs"), options).unwrap();
    Mounts::new(DirectoryOptions::new(dir.join("root")).open(&core.ring).unwrap(), vec![docs])
}

/// A guard over everything below `/private`, a filter that reports and judges the path, and files for the
/// rest.
fn host(dir: &Path) -> Hosted {
    let dir = dir.to_owned();
    serve_with(1, lenient(), move |core| {
        let guarded = async || (Status::FORBIDDEN, "guarded");
        let report = async |request: Request, next: Next<'_>| -> Response {
            let path = request.head().path().to_owned();
            if path.starts_with("/pub/hidden") {
                return Response::error(Status::FORBIDDEN, "a filter of the user's own");
            }
            next.run(request).await.field("X-Path", &path).unwrap()
        };
        Router::new()
            .around(report)
            .get("/private", guarded)
            .get("/private/{*rest}", guarded)
            .get("/route/{x}", async |request: Request| {
                request.context().raw_parameter("x").unwrap_or_default().to_owned()
            })
            .fallback_service(mounts(core, &dir))
            .build()
            .unwrap()
    })
}

/// A byte of a segment, sent as it is or escaped.
fn spelt(text: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(0..3_u8, text.len()).prop_map(move |ways| {
        let spell = |(byte, way): (u8, &u8)| match way {
            0 => format!("%{byte:02x}"),
            1 => format!("%{byte:02X}"),
            _ => char::from(byte).to_string(),
        };
        text.bytes().zip(&ways).map(spell).collect()
    })
}

fn paths() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &["private", "pub", "docs", "x", "route", "hidden", ".", "..", "privatex", "~a:b"];
    let segment = prop_oneof![
        8 => prop::sample::select(WORDS).prop_flat_map(spelt),
        2 => Just(String::new()),
        1 => prop::sample::select(&["private%2Fx", "..%2fx", "a%2F..", "%2F", "x%5C..", "%252e%252e"][..])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(segment, 1..6).prop_map(|segments| format!("/{}", segments.join("/")))
}

/// What a response must be, by the segments alone.
fn judge(server: &Hosted, path: &str) {
    let response = Client::connect(server.addr).ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let text = response.text();
    assert!(!text.contains(SECRET) && !text.contains("below the mount"), "{path}: {text}");
    let Some((segments, is_directory)) = segments(path) else {
        assert_eq!(response.status, 400, "{path}");
        return;
    };
    let names: Vec<&str> = segments.iter().map(String::as_str).collect();
    let seen = response.field("x-path");
    match &names[..] {
        ["private", ..] => assert_eq!((response.status, &*text), (403, "guarded"), "{path}"),
        ["pub", second, ..] if second.starts_with("hidden") => {
            assert_eq!((response.status, seen), (403, None), "{path}");
        }
        ["pub", "x"] if !is_directory => assert_eq!((response.status, &*text), (200, "public"), "{path}"),
        ["docs", "x"] if !is_directory => assert_eq!((response.status, &*text), (200, "docs"), "{path}"),
        ["docs", "private", "x"] if !is_directory => {
            assert_eq!((response.status, &*text), (200, "docs of their own"), "{path}");
        }
        ["route", x] if !is_directory && !x.contains(['/', '\\', '%']) => {
            assert_eq!((response.status, &*text), (200, *x), "{path}");
        }
        _ => {}
    }
    if let Some(seen) = seen {
        // What filters see has the same segments, and every spelling of them is seen as one.
        let (again, seen_directory) = self::segments(seen).expect("no `..` is seen");
        assert_eq!((&again, seen_directory), (&segments, is_directory || segments.is_empty()), "{path}");
        assert!(seen.starts_with('/') && !seen.contains("//") && !seen.contains("/./"), "{seen}");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
        assert!(seen.bytes().all(plain), "{seen}");
        assert!(!seen.contains("%7E") && !seen.contains("%3A"), "no escape without need: {seen}");
    }
}

#[test]
fn everything_takes_a_path_for_the_same() {
    let dir = tempfile::tempdir().unwrap();
    write_sites(dir.path());
    let server = host(dir.path());
    for path in [
        "//private/x",
        "/./private/x",
        "/%2e/private/x",
        "///private//x",
        "/private/./x",
        "/%70rivate/x",
        "/private%2Fx",
        "/pub/../private/x",
        "/pub/%2e%2e/private/x",
        "/%64ocs/x",
        "//docs/x",
        "/./docs/x",
        "/docs%2Fx",
        "/docs//x",
        "//pub//%68idden",
        "http://a//private/x",
    ] {
        if let Some(path) = path.strip_prefix("http://a") {
            let response =
                Client::connect(server.addr).ask(format!("GET http://a{path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            response.is(403, "guarded");
        } else {
            judge(&server, path);
        }
    }
    proptest!(ProptestConfig::with_cases(400), |(path in paths())| judge(&server, &path));
}
