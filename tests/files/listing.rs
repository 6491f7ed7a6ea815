//! Directories as pages and as JSON: what is on them, in which order, and that no name gets out of its place.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use quoit::handler::FilesOptions;
use serde_json::Value;

use crate::common::{Client, Response};
use crate::site::Site;

fn site() -> Site {
    Site::with_options(1, FilesOptions { list: true, ..FilesOptions::default() })
}

fn json(client: &mut Client, target: &str) -> (Vec<Value>, bool) {
    let response = client.get(target, "Accept: application/json\r\n");
    assert_eq!(response.has_status(200).field("content-type"), Some("application/json"));
    let mut document: Value = serde_json::from_slice(&response.body).unwrap();
    let entries = document["entries"].take();
    (entries.as_array().unwrap().clone(), document["truncated"].as_bool().unwrap())
}

fn names(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

/// Every `href` of a page, its entities resolved.
fn links(page: &Response) -> Vec<String> {
    let text = page.text();
    let links = text.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    links.map(|link| link.replace("&#39;", "'").replace("&amp;", "&")).collect()
}

#[test]
fn a_directory_is_listed_only_where_that_is_wanted() {
    for (list, status) in [(false, 404), (true, 200)] {
        let site = Site::with_options(1, FilesOptions { list, ..FilesOptions::default() });
        site.write("sub/a.txt", "a");
        site.write("with/index.html", "index");
        let mut client = site.connect();
        client.get("/", "").has_status(status);
        client.get("/sub/", "").has_status(status);
        client.get("/sub", "").has_status(301);
        client.get("/none/", "").has_status(404);
        client.get("/sub/a.txt/", "").has_status(404);
        client.get("/with/", "").is(200, "index");
        client.ask("POST /sub/ HTTP/1.1\r\nHost: a\r\n\r\n").has_status(405);
    }
}

#[test]
fn a_page_for_people() {
    let site = site();
    site.write("sub/readme.txt", vec![b'x'; 1536]);
    site.write("sub/more/x", "");
    let mut client = site.connect();
    let page = client.get("/sub/", "Accept: text/html,*/*;q=0.8\r\n");
    page.has_status(200).keeps();
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.field("cache-control"), Some("no-cache"));
    assert_eq!((page.field("vary"), page.field("etag")), (Some("Accept"), None));
    let policy = page.field("content-security-policy").unwrap();
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(policy.starts_with("default-src 'none'") && page.text().contains(&format!("nonce=\"{nonce}\"")));
    assert!(!page.text().contains("<script") && !page.text().contains(" style="));
    for part in ["1.5 KiB", "name=\"viewport\"", "color-scheme:light dark", "aria-sort=\"ascending\""] {
        assert!(page.text().contains(part), "{part}");
    }
    let links = links(&page);
    for link in ["/", "/sub/", "../", "./more/", "./readme.txt", "?sort=size&order=asc"] {
        assert!(links.iter().any(|l| l == link), "{link} in {links:?}");
    }
    let again = client.get("/sub/", "");
    assert!(!again.text().contains(nonce), "each page has its own");
    let head = client.head("/sub/", "");
    assert_eq!(head.has_status(200).body, b"");
    client.still_serves();
}

#[test]
fn json_for_programs_that_prefer_it() {
    let site = site();
    site.write("b.txt", "12345");
    site.write("a/x", "");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::File::options().write(true).open(site.path("b.txt")).unwrap().set_modified(time).unwrap();
    let mut client = site.connect();
    let (entries, truncated) = json(&mut client, "/");
    assert_eq!((names(&entries), truncated), (vec!["a", "b.txt"], false));
    assert_eq!((&entries[0]["type"], &entries[0]["href"]), (&"directory".into(), &"./a/".into()));
    assert_eq!(entries[0].get("size"), None);
    assert_eq!((&entries[1]["type"], &entries[1]["size"]), (&"file".into(), &5.into()));
    assert_eq!(entries[1]["modified"], "2023-11-14T22:13:20Z");
    for accept in ["*/*", "text/html, application/json", "application/json;q=0.5, text/html"] {
        let response = client.get("/", &format!("Accept: {accept}\r\n"));
        assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"), "{accept}");
    }
    let response = client.get("/", "Accept: text/html;q=0.5, application/json\r\n");
    assert_eq!(response.field("content-type"), Some("application/json"));
}

