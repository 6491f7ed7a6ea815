//! Filters: order, early answers, scopes, and those that wait.

use std::ops::ControlFlow;

use quoit::http::status::Status;
use quoit::service::{Context, Extension, Filter, Next, Request, Response, Router};

use crate::common::{Client, Response as Answer, lenient, serve_with};

/// Records its name before and after; answers by itself when the path names it.
struct Mark(&'static str);

#[derive(Clone, Default)]
struct Trail(String);

impl Filter for Mark {
    fn before(&self, request: &mut Request) -> ControlFlow<Response> {
        let context = request.context();
        let trail = context.get::<Trail>().map_or_else(String::new, |trail| trail.0.clone());
        context.insert(Trail(trail + self.0));
        if request.head().path().ends_with(&format!("/stop-{}", self.0)) {
            return ControlFlow::Break(Response::text(format!("stopped by {}", self.0)));
        }
        ControlFlow::Continue(())
    }

    fn after(&self, context: &Context, response: &mut Response) {
        let out = response.field_value("X-Out").map_or_else(Vec::new, <[u8]>::to_vec);
        response.set_field("X-Out", [&out, self.0.as_bytes()].concat()).expect("letters");
        if let Some(trail) = context.get::<Trail>() {
            response.set_field("X-In", &trail.0).expect("letters");
        }
    }
}

async fn trail(trail: Extension<Trail>) -> String {
    trail.0.clone()
}

fn ask(client: &mut Client, path: &str) -> Answer {
    client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[test]
fn filters_run_in_order_and_back_in_reverse() {
    let server = serve_with(1, lenient(), |core| {
        let ring = core.ring.clone();
        let inner = Router::new().get("/", trail).get("/stop-b", trail).filter(Mark("c")).filter(Mark("d"));
        Router::new()
            .get("/", trail)
            .nest("/inner", inner)
            .filter(Mark("a"))
            .around(async move |request: Request, next: Next<'_>| {
                ring.next_turn().await;
                if request.head().path() == "/around" {
                    return Response::text("not passed on").with_status(Status::ACCEPTED);
                }
                let mut response = next.run(request).await;
                ring.next_turn().await;
                response.add_field("X-Around", "yes").expect("letters");
                response
            })
            .filter(Mark("b"))
            .build()
            .expect("sound routes")
    });
    let mut client = Client::connect(server.addr);
    for (path, status, body, out, around) in [
        ("/", 200, "ab", "ba", Some("yes")),
        ("/inner", 200, "abcd", "dcba", Some("yes")),
        ("/stop-a", 200, "stopped by a", "", None),
        ("/inner/stop-b", 200, "stopped by b", "a", Some("yes")),
        ("/inner/stop-c", 200, "stopped by c", "ba", Some("yes")),
        ("/inner/stop-d", 200, "stopped by d", "cba", Some("yes")),
        ("/around", 202, "not passed on", "a", None),
    ] {
        let answer = ask(&mut client, path);
        answer.is(status, body);
        assert_eq!(answer.field("x-out").unwrap_or_default(), out, "{path}");
        assert_eq!(answer.field("x-around"), around, "{path}");
    }
    // Misses pass the filters of their scope.
    let missed = ask(&mut client, "/inner/no");
    assert_eq!(
        (missed.status, missed.field("x-out"), missed.field("x-in")),
        (404, Some("dcba"), Some("abcd"))
    );
    let missed = ask(&mut client, "/no");
    assert_eq!((missed.status, missed.field("x-out")), (404, Some("ba")));
    let refused = client.ask("PUT /inner HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((refused.status, refused.field("x-out")), (405, Some("dcba")));
}
