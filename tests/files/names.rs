//! Which requests lead to which file, and which to none.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use crate::common::Binary;
use crate::site::{SECRET, Site};

#[test]
fn files_and_directories() {
    let site = Site::with(&[
        ("index.html", b"root"),
        ("a.txt", b"a"),
        ("sub/index.html", b"sub"),
        ("sub/b.txt", b"b"),
        ("bare/c.txt", b"c"),
    ]);
    let mut client = site.connect();
    for (target, body) in [
        ("/", "root"),
        ("/index.html", "root"),
        ("/a.txt", "a"),
        ("/sub/", "sub"),
        ("/sub/index.html", "sub"),
        ("/sub/b.txt", "b"),
        ("/bare/c.txt", "c"),
        ("http://a/a.txt", "a"),
        ("http://a", "root"),
        // What leaves the directory unchanged.
        ("//a.txt", "a"),
        ("/./a.txt", "a"),
        ("/sub//b.txt", "b"),
        ("/sub/./b.txt", "b"),
        ("///sub/.//", "sub"),
        ("/sub/.", "sub"),
        // Queries are not for files.
        ("/a.txt?", "a"),
        ("/a.txt?b=c&d", "a"),
        ("/a.txt?/../secret", "a"),
        ("/?x", "root"),
        ("/sub/?x=/y", "sub"),
    ] {
        client.get(target, "").is(200, body).keeps();
        client.head(target, "").is(200, "").keeps();
    }
    for target in [
        "/b.txt",
        "/sub/a.txt",
        "/bare/",
        "/a.txt/",
        "/a.txt/b",
        "/A.TXT",
        "/sub/index.html/",
        "/sub/b.txt/.",
    ] {
        client.get(target, "").has_status(404).keeps();
        client.head(target, "").is(404, "").keeps();
    }
    client.still_serves();
}

#[test]
fn directories_are_redirected_to_their_slash() {
    let site = Site::with(&[
        ("sub/index.html", b""),
        ("a b/c/x", b""),
        ("caf\u{e9}/x", b""),
        ("100%/x", b""),
        ("q?/x", b""),
        ("bare/x", b""),
    ]);
    let mut client = site.connect();
    for (target, location) in [
        ("/sub", "/sub/"),
        ("/bare", "/bare/"),
        ("/sub?x=y", "/sub/?x=y"),
        ("/sub?", "/sub/?"),
        ("/sub?a=/b?c", "/sub/?a=/b?c"),
        ("/a%20b/c", "/a%20b/c/"),
        ("/caf%C3%A9?%20", "/caf%C3%A9/?%20"),
        ("/100%25", "/100%25/"),
        ("/q%3f", "/q%3F/"),
        // Never to another host.
        ("//sub", "/sub/"),
        ("///sub?//x", "/sub/?//x"),
        ("/.//sub", "/sub/"),
        ("http://elsewhere/sub", "/sub/"),
    ] {
        let response = client.get(target, "");
        response.has_status(301).keeps();
        assert_eq!(response.field("location"), Some(location), "{target}");
        let head = client.head(target, "");
        assert_eq!(head.head, response.head);
    }
    client.still_serves();
}

#[test]
fn names_are_percent_encoded() {
    let site = Site::with(&[
        ("a.txt", b"a"),
        ("a b", b"space"),
        ("a+b", b"plus"),
        ("caf\u{e9}", b"latin"),
        ("\u{65e5}\u{672c}", b"kanji"),
        ("100%", b"percent"),
        ("%61.txt", b"not decoded twice"),
        ("what?", b"question"),
        ("a#b", b"hash"),
        ("back\\slash", b"backslash"),
        ("line\nend", b"line end"),
        ("a;b=c,d:e@f!$&'()*", b"the rest"),
        ("a|b^c`d{e}\"<f>", b"no URI characters"),
        ("sub|dir/x", b"x"),
    ]);
    site.write(OsStr::from_bytes(b"\xff\xfe"), "not UTF-8");
    let mut client = site.connect();
    for (target, body) in [
        ("/%61.txt", "a"),
        ("/a%2etxt", "a"),
        ("/%61%2e%74%78%74", "a"),
        ("/a%20b", "space"),
        ("/a+b", "plus"),
        ("/a%2bb", "plus"),
        ("/a%2Bb", "plus"),
        ("/caf%C3%A9", "latin"),
        ("/caf%c3%a9", "latin"),
        ("/%E6%97%A5%E6%9C%AC", "kanji"),
        ("/100%25", "percent"),
        ("/%2561.txt", "not decoded twice"),
        ("/what%3F", "question"),
        ("/a%23b", "hash"),
        ("/back%5cslash", "backslash"),
        ("/line%0Aend", "line end"),
        ("/a;b=c,d:e@f!$&'()*", "the rest"),
        ("/%ff%FE", "not UTF-8"),
        // As clients send them that encode what the URL standard tells them to, and no more.
        ("/caf\u{e9}", "latin"),
        ("/\u{65e5}\u{672c}", "kanji"),
        ("/100%", "percent"),
        ("/back\\slash", "backslash"),
        ("/a|b^c`d{e}\"<f>", "no URI characters"),
        ("/a.txt?q=100%&filter={\"a\":1}|^`\\\u{fc}", "a"),
    ] {
        client.get(target, "").is(200, body);
    }
    client.ask(b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "not UTF-8");
    // What a redirect names is encoded.
    let redirect = client.get("/sub|dir?q=|\u{e9}%", "");
    assert_eq!(redirect.has_status(301).field("location"), Some("/sub%7Cdir/?q=%7C%C3%A9%25"));
    for target in ["/a%20b.txt", "/caf%E9", "/a%20", "/%20a.txt", "/%fe%ff", "/%", "/%6", "/%zz", "/a%2"] {
        client.get(target, "").has_status(404).keeps();
    }
    client.still_serves();
    for target in ["/a.txt?a\x01b", "/a#b", "/\x7f"] {
        let mut client = site.connect();
        client.get(target, "").has_status(400).says_close();
        client.is_closed();
    }
}

