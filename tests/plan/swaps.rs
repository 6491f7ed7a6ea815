//! Plans swapped on running workers: nothing is lost, every response is whole and belongs to one plan, and a
//! plan that cannot be built changes nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use quoit::filter::FieldsOptions;
use quoit::handler::{DirectoryOptions, RespondOptions};
use quoit::net::Address;
use quoit::plan::{FilterOptions, HandlerOptions, Plan, Route, Site};
use quoit::service::{CoreContext, Request, Response};
use quoit::{ReplaceError, Running, Server};

use crate::common::{Client, HELLO, PATIENCE, lenient};
use crate::peer::Peer;

/// Bytes of each body: several frames of HTTP/2, more than one block of a file.
const BODY: usize = 40_000;

const SWAPS: usize = 100;

fn start(plan: Plan) -> (Running, SocketAddr) {
    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let server = Server::new().listen(any).workers(2).limits(lenient()).quiet(true);
    let running = server.start_plan(plan).unwrap_or_else(|error| panic!("{error}"));
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    (running, addr)
}

/// Files alone, which are called without a router: bodies of `a`.
fn files(dir: &Path) -> Plan {
    std::fs::write(dir.join("x"), vec![b'a'; BODY]).unwrap();
    Plan::builder().default_site(Site::of(HandlerOptions::Files(DirectoryOptions::new(dir)))).build()
}

/// Routes and a filter: bodies of `b`.
fn routes() -> Plan {
    let body = vec![b'b'; BODY].into();
    let respond = HandlerOptions::Respond(RespondOptions { body, ..RespondOptions::default() });
    let fields = FieldsOptions { fields: vec![("X-Plan".into(), "b".into())] };
    let site = Site::new().filter(FilterOptions::Fields(fields)).route(Route::get("/x", respond));
    Plan::builder().default_site(site).build()
}

/// A handler that waits, so that requests are in progress when its plan goes: bodies of `c`.
fn waiting() -> Plan {
    let handler = HandlerOptions::custom("waiting", |core: &CoreContext| {
        let ring = core.ring.clone();
        Ok::<_, Infallible>(async move |_request: Request| -> Response {
            for _ in 0..20 {
                ring.next_turn().await;
            }
            Response::text(vec![b'c'; BODY])
        })
    });
    Plan::builder().default_site(Site::of(handler)).build()
}

/// Whose response this is; it must be whole.
#[track_caller]
fn letter(status: u16, plan: Option<&str>, body: &[u8]) -> u8 {
    assert_eq!((status, body.len()), (200, BODY));
    assert!(body.iter().all(|byte| *byte == body[0]), "one response of two plans");
    assert_eq!(plan, (body[0] == b'b').then_some("b"), "the fields of one plan and the body of another");
    body[0]
}

const ASK: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

fn ask_h1(client: &mut Client) -> u8 {
    let response = client.ask(ASK);
    letter(response.status, response.field("X-Plan"), &response.body)
}

fn ask_h2(peer: &mut Peer) -> u8 {
    let answer = peer.get("/x");
    letter(answer.status, answer.field("x-plan"), &answer.body)
}

/// Asks until it is stopped; how often each plan answered.
fn load(
    stops: &Arc<AtomicBool>,
    answered: &Arc<AtomicUsize>,
    mut ask: impl FnMut() -> u8 + Send + 'static,
) -> JoinHandle<[usize; 3]> {
    let (stops, answered) = (stops.clone(), answered.clone());
    thread::spawn(move || {
        let mut counts = [0; 3];
        while !stops.load(Ordering::Relaxed) {
            counts[usize::from(ask() - b'a')] += 1;
            answered.fetch_add(1, Ordering::Relaxed);
        }
        counts
    })
}

#[test]
fn a_hundred_swaps_under_load_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let plans = [files(dir.path()), routes(), waiting()];
    let (mut running, addr) = start(plans[0].clone());
    let (stops, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut loads = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(addr);
        loads.push(load(&stops, &answered, move || ask_h1(&mut client)));
        let mut peer = Peer::connect(addr);
        loads.push(load(&stops, &answered, move || ask_h2(&mut peer)));
    }
    let (mut client, mut peer) = (Client::connect(addr), Peer::connect(addr));
    for swap in 1..=SWAPS {
        // Every plan serves some of the load.
        let seen = answered.load(Ordering::Relaxed);
        let mut now = plans[swap % 3].clone();
        while answered.load(Ordering::Relaxed) < seen + 6 {
            assert!(loads.iter().all(|load| !load.is_finished()), "a load failed at swap {swap}");
            thread::yield_now();
        }
        let diff = running.replace_plan(now.clone()).unwrap_or_else(|error| panic!("swap {swap}: {error}"));
        assert!(!diff.is_empty());
        now.listeners.clone_from(&running.plan().unwrap().listeners);
        assert_eq!(running.plan().as_deref(), Some(&now));
        // What begins after the swap is the new plan's, on connections old and new.
        let expected = b'a' + (swap % 3) as u8;
        assert_eq!(ask_h1(&mut client), expected, "swap {swap}");
        assert_eq!(ask_h2(&mut peer), expected, "swap {swap}");
        assert_eq!(ask_h1(&mut Client::connect(addr)), expected, "swap {swap}");
    }
    stops.store(true, Ordering::Relaxed);
    let mut counts = [0; 3];
    for load in loads {
        for (sum, count) in counts.iter_mut().zip(load.join().expect("every response was whole")) {
            *sum += count;
        }
    }
    assert!(counts.iter().all(|&count| count > 0), "every plan had its share: {counts:?}");
    let asked = counts.iter().sum::<usize>() + 3 * SWAPS;
    let totals = running.stop().unwrap();
    assert_eq!((totals.requests, totals.panics, totals.timed_out), (asked as u64, 0, 0));
}