#[test]
fn in_the_order_that_is_asked_for() {
    let site = site();
    for (name, length, age) in [("b", 1, 30), ("a", 3, 20), ("C", 2, 10)] {
        site.write(name, vec![b'x'; length]);
        let file = fs::File::options().write(true).open(site.path(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    site.write("z/x", "");
    let mut client = site.connect();
    for (query, order) in [
        ("", ["z", "a", "b", "C"]),
        ("?sort=name&order=desc", ["z", "C", "b", "a"]),
        ("?sort=size", ["z", "b", "C", "a"]),
        ("?sort=date", ["z", "b", "a", "C"]),
        ("?sort=date&order=desc", ["z", "C", "a", "b"]),
        ("?sort=%00&order=\"", ["z", "a", "b", "C"]),
    ] {
        let (entries, _) = json(&mut client, &format!("/{}", query.replace('"', "%22")));
        assert_eq!(names(&entries), order, "{query}");
    }
}

/// Untrusted names.
fn hostile_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "<script>alert(1)<",
        "\" onmouseover=\"alert(1)",
        "' onclick='alert(1)",
        "javascript:alert(1)",
        "<img src=x onerror=alert(1)>",
        "&amp;&lt;",
        "two\nlines\r\nX-Injected: yes",
        "tab\there",
        "\u{202e}gpj.exe",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        "\u{1f600}",
        "a?b#c",
        "100%",
        "%2e%2e%2f",
        "back\\slash",
        " spaces ",
        "a;b=c",
        "+",
        "~",
        "-rf",
    ]
    .map(|name| name.as_bytes().to_vec())
    .to_vec();
    names.extend([b"\xff\xfe".to_vec(), b"half\xc3".to_vec(), vec![0x01, 0x7f], vec![b'n'; 255]]);
    names
}

#[test]
fn hostile_names_are_shown_linked_and_served() {
    let site = site();
    let hostile = hostile_names();
    for name in &hostile {
        fs::write(site.path(OsStr::from_bytes(name)), name).unwrap();
    }
    let mut client = site.connect();
    let page = client.get("/", "");
    assert!(page.fields.iter().all(|(name, _)| name != "X-Injected"));
    let text = page.text();
    let body = text.split_once("<body>").unwrap().1;
    for markup in ["<script", "<img", "onmouseover=\"", "onclick='", "\u{202e}", "\r", "\x01"] {
        assert!(!body.contains(markup), "{markup:?} gets out");
    }
    assert_eq!(body.matches("<bdi>").count(), hostile.len());
    assert_eq!(body.matches("<bdi>").count(), body.matches("</bdi>").count());
    // Every link leads to the file whose name it was made of.
    let mut found: Vec<Vec<u8>> = Vec::new();
    for link in links(&page).iter().filter(|link| link.starts_with("./")) {
        assert!(link.bytes().all(|byte| byte.is_ascii_graphic()), "{link:?}");
        let response = client.get(&link[1..], "");
        found.push(response.has_status(200).body.clone());
    }
    let mut wanted = hostile.clone();
    wanted.sort();
    found.sort();
    assert!(found == wanted, "a name is lost");
    let (entries, _) = json(&mut client, "/");
    for entry in &entries {
        client.get(&entry["href"].as_str().unwrap()[1..], "").has_status(200);
    }
    assert_eq!(entries.len(), hostile.len());
    client.still_serves();
}

#[test]
fn hostile_names_of_directories() {
    let site = site();
    for name in hostile_names() {
        let path = site.path(OsStr::from_bytes(&name));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), &name).unwrap();
    }
    let mut client = site.connect();
    let page = client.get("/", "");
    for link in links(&page).iter().filter(|link| link.starts_with("./")) {
        let inner = client.get(&link[1..], "");
        inner.has_status(200);
        let text = inner.text();
        for markup in ["<script", "<img", "onmouseover=\"", "onclick='", "\u{202e}"] {
            assert!(!text.split_once("<title>").unwrap().1.contains(markup), "{markup:?} gets out of {link}");
        }
        // Its own breadcrumb leads to it.
        assert!(links(&inner).contains(&link[1..].to_owned()), "{link}");
        client.get(&format!("{}inside", &link[1..]), "").has_status(200);
        let slashless = client.get(link[1..].trim_end_matches('/'), "");
        assert_eq!(slashless.has_status(301).field("location"), Some(&link[1..]));
    }
}

#[test]
fn what_is_not_served_is_not_named() {
    let site = site();
    site.write("a.txt", "a");
    site.write(".hidden", "h");
    site.write(".well-known/x", "w");
    fs::create_dir(site.path("dir")).unwrap();
    symlink("a.txt", site.path("link")).unwrap();
    symlink("dir", site.path("dirlink")).unwrap();
    symlink("../secret", site.path("out")).unwrap();
    symlink("/etc/passwd", site.path("absolute")).unwrap();
    symlink("nowhere", site.path("dangling")).unwrap();
    symlink("loop", site.path("loop")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(site.path("socket")).unwrap();
    let mut client = site.connect();
    let (entries, _) = json(&mut client, "/");
    assert_eq!(names(&entries), ["dir", "dirlink", "a.txt", "link"]);
    assert_eq!(entries[3]["size"], 1, "of what it leads to");
    for entry in &entries {
        client.get(&entry["href"].as_str().unwrap()[1..], "").has_status(200);
    }
}

#[test]
fn a_directory_with_more_than_can_be_listed() {
    let site = site();
    for number in 0..4200 {
        fs::write(site.path(format!("{number:04}")), "").unwrap();
    }
    let mut client = site.connect();
    let (entries, truncated) = json(&mut client, "/");
    assert_eq!((entries.len(), truncated), (4096, true));
    assert!(client.get("/", "").text().contains("only 4096 entries are listed"));
    // Others are served while it is read.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = site.connect();
            for _ in 0..5 {
                client.get("/", "").has_status(200);
            }
        });
        for _ in 0..50 {
            client.get("/0001", "").is(200, "");
        }
    });
    client.still_serves();
}

#[test]
fn a_directory_that_changes_while_it_is_listed() {
    let site = site();
    site.write("sub/stays", "");
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            for number in 0..300 {
                site.write(format!("sub/{number}"), "x");
                fs::rename(site.path(format!("sub/{number}")), site.path(format!("sub/r{number}"))).unwrap();
                fs::remove_file(site.path(format!("sub/r{number}"))).unwrap();
            }
        });
        let mut client = site.connect();
        while !changing.is_finished() {
            let (entries, _) = json(&mut client, "/sub/");
            assert!(names(&entries).contains(&"stays"));
        }
    });
    fs::remove_dir_all(site.path("sub")).unwrap();
    site.connect().get("/sub/", "").has_status(404);
}