#[test]
fn nothing_outside_the_root() {
    let site = Site::with(&[("a.txt", b"a"), ("sub/b.txt", b"b"), ("..a", b"hidden"), ("a..b", b"dots")]);
    let targets = [
        "/../secret",
        "/sub/../../secret",
        "/sub/../a.txt",
        "/..",
        "/../",
        "/../public/a.txt",
        "/./../secret",
        "//../secret",
        "/%2e%2e/secret",
        "/%2E./secret",
        "/.%2e/secret",
        "/sub/%2e%2e/%2e%2e/secret",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/sub%2f..%2f..%2fsecret",
        "/%2fetc/passwd",
        "/%2e%2e%5csecret",
        "/..%5csecret",
        "/%252e%252e/secret",
        "/%252e%252e%252fsecret",
        "/%25252e%25252e/secret",
        "/..%252fsecret",
        "/%c0%ae%c0%ae/secret",
        "/%c0%ae%c0%ae%c0%afsecret",
        "/%ef%bc%8e%ef%bc%8e/secret",
        "/..;/secret",
        "/..%00/secret",
        "/..a",
        "http://a/../secret",
        "http://a/%2e%2e/secret",
        "/?/../secret/..",
    ];
    for target in targets {
        let mut client = site.connect();
        let response = client.get(target, "");
        assert!(matches!(response.status, 400 | 404), "{target}: {}", response.head);
        assert!(!response.text().contains(SECRET) && response.text() != "a", "{target}");
        if response.field("connection").is_none() {
            client.still_serves();
        } else {
            client.is_closed();
        }
    }
    site.get("/a..b").is(200, "dots");
}

#[test]
fn nul_is_no_part_of_a_name() {
    let site = Site::with(&[("a.txt", b"a")]);
    for target in ["/%00", "/a.txt%00", "/a.txt%00.html", "/%00/a.txt"] {
        site.get(target).has_status(400);
    }
}

#[test]
fn hidden_files_do_not_exist() {
    let site = Site::with(&[
        (".secret", b"hidden"),
        (".git/config", b"hidden"),
        ("sub/.secret", b"hidden"),
        ("sub/.well-known/x", b"hidden"),
        (".well-known/x", b"known"),
        (".well-known/index.html", b"index"),
        (".well-known/.secret", b"hidden"),
        (".well-knownx", b"hidden"),
        ("...", b"hidden"),
    ]);
    let mut client = site.connect();
    for target in [
        "/.secret",
        "/%2esecret",
        "/%2Esecret",
        "/.git/config",
        "/.git/",
        "/.git",
        "/sub/.secret",
        "/sub/%2esecret",
        "/sub/.well-known/x",
        "/.well-known/.secret",
        "/.well-knownx",
        "/...",
    ] {
        client.get(target, "").has_status(404).keeps();
    }
    client.get("/.well-known/x", "").is(200, "known");
    client.get("/%2ewell-known/x", "").is(200, "known");
    client.get("/.well-known/", "").is(200, "index");
    assert_eq!(client.get("/.well-known", "").has_status(301).field("location"), Some("/.well-known/"));
}