/// The request in progress ends with the plan it began with, and the next one on the same connection does
/// not.
#[test]
fn a_request_in_progress_ends_with_its_own_plan() {
    let (enter, entered) = mpsc::channel();
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let held = HandlerOptions::custom("held", move |core: &CoreContext| {
        let (ring, gate, enter) = (core.ring.clone(), gate.clone(), enter.clone());
        Ok::<_, Infallible>(async move |_request: Request| -> Response {
            enter.send(()).unwrap();
            // The test has no other way into the core.
            while !gate.load(Ordering::Relaxed) {
                ring.sleep(Duration::from_millis(1)).await;
            }
            Response::text("before")
        })
    });
    let (mut running, addr) = start(Plan::builder().default_site(Site::of(held)).build());
    let mut client = Client::connect(addr);
    client.send(HELLO);
    entered.recv_timeout(PATIENCE).expect("the handler is called");
    let after = Plan::builder().default_site(Site::of(HandlerOptions::text("after"))).build();
    running.replace_plan(after).unwrap();
    Client::connect(addr).ask(HELLO).is(200, "after");
    open.store(true, Ordering::Relaxed);
    client.response().is(200, "before");
    client.ask(HELLO).is(200, "after");
    running.stop().unwrap();
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("as the test wants it");
    }
}

#[test]
fn a_service_that_panics_when_it_is_dropped_is_replaced_all_the_same() {
    let bomb = HandlerOptions::custom("bomb", |_: &CoreContext| {
        let bomb = Bomb;
        Ok::<_, Infallible>(async move |_: Request| -> Response {
            let _bomb = &bomb;
            Response::text("bomb")
        })
    });
    let bomb = Plan::builder().default_site(Site::of(bomb)).build();
    let text =
        |text: &'static str| Plan::builder().default_site(Site::of(HandlerOptions::text(text))).build();
    let (mut running, addr) = start(text("first"));
    for _ in 0..2 {
        running.replace_plan(bomb.clone()).unwrap();
        Client::connect(addr).ask(HELLO).is(200, "bomb");
        running.replace_plan(text("after")).unwrap();
        Client::connect(addr).ask(HELLO).is(200, "after");
    }
    assert_eq!(running.stop().unwrap().panics, 4);
}

