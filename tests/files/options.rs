//! What can be chosen about serving files: index names, Cache-Control, downloads, charset, applications that
//! route in the browser, prefixes.

use quoit::handler::{FilesOptions, Glob};

use crate::site::Site;

fn site(options: FilesOptions, files: &[(&str, &str)]) -> Site {
    let site = Site::with_options(1, options);
    for (name, content) in files {
        site.write(name, content);
    }
    site
}

#[test]
fn the_first_index_that_exists_answers() {
    let index = ["index.html", "index.htm", "README"].map(str::to_owned).to_vec();
    let files = [("README", "r"), ("index.htm", "htm"), ("sub/README", "sub"), ("none/a", "a")];
    let site = site(FilesOptions { index, ..FilesOptions::default() }, &files);
    let mut client = site.connect();
    for _ in 0..2 {
        client.get("/", "").is(200, "htm");
        client.get("/sub/", "").is(200, "sub");
        client.get("/none/", "").has_status(404);
    }
    site.write("index.html", "html");
    client.get_until("/", "", |response| response.body == b"html");
}

/// RFC 8297: over HTTP/1.1 the links come with the file alone, because clients such as Python's `http.client`
/// take a 103 for the response.
#[test]
fn links_to_preload_come_with_a_page() {
    let rules = ["*.html=</a.css>; rel=preload; as=style", "index.html=</b.js>; rel=preload; as=script"];
    let preload = rules.map(|rule| rule.parse().unwrap()).to_vec();
    let site = site(
        FilesOptions { preload, ..FilesOptions::default() },
        &[("index.html", "page"), ("a.css", "css")],
    );
    let mut client = site.connect();
    let links = "Link: </a.css>; rel=preload; as=style\r\nLink: </b.js>; rel=preload; as=script";
    for _ in 0..2 {
        let page = client.get("/", "");
        assert!(page.is(200, "page").head.contains(links), "{}", page.head);
        client.get("/a.css", "").is(200, "css");
        let part = client.get("/", "Range: bytes=0-0\r\n");
        assert!(part.has_status(206).head.contains(links));
    }
    let head = client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.has_status(200).head.contains(links));
}

#[test]
fn how_long_a_file_may_be_kept() {
    let cache_control = vec!["private/**=no-store".parse().unwrap(), "*.txt=max-age=60".parse().unwrap()];
    let files = [
        ("index.html", "i"),
        ("app.3f2a9c1b.js", "a"),
        ("app.js", "b"),
        ("a.txt", "c"),
        ("private/index.html", "d"),
    ];
    let site = site(FilesOptions { cache_control, ..FilesOptions::default() }, &files);
    let mut client = site.connect();
    for (target, value) in [
        ("/", Some("no-cache")),
        ("/app.3f2a9c1b.js", Some("public, max-age=31536000, immutable")),
        ("/app.js", None),
        ("/a.txt", Some("max-age=60")),
        ("/private/", Some("no-store")),
    ] {
        let response = client.get(target, "");
        assert_eq!(response.has_status(200).field("cache-control"), value, "{target}");
        let tag = response.field("etag").unwrap();
        let not_modified = client.get(target, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!(not_modified.has_status(304).field("cache-control"), value, "{target}");
        let part = client.get(target, "Range: bytes=0-0\r\n");
        assert_eq!(part.has_status(206).field("cache-control"), value, "{target}");
    }
    assert_eq!(client.get("/none", "").field("cache-control"), None);
}

#[test]
fn files_to_be_saved_and_charsets() {
    let options = FilesOptions {
        download: vec![Glob::new("uploads/**")],
        charset: "iso-8859-1".into(),
        ..FilesOptions::default()
    };
    let site = site(options, &[("uploads/a.html", "a"), ("a.html", "b")]);
    let mut client = site.connect();
    let saved = client.get("/uploads/a.html", "");
    assert_eq!(saved.field("content-disposition"), Some("attachment"));
    assert_eq!(saved.field("content-type"), Some("text/html; charset=iso-8859-1"));
    assert_eq!(client.get("/a.html", "").field("content-disposition"), None);
}

#[test]
fn an_application_routes_in_the_browser() {
    let files = [("index.html", "the application"), ("app.js", "script"), ("dir/a.txt", "a")];
    let site = site(FilesOptions { spa: true, ..FilesOptions::default() }, &files);
    let mut client = site.connect();
    let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let root = client.get("/", browser);
    for target in ["/users", "/users/", "/users/7/edit", "/dir/", "/a%20b", "/app.js/x"] {
        for fields in [browser, ""] {
            let response = client.get(target, fields);
            response.is(200, "the application").keeps();
            assert_eq!(response.field("etag"), root.field("etag"));
            assert_eq!(response.field("cache-control"), Some("no-cache"));
            assert_eq!(response.field("vary"), Some("Accept"), "programs get a 404");
        }
        let refused = client.get(target, "Accept: application/json\r\n");
        assert_eq!(refused.has_status(404).field("vary"), Some("Accept"));
        client.get(target, "Accept: text/html;q=0, */*\r\n").has_status(404);
        client.head(target, browser).has_status(200);
        let tag = root.field("etag").unwrap();
        client.get(target, &format!("If-None-Match: {tag}\r\n{browser}")).is(304, "");
        client.ask(format!("POST {target} HTTP/1.1\r\nHost: a\r\n\r\n")).has_status(405);
    }
    client.get("/app.js", browser).is(200, "script");
    for target in ["/missing.js", "/img/logo.png", "/.hidden"] {
        client.get(target, browser).has_status(404);
    }
    site.connect().get("/../x", browser).has_status(400);
    // Not the extension of a type: a page, but nothing that a script would ask for.
    client.get("/v1.2", browser).is(200, "the application");
    client.get("/v1.2", "Accept: */*\r\n").has_status(404);
    site.write("index.html", "the next one");
    client.get_until("/users", browser, |response| response.body == b"the next one");
    client.is_silent();
}

#[test]
fn below_a_prefix() {
    let options = FilesOptions { prefix: "/static/v1".into(), ..FilesOptions::default() };
    let site = site(options, &[("index.html", "root"), ("a.txt", "a"), ("sub/index.html", "sub")]);
    let mut client = site.connect();
    for _ in 0..2 {
        client.get("/static/v1/", "").is(200, "root");
        client.get("/static/v1/a.txt", "").is(200, "a");
        client.get("/static/v1/sub/", "").is(200, "sub");
        for (target, location) in [("/static/v1", "/static/v1/"), ("/static/v1/sub?q", "/static/v1/sub/?q")] {
            assert_eq!(client.get(target, "").has_status(301).field("location"), Some(location));
        }
        for target in ["/", "/a.txt", "/static/", "/static/v1a.txt", "/static/v10/a.txt", "/Static/v1/a.txt"]
        {
            client.get(target, "").has_status(404);
        }
        site.connect().get("/static/v1/../../../secret", "").has_status(400).says_close();
        client.get("/static/v1//a.txt", "").is(200, "a");
    }
    client.still_serves();
}
