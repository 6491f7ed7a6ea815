//! The same routes in this process, without sockets: what is quicker asked here, and a database in memory.

use std::sync::Arc;

use quoit::harness::{Call, Reply, on_core};
use quoit::server::CoreContext;
use quoit::service::Routes;
use serde_json::{Value, json};

use crate::notes::{Database, Shared, routes};

fn app(core: &CoreContext) -> Routes {
    routes(core, shared("Notes")).expect("sound routes")
}

fn shared(title: &str) -> Arc<Shared> {
    Arc::new(Shared { title: title.to_owned(), database: Database::open(None).expect("memory") })
}

async fn make(app: &Routes, draft: Value) -> Reply {
    Call::post("/notes").json(draft.to_string()).send(app).await
}

#[test]
fn databases_in_memory_are_shared_by_cores_and_apart_from_each_other() {
    let one = shared("Notes");
    for core in 1..=3 {
        let one = one.clone();
        on_core(async move |context| {
            let app = routes(&context, one).unwrap();
            assert_eq!(make(&app, json!({"title": "a"})).await.status(), 201);
            let list: Value = Call::get("/notes").send(&app).await.json();
            assert_eq!(list["items"].as_array().unwrap().len(), core);
        });
    }
    on_core(async |context| {
        let list: Value = Call::get("/notes").send(&app(&context)).await.json();
        assert_eq!(list["items"], json!([]));
    });
}

#[test]
fn writers_in_memory_wait_for_each_other() {
    let one = shared("Notes");
    let cores: Vec<_> = (0..4)
        .map(|_| {
            let one = one.clone();
            std::thread::spawn(move || {
                on_core(async move |context| {
                    let app = routes(&context, one).unwrap();
                    for _ in 0..25 {
                        assert_eq!(make(&app, json!({"title": "a"})).await.status(), 201);
                    }
                });
            })
        })
        .collect();
    cores.into_iter().for_each(|core| core.join().unwrap());
    on_core(async move |context| {
        let app = routes(&context, one).unwrap();
        let list: Value = Call::get("/notes?limit=100").send(&app).await.json();
        assert_eq!((list["items"].as_array().unwrap().len(), &list["next"]), (100, &Value::Null));
    });
}

#[test]
fn lists_are_compressed_and_notes_keep_their_tags() {
    on_core(async |core| {
        let app = app(&core);
        let long = json!({"title": "a", "text": "long ".repeat(1000)});
        assert_eq!(make(&app, long).await.status(), 201);
        let ask = async |target: &str| {
            let call = Call::get(target).header("Accept-Encoding", "br, gzip, zstd");
            call.send(&app).await
        };
        for target in ["/", "/notes"] {
            let reply = ask(target).await;
            assert!(reply.header("content-encoding").is_some(), "{target}");
            assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
        }
        // What came back weak could never be sent in If-Match.
        let note = ask("/notes/1").await;
        assert_eq!((note.header("content-encoding"), note.header("etag")), (None, Some("\"1\"")));
        let changed = Call::put("/notes/1").header("If-Match", note.header("etag").unwrap());
        assert_eq!(changed.json(r#"{"title":"b"}"#).send(&app).await.status(), 200);
    });
}

#[test]
fn the_title_is_the_operators_and_escaped() {
    on_core(async |core| {
        let app = routes(&core, shared("<b>Ours & \"theirs\"</b>")).unwrap();
        let page = Call::get("/").send(&app).await;
        let title = "&lt;b&gt;Ours &amp; &quot;theirs&quot;&lt;/b&gt;";
        assert!(page.text().contains(&format!("<title>{title}</title>")), "{}", page.text());
        assert!(page.text().contains(&format!("<h1>{title}</h1>")));
        assert_eq!(Call::new("HEAD", "/").send(&app).await.status(), 200);
    });
}
