//! A file as the answer of a handler.

use std::rc::Rc;

use quoit::handler::{Files, FilesOptions, NamedFile};
use quoit::harness::{Call, on_core};
use quoit::http::status::Status;
use quoit::ring::Root;
use quoit::service::{Request, Response, Router};

#[test]
fn a_handler_answers_with_a_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("root/sub")).unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    std::fs::write(dir.path().join("root/report.txt"), "0123456789".repeat(100)).unwrap();
    let path = dir.path().join("root");
    on_core(async move |core| {
        let root = Rc::new(Root::open(&path).unwrap());
        let (ring, again) = (core.ring.clone(), root.clone());
        let handler = async move |request: Request| {
            let (ring, root) = (core.ring.clone(), root.clone());
            let name = request.head().query().unwrap_or_default().to_owned();
            match NamedFile::open(&ring, &root, &name).await {
                Ok(file) if name.is_empty() => file.respond(request.head()),
                Ok(file) => file
                    .attachment("Bericht \"ü\".txt")
                    .with_cache_control("private")
                    .with_content_type("text/x-report")
                    .respond(request.head()),
                Err(error) => Response::error(Status::NOT_FOUND, &error.to_string()),
            }
        };
        let routes = Router::new().get("/file", handler).build().unwrap();
        let get = |query: &str| Call::get(&format!("/file?{query}"));

        let wrong = async move |request: Request| {
            let file = NamedFile::open(&ring, &again, "report.txt").await.unwrap();
            file.with_cache_control("a\r\nX: b").respond(request.head())
        };
        let wrong = Router::new().get("/file", wrong).build().unwrap();
        let wrong = Call::get("/file").send(&wrong).await;
        assert_eq!((wrong.status(), wrong.header("x"), wrong.header("cache-control")), (500, None, None));

        let whole = get("report.txt").send(&routes).await;
        assert_eq!((whole.status(), whole.text()), (200, &*"0123456789".repeat(100)));
        assert_eq!(whole.header("content-type"), Some("text/x-report"));
        assert_eq!(whole.header("cache-control"), Some("private"));
        let disposition = "attachment; filename*=UTF-8''Bericht%20%22%C3%BC%22%2Etxt";
        assert_eq!(whole.header("content-disposition"), Some(disposition));

        let part = get("report.txt").header("Range", "bytes=5-6").send(&routes).await;
        assert_eq!((part.status(), part.text()), (206, "56"));
        assert_eq!(part.header("content-disposition"), Some(disposition));
        let parts = get("report.txt").header("Range", "bytes=0-0,-1").send(&routes).await;
        assert!(parts.status() == 206 && parts.text().contains("bytes 999-999/1000"));
        let tag = whole.header("etag").unwrap();
        let known = get("report.txt").header("If-None-Match", tag).send(&routes).await;
        assert_eq!((known.status(), known.header("content-disposition")), (304, None));
        let failed = get("report.txt").header("If-Match", "\"x\"").send(&routes).await;
        assert_eq!(failed.status(), 412);

        for name in ["", "sub", "none", "../secret", "/etc/passwd", "a%00b"] {
            assert_eq!(get(name).send(&routes).await.status(), 404, "{name}");
        }
    });
}

#[test]
fn directories_below_routes() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("a.txt"), "a").unwrap();
    std::fs::write(dir.path().join("sub/index.html"), "index").unwrap();
    on_core(async move |core| {
        let options = FilesOptions { prefix: "/static".into(), list: true, ..FilesOptions::default() };
        let files = Files::new(core.ring.clone(), dir.path(), options).unwrap();
        let routes =
            Router::new().service("/static/{*path}", files).get("/api", async || "api").build().unwrap();
        // The second time from memory.
        for _ in 0..2 {
            assert_eq!(Call::get("/static/a.txt").send(&routes).await.text(), "a");
            assert_eq!(Call::get("/static/sub/").send(&routes).await.text(), "index");
        }
        let slashless = Call::get("/static/sub").send(&routes).await;
        assert_eq!(slashless.header("location"), Some("/static/sub/"));
        assert_eq!(Call::get("/static/none").send(&routes).await.status(), 404);
        assert_eq!(Call::get("/a.txt").send(&routes).await.status(), 404);
        assert_eq!(Call::get("/api").send(&routes).await.text(), "api");
        assert!(Call::get("/static/").send(&routes).await.text().contains("./a.txt"));
    });
}

/// What the core keeps back is served by no handler, however and whenever the handler was made.
#[test]
fn no_handler_serves_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("acme/accounts/a")).unwrap();
    for name in ["server.key", "users", "acme/accounts/a/key", "page"] {
        std::fs::write(at(name), "content").unwrap();
    }
    std::os::unix::fs::symlink("server.key", at("link")).unwrap();
    std::fs::hard_link(at("server.key"), at("hard")).unwrap();
    let hash = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    std::fs::write(at("users"), format!("alice:{hash}\n")).unwrap();
    let (root, key, acme, users) = (dir.path().to_owned(), at("server.key"), at("acme"), at("users"));
    on_core(async move |core| {
        let files = Files::new(core.ring.clone(), &root, FilesOptions::default()).unwrap();
        let opened = Rc::new(Root::open(&root).unwrap());
        assert_eq!(Call::get("/page").send(&files).await.status(), 200);
        core.ring.keep_back(&key);
        core.ring.keep_back(&acme);
        // The filter knows by itself that its file is secret.
        let _auth = quoit::filter::BasicAuth::load(&core.ring, &users).unwrap();
        for name in ["server.key", "link", "hard", "acme/accounts/a/key", "users"] {
            assert_eq!(Call::get(&format!("/{name}")).send(&files).await.status(), 404, "{name}");
            let named = NamedFile::open(&core.ring, &opened, name).await;
            let refused = named.err().map(|error| error.kind());
            assert_eq!(refused, Some(std::io::ErrorKind::NotFound), "{name}");
        }
        assert_eq!(Call::get("/page").send(&files).await.text(), "content");
        assert!(NamedFile::open(&core.ring, &opened, "page").await.is_ok());
    });
}
