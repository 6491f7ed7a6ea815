//! Pages without their extension, and paths of applications in the browser.

use std::fs;

use quoit::handler::FilesOptions;

use crate::site::Site;

fn site(options: FilesOptions, files: &[(&str, &str)]) -> Site {
    let site = Site::with_options(1, options);
    for (name, content) in files {
        site.write(name, content);
    }
    site
}

#[test]
fn a_page_answers_without_its_extension() {
    let options = FilesOptions { clean_urls: true, ..FilesOptions::default() };
    let site = site(
        options,
        &[
            ("index.html", "index"),
            ("about.html", "about"),
            ("both", "file"),
            ("both.html", "page"),
            ("dir.html", "page of dir"),
            ("dir/index.html", "dir"),
            ("plain/index.html", "plain"),
            ("a b.html", "space"),
            (".hidden.html", "hidden"),
        ],
    );
    let mut client = site.connect();
    for _ in 0..2 {
        for (target, body) in [
            ("/", "index"),
            ("/about", "about"),
            ("/about.html", "about"),
            ("/both", "file"),
            ("/dir", "page of dir"),
            ("/dir/", "dir"),
            ("/a%20b", "space"),
            ("/index", "index"),
        ] {
            let response = client.get(target, "");
            response.is(200, body);
            let is_page = target != "/both";
            assert_eq!(
                response.field("content-type") == Some("text/html; charset=utf-8"),
                is_page,
                "{target}"
            );
        }
    }
    assert_eq!(client.get("/plain", "").has_status(301).field("location"), Some("/plain/"));
    for target in ["/about/", "/missing", "/.hidden", "/about.htm", "/dir/about"] {
        client.get(target, "").has_status(404);
    }
    // A change of the page shows, and so does its end.
    site.write("about.html", "changed");
    client.get_until("/about", "", |response| response.body == b"changed").has_status(200);
    fs::remove_file(site.path("about.html")).unwrap();
    client.get_until("/about", "", |response| response.status == 404);
    // Without the option there is no such page.
    let strict = Site::with(&[("about.html", b"about")]);
    strict.get("/about").has_status(404);
}

#[test]
fn routes_of_an_application_may_be_long_and_have_dots() {
    let options = FilesOptions { spa: true, clean_urls: true, ..FilesOptions::default() };
    let site = site(options, &[("index.html", "app"), ("about.html", "about")]);
    let mut client = site.connect();
    let html = "Accept: text/html\r\n";
    for target in [
        format!("/verify/{}", "t".repeat(255)),
        format!("/verify/{}", "t".repeat(256)),
        format!("/{}/edit", "t".repeat(2000)),
        format!("/{}", "deep/".repeat(1000)),
        "/verify/eyJhbGciOi.eyJzdWIiOi.SflKxwRJSM".to_owned(),
        "/users/john.doe".to_owned(),
    ] {
        let response = client.get(&target, html);
        response.is(200, "app");
        assert_eq!(response.field("vary"), Some("Accept"), "{target}");
        client.get(&target, "Accept: image/png\r\n").has_status(404);
    }
    client.get("/about", html).is(200, "about");
    for target in ["/missing.js", "/assets/logo.PNG", "/a/b.css", "/.env"] {
        client.get(target, html).has_status(404);
    }
    client.is_silent();
}