#[test]
fn links_lead_anywhere_but_out() {
    let site = Site::with(&[("real/a.txt", b"a"), ("real/index.html", b"index"), ("b.txt", b"b")]);
    let link = |target: &str, name: &str| symlink(target, site.path(name)).unwrap();
    link("real/a.txt", "file");
    link("real", "dir");
    link("file", "twice");
    link("../b.txt", "real/up");
    link("../secret", "out");
    link("..", "dir-out");
    link("/etc/passwd", "absolute");
    link("/proc/self/cwd/Cargo.toml", "magic");
    link("loop-b", "loop-a");
    link("loop-a", "loop-b");
    link("nowhere", "dangling");
    symlink(site.outside().join("secret"), site.path("absolute-secret")).unwrap();
    // Absolute links are resolved from the real root, which is outside: refused even if they lead back in.
    symlink(site.path("b.txt"), site.path("absolute-inside")).unwrap();
    let mut client = site.connect();
    for (target, body) in [
        ("/file", "a"),
        ("/dir/a.txt", "a"),
        ("/twice", "a"),
        ("/real/up", "b"),
        ("/dir/up", "b"),
        ("/dir/", "index"),
    ] {
        client.get(target, "").is(200, body);
    }
    assert_eq!(client.get("/dir", "").has_status(301).field("location"), Some("/dir/"));
    for target in [
        "/out",
        "/dir-out/secret",
        "/dir-out/",
        "/dir-out",
        "/absolute",
        "/magic",
        "/loop-a",
        "/dangling",
        "/absolute-secret",
        "/absolute-inside",
    ] {
        client.get(target, "").has_status(404).keeps();
    }
    client.still_serves();
}

#[test]
fn long_and_deep_names() {
    let site = Site::new();
    let longest = "n".repeat(255);
    site.write(&longest, "longest");
    let deep = "d/".repeat(100);
    site.write(format!("{deep}file"), "deep");
    let mut client = site.connect();
    client.get(&format!("/{longest}"), "").is(200, "longest");
    // Three bytes on the wire for each of its own.
    client.get(&format!("/{}", "%6E".repeat(255)), "").is(200, "longest");
    client.get(&format!("/{deep}file"), "").is(200, "deep");
    client.get(&format!("/{longest}n"), "").has_status(404).keeps();
    client.get(&format!("/{}", "%6E".repeat(256)), "").has_status(404).keeps();
    client.get(&format!("/{}", "d/".repeat(3000)), "").has_status(404).keeps();
    client.get(&format!("/{}", "./".repeat(3000)), "").has_status(404).keeps();
    client.get(&format!("/{longest}/{longest}"), "").has_status(404).keeps();
    client.still_serves();
}

#[test]
fn other_methods_are_not_for_files() {
    let site = Site::with(&[("a.txt", b"a")]);
    let mut client = site.connect();
    // RFC 9110 §9.1: 405 for a method that is known, 501 for one that is not.
    for (method, status) in
        [("POST", 405), ("PUT", 405), ("DELETE", 405), ("PATCH", 405), ("TRACE", 405), ("BREW", 501)]
    {
        for target in ["/a.txt", "/none"] {
            let response =
                client.ask(format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
            response.has_status(status).keeps();
            assert_eq!(response.field("allow"), Some("GET, HEAD, OPTIONS"));
        }
    }
    for target in ["/a.txt", "*"] {
        let response = client.ask(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(response.head, "HTTP/1.1 204 No Content\r\nAllow: GET, HEAD, OPTIONS");
    }
    client.get("/a.txt", "").is(200, "a");
    // What follows a refused CONNECT may be meant for the tunnel.
    client.ask("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n").has_status(405).says_close();
    assert_eq!(std::fs::read(site.path("a.txt")).unwrap(), b"a");
}

#[test]
fn spellings_of_a_name_do_not_fill_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file-of-100-kib"), vec![b'x'; 100 * 1024]).unwrap();
    let binary = Binary::serve(dir.path(), &[]);
    let mut client = crate::common::Client::connect(binary.addr);
    client.get("/file-of-100-kib", "").has_status(200);
    let spelling = |bits: usize| -> String {
        let name = "file-of-100-kib".bytes().enumerate().map(|(at, byte)| match bits >> at & 1 {
            1 => format!("%{byte:02x}"),
            _ => char::from(byte).to_string(),
        });
        format!("/{}", name.collect::<String>())
    };
    for bits in 1..50 {
        client.get(&spelling(bits), "").has_status(200);
    }
    let before = binary.resident_bytes();
    for bits in 50..1000 {
        client.get(&spelling(bits), "").has_status(200);
        client.get(&format!("/file-of-100-kib?{bits}"), "").has_status(200);
    }
    let grown = binary.resident_bytes().saturating_sub(before);
    assert!(grown < 10 << 20, "{} KiB for another 950 spellings", grown / 1024);
}
