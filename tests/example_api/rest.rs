//! What the service promises: conditions, pages that stay stable, one winner among writers, and notes that
//! are still there tomorrow.

use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};

use crate::client::{Api, encoded, json_of, titled};

fn id_of(note: &Value) -> i64 {
    note["id"].as_i64().unwrap()
}

fn ids(page: &Value) -> Vec<i64> {
    page["items"].as_array().unwrap().iter().map(id_of).collect()
}

#[test]
fn a_note_is_made_changed_and_deleted() {
    let api = Api::start();
    let made = api.post(&titled("a").to_string());
    assert_eq!((made.status, made.field("etag")), (201, Some("\"1\"")));
    let target = made.field("location").unwrap().to_owned();
    let id = id_of(&json_of(&made));

    let got = api.get(&target);
    assert_eq!((got.status, got.field("etag"), &got.body), (200, Some("\"1\""), &made.body));
    for (tags, status) in
        [("\"1\"", 304), ("W/\"1\"", 304), ("*", 304), ("\"0\", \"1\"", 304), ("\"2\"", 200)]
    {
        let reply = api.send("GET", &target, &[("If-None-Match", tags)], "");
        assert_eq!((reply.status, reply.field("etag")), (status, Some("\"1\"")), "{tags}");
    }

    let changed = api.put(id, "\"1\"", &json!({"title": "b", "pinned": true, "tag": "t"}));
    assert_eq!((changed.status, changed.field("etag")), (200, Some("\"2\"")));
    let note = json_of(&changed);
    assert_eq!((&note["title"], &note["text"], &note["pinned"]), (&json!("b"), &json!(""), &json!(true)));
    assert_eq!(note["version"], 2);
    api.put(id, "\"1\"", &titled("c")).has_status(412);
    api.put(id, "\"9\", \"2\"", &titled("c")).has_status(200);
    api.put(id, "*", &titled("d")).has_status(200);

    api.send("DELETE", &target, &[("If-Match", "\"2\"")], "").has_status(412);
    let gone = api.send("DELETE", &target, &[("If-Match", "\"4\"")], "");
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    api.get(&target).has_status(404);
    api.put(id, "*", &titled("e")).has_status(404);
    assert_ne!(id_of(&api.make(titled("new"))), id, "an id is never given twice");
}

#[test]
fn of_writers_with_the_same_tag_one_wins() {
    const WRITERS: usize = 8;
    const ROUNDS: i64 = 10;
    let api = Api::start();
    let id = id_of(&api.make(titled("start")));
    let (caller, together) = (*api, Barrier::new(WRITERS));
    for round in 1..=ROUNDS {
        let write = |writer: usize| {
            together.wait();
            let reply = caller.put(id, &format!("\"{round}\""), &titled(&format!("{round} by {writer}")));
            (reply.status == 200).then(|| json_of(&reply)).ok_or(reply.status)
        };
        let outcomes: Vec<Result<Value, u16>> = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}");
        assert!(lost.iter().all(|outcome| *outcome == Err(412)), "{lost:?}");
        let winner = won[0].as_ref().unwrap();
        assert_eq!(winner["version"], round + 1);
        assert_eq!(json_of(&api.get(&format!("/notes/{id}"))), *winner);
    }
}

#[test]
fn many_writers_lose_nothing() {
    const WRITERS: usize = 6;
    const EACH: usize = 15;
    let api = Api::start();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let caller = *api;
            scope.spawn(move || {
                for count in 0..EACH {
                    caller.make(titled(&format!("{writer} {count}")));
                }
            });
        }
    });
    let mut titles: Vec<String> =
        api.all().iter().map(|note| note["title"].as_str().unwrap().to_owned()).collect();
    titles.sort();
    titles.dedup();
    assert_eq!(titles.len(), WRITERS * EACH);
    let api = api.restart();
    assert_eq!(api.all().len(), WRITERS * EACH);
}

#[test]
fn pages_stay_stable_while_notes_come_and_go() {
    let api = Api::start();
    let old: Vec<i64> = (0..40).map(|n| id_of(&api.make(titled(&format!("old {n}"))))).collect();
    let deleted: Vec<i64> = old.iter().copied().step_by(9).collect();
    let mut seen = Vec::new();
    let mut target = Some("/notes?limit=7".to_owned());
    let mut to_delete = deleted.iter().rev();
    while let Some(next) = target {
        let reply = api.get(&next);
        let page = json_of(&reply);
        assert!(page["items"].as_array().unwrap().len() <= 7);
        seen.extend(ids(&page));
        // The body and the field say the same.
        target = page["next"].as_str().map(str::to_owned);
        let link = target.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
        assert_eq!(reply.field("link"), link.as_deref());
        // Between two pages: one that was seen or not goes, the very cursor too, and one comes.
        api.make(titled("new"));
        for id in to_delete.next().into_iter().chain(seen.last()) {
            api.send("DELETE", &format!("/notes/{id}"), &[("If-Match", "*")], "");
        }
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    sorted.dedup();
    assert_eq!(seen, sorted, "newest first, none twice");
    assert!(seen.iter().all(|id| old.contains(id)), "what came later is not on later pages");
    let missed: Vec<_> = old.iter().filter(|id| !seen.contains(id) && !deleted.contains(id)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn filters_add_up_and_pages_keep_them() {
    let api = Api::start();
    for n in 0..30 {
        api.make(json!({
            "title": format!("Note {n}"),
            "text": if n % 2 == 0 { "50% of_it" } else { "50 percent" },
            "tag": if n % 3 == 0 { "a&b=c d" } else { "other" },
            "pinned": n % 5 == 0,
        }));
    }
    let count = |target: &str| ids(&json_of(&api.get(&format!("/notes?limit=100&{target}")))).len();
    assert_eq!(count(""), 30);
    assert_eq!(count("q=50%25"), 15, "a per cent sign is one");
    assert_eq!(count("q=OF_IT"), 15, "letters in either case");
    assert_eq!(count("q=ofxit"), 0, "an underscore is one");
    assert_eq!(count("q=note+1"), 11);
    assert_eq!(count("pinned=true"), 6);
    assert_eq!(count("pinned=false"), 24);
    assert_eq!(count("tag=a%26b%3Dc+d"), 10);
    assert_eq!(count("tag=A%26b%3Dc+d"), 0);
    assert_eq!(count("tag="), 30, "blank is as good as absent");
    assert_eq!(count("tag=a%26b%3Dc+d&pinned=true&q=50%25"), 1);
    assert_eq!(count("after=1"), 0);

    let mut seen = Vec::new();
    let mut target = Some(format!("/notes?limit=3&q=note&tag={}", encoded("a&b=c d")));
    while let Some(next) = target {
        let page = json_of(&api.get(&next));
        assert!(page["items"].as_array().unwrap().iter().all(|note| note["tag"] == "a&b=c d"));
        seen.extend(ids(&page));
        target = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(seen.len(), 10);
    assert_eq!(ids(&json_of(&api.get("/notes"))).len(), 20, "a page of its own accord");
}

#[test]
fn every_answer_has_a_name() {
    let api = Api::start();
    let brought = ("X-Request-Id", "mine");
    let names: Vec<String> = ["/", "/notes", "/notes/1", "/elsewhere"]
        .iter()
        .map(|target| api.send("GET", target, &[brought], "").field("x-request-id").unwrap().to_owned())
        .collect();
    assert!(names.iter().enumerate().all(|(at, name)| name.len() == 32 && !names[..at].contains(name)));
}