#[test]
fn a_plan_that_one_worker_cannot_build_changes_nothing() {
    let text =
        |text: &'static str| Plan::builder().default_site(Site::of(HandlerOptions::text(text))).build();
    let (mut running, addr) = start(text("first"));
    let first = Plan::clone(&running.plan().unwrap());
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(addr)).collect();
    let on_worker_1 = |what: fn() -> Result<(), &'static str>| {
        let handler = HandlerOptions::custom("picky", move |core: &CoreContext| {
            if core.worker == 1 {
                what()?;
            }
            Ok::<_, &str>(async |_: Request| Response::text("second"))
        });
        Plan::builder().default_site(Site::of(handler)).build()
    };
    for (plan, words) in [
        (on_worker_1(|| Err("not here")), "custom `picky`: not here"),
        (on_worker_1(|| panic!("as the test wants it")), "panicked while it was made: as the test wants it"),
    ] {
        match running.replace_plan(plan) {
            Err(error @ ReplaceError::Plan(_)) => assert!(error.to_string().contains(words), "{error}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(running.plan().as_deref(), Some(&first));
        for client in &mut clients {
            client.ask(HELLO).is(200, "first");
        }
    }
    running.replace_plan(text("third")).unwrap();
    for client in &mut clients {
        client.ask(HELLO).is(200, "third");
    }
    running.stop().unwrap();
}

#[test]
fn a_worker_that_is_started_again_serves_the_plan_in_force() {
    let text = || Site::of(HandlerOptions::text("first"));
    let (mut running, addr) = start(Plan::builder().default_site(text()).build());
    let handler = HandlerOptions::custom("second", |_core: &CoreContext| {
        Ok::<_, Infallible>(async |request: Request| -> Response {
            if request.head().path() == "/lose" {
                let task = async {
                    quoit::ring::yield_now().await;
                    panic!("a worker is lost, as the test wants it to")
                };
                glommio::spawn_local(task).detach();
                std::future::pending::<()>().await;
            }
            Response::text("second")
        })
    });
    running.replace_plan(Plan::builder().default_site(Site::of(handler)).build()).unwrap();
    for _ in 0..3 {
        let mut client = Client::connect(addr);
        client.send("GET /lose HTTP/1.1\r\nHost: a\r\n\r\n");
        client.end();
        for _ in 0..16 {
            Client::connect(addr).ask(HELLO).is(200, "second");
        }
    }
    running.replace_plan(Plan::builder().default_site(text()).build()).unwrap();
    for _ in 0..16 {
        Client::connect(addr).ask(HELLO).is(200, "first");
    }
    running.stop().unwrap();
}

#[test]
fn listeners_are_swapped_with_the_plan() {
    let any = || -> Address { "127.0.0.1:0".parse().unwrap() };
    let handler = |text: &'static str| {
        HandlerOptions::custom(text, move |_core: &CoreContext| {
            Ok::<_, Infallible>(async move |request: Request| -> Response {
                if request.head().path() == "/lose" {
                    let task = async {
                        quoit::ring::yield_now().await;
                        panic!("a worker is lost, as the test wants it to")
                    };
                    glommio::spawn_local(task).detach();
                    std::future::pending::<()>().await;
                }
                Response::text(text)
            })
        })
    };
    let plan = |addresses: &[Address], text| {
        let site = Site::of(handler(text));
        let builder = addresses.iter().cloned().fold(Plan::builder(), |plan, address| plan.listen(address));
        builder.default_site(site).build()
    };
    let (mut running, first) = start(plan(&[any()], "one"));
    let mut kept = Client::connect(first);
    kept.ask(HELLO).is(200, "one");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    let unix = Address::Unix(path.clone());
    running.replace_plan(plan(&[any(), unix.clone(), any()], "two")).unwrap();
    let addrs = |running: &Running| -> Vec<SocketAddr> {
        running.urls().iter().filter_map(|url| url.strip_prefix("http://")?.parse().ok()).collect()
    };
    let second = addrs(&running)[1];
    assert_eq!(addrs(&running)[0], first, "its socket stays");
    kept.ask(HELLO).is(200, "two");
    // On every worker, also on one that is started again.
    for addr in [second, first] {
        let mut client = Client::connect(addr);
        client.send("GET /lose HTTP/1.1\r\nHost: a\r\n\r\n");
        client.end();
        for addr in [first, second] {
            for _ in 0..16 {
                Client::connect(addr).ask(HELLO).is(200, "two");
            }
        }
    }
    let asked = std::os::unix::net::UnixStream::connect(&path).is_ok();
    assert!(asked && path.exists());

    // An address that is taken changes nothing, neither listeners nor routes.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = Address::Inet(taken.local_addr().unwrap());
    let before = running.urls();
    let refused = running.replace_plan(plan(&[any(), taken, any()], "three")).unwrap_err();
    assert!(matches!(refused, ReplaceError::Prepare(_)) && refused.to_string().contains("the port is taken"));
    assert_eq!(running.urls(), before);
    Client::connect(second).ask(HELLO).is(200, "two");
    // The same with a plan that fails on a core after its listeners were bound.
    let failing = HandlerOptions::custom("bad", |_core: &CoreContext| {
        Err::<fn(Request) -> std::future::Ready<Response>, _>("no database")
    });
    let bad = Plan::builder().listen(any()).listen(any()).listen(any()).default_site(Site::of(failing));
    assert!(matches!(running.replace_plan(bad.build()), Err(ReplaceError::Plan(_))));
    assert_eq!(running.urls(), before);

    // What is removed accepts nothing more; what it accepted goes on.
    let mut accepted = Client::connect(first);
    accepted.ask(HELLO).is(200, "two");
    let fixed = Address::Inet(second);
    running.replace_plan(plan(std::slice::from_ref(&fixed), "four")).unwrap_err();
    running.replace_plan(plan(&[any(), any()], "four")).unwrap();
    assert!(!path.exists(), "the file of a removed socket goes");
    crate::common::until("the socket is closed", || {
        std::os::unix::net::UnixStream::connect(&path).is_err().then_some(())
    });
    running.replace_plan(plan(&[any()], "five")).unwrap();
    assert_eq!(addrs(&running), [first]);
    crate::common::until("its port is free", || std::net::TcpListener::bind(second).ok());
    accepted.ask(HELLO).is(200, "five");
    running.stop().unwrap();
}

#[test]
fn what_cannot_be_swapped_is_refused_by_name() {
    let text = || Site::of(HandlerOptions::text("x"));
    let (mut running, addr) = start(Plan::builder().default_site(text()).build());
    Client::connect(addr).ask(HELLO).is(200, "x");
    // The same listeners may be named again.
    let again = Plan::clone(&running.plan().unwrap());
    assert!(running.replace_plan(again).unwrap().is_empty());
    running.stop().unwrap();

    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let server = Server::new().listen(any).workers(1).quiet(true);
    let mut running = server.start(|_| async |_: Request| Response::text("closure")).unwrap();
    let plan = Plan::builder().default_site(text()).build();
    assert!(matches!(running.replace_plan(plan), Err(ReplaceError::NoPlan)));
    assert_eq!(running.plan(), None);
    running.stop().unwrap();
}
