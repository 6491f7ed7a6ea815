//! The thread with real sockets: what it finds is seen by every core.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use crate::harness::on_core;
use crate::http::status::Status;
use crate::net::Address;
use crate::ring::Ring;
use crate::service::CoreContext;
use crate::upstream::{
    Balance, CheckKind, CheckOptions, EndpointStatus, Group, Health, NoEndpoint, Outcome, PickKey, Tried,
    UpstreamOptions, Upstreams,
};

/// A server that answers each connection with the text of the moment, if it has one, and counts them.
struct Endpoint {
    addr: SocketAddr,
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
    request: Arc<Mutex<String>>,
}

impl Endpoint {
    fn start(answer: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let endpoint = Self {
            addr,
            answer: Arc::new(Mutex::new(answer.map(str::to_owned))),
            asked: Arc::default(),
            request: Arc::default(),
        };
        let (answer, asked, seen) =
            (endpoint.answer.clone(), endpoint.asked.clone(), endpoint.request.clone());
        thread::spawn(move || {
            let mut silent = Vec::new();
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else { return };
                asked.fetch_add(1, Relaxed);
                let mut request = [0; 1024];
                let Some(answer) = answer.lock().unwrap().clone() else {
                    silent.push(connection);
                    continue;
                };
                // A check of the connection alone sends nothing.
                let length = connection.read(&mut request).unwrap_or(0);
                *seen.lock().unwrap() = String::from_utf8_lossy(&request[..length]).into_owned();
                let _ = connection.write_all(answer.as_bytes());
            }
        });
        endpoint
    }

    fn answer(&self, answer: Option<&str>) {
        *self.answer.lock().unwrap() = answer.map(str::to_owned);
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn checked(addr: SocketAddr, kind: CheckKind) -> UpstreamOptions {
    let checks = CheckOptions {
        kind,
        interval: Duration::from_millis(40),
        timeout: Duration::from_millis(150),
        ..CheckOptions::default()
    };
    let options = UpstreamOptions::new("a", [addr.to_string()]).unwrap();
    UpstreamOptions { checks: Some(checks), ..options }
}

fn endpoint(core: &CoreContext) -> EndpointStatus {
    core.process.get::<Upstreams>().status(core.ring.now())[0].endpoints[0].clone()
}

async fn until(ring: &Ring, what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..400 {
        if is_so() {
            return;
        }
        ring.sleep(Duration::from_millis(16)).await;
    }
    panic!("not within some seconds: {what}");
}

async fn health(core: &CoreContext, health: Health) {
    until(&core.ring, &format!("{health:?}"), || endpoint(core).health == health).await;
}

#[test]
fn health_follows_status_and_body() {
    on_core(async |core| {
        let server = Endpoint::start(Some(&ok("all is ready")));
        let mut kind = CheckKind::http("/health?deep=1");
        if let CheckKind::Http { host, body, .. } = &mut kind {
            (*host, *body) = (Some("app.test".to_owned()), Some("ready".to_owned()));
        }
        let group = Group::new(&Arc::new(checked(server.addr, kind)), &core).unwrap();
        assert_eq!(endpoint(&core).health, Health::Unknown);
        health(&core, Health::Up).await;
        let request = server.request.lock().unwrap().clone();
        assert!(request.starts_with("GET /health?deep=1 HTTP/1.1\r\nHost: app.test\r\n"), "{request}");
        server.answer(Some("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
        health(&core, Health::Down).await;
        server.answer(Some(&ok("ready")));
        health(&core, Health::Up).await;
        // Without the text, also when the body comes in chunks or has no length.
        server.answer(Some("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n0\r\n\r\n"));
        health(&core, Health::Down).await;
        server.answer(Some(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n",
        ));
        health(&core, Health::Up).await;
        server.answer(Some("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nrea"));
        health(&core, Health::Down).await;
        drop(group);
    });
}

#[test]
fn what_does_not_answer_or_speaks_no_http_is_unhealthy_and_is_told_apart_from_what_does() {
    on_core(async |core| {
        let server = Endpoint::start(None);
        let _group = Group::new(&Arc::new(checked(server.addr, CheckKind::http("/"))), &core).unwrap();
        health(&core, Health::Down).await;
        server.answer(Some(&ok("")));
        health(&core, Health::Up).await;
        server.answer(Some("SSH-2.0-x\r\n"));
        health(&core, Health::Down).await;
        server.answer(Some(&ok("")));
        health(&core, Health::Up).await;
    });
}

#[test]
fn a_connection_is_enough_for_tcp() {
    on_core(async |core| {
        let server = Endpoint::start(None);
        let _group = Group::new(&Arc::new(checked(server.addr, CheckKind::Tcp)), &core).unwrap();
        health(&core, Health::Up).await;
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = UpstreamOptions { name: "b".into(), ..checked(gone, CheckKind::Tcp) };
        let _group = Group::new(&Arc::new(refused), &core).unwrap();
        let upstreams = core.process.get::<Upstreams>();
        let is_down = || upstreams.status(core.ring.now())[1].endpoints[0].health == Health::Down;
        until(&core.ring, "a closed port is unhealthy", is_down).await;
    });
}

#[test]
fn an_endpoint_is_checked_once_whatever_plans_name_it_and_no_longer_than_one_does() {
    on_core(async |core| {
        let server = Endpoint::start(Some(&ok("")));
        let options = Arc::new(checked(server.addr, CheckKind::http("/")));
        let cores: Vec<_> = (0..8).map(|_| Group::new(&options, &core).unwrap()).collect();
        health(&core, Health::Up).await;
        let (before, start) = (server.asked.load(Relaxed), core.ring.now());
        core.ring.sleep(Duration::from_millis(400)).await;
        // An interval has 36 ms at least, however late this core wakes up.
        let max = (core.ring.now() - start).as_millis() as usize / 36 + 2;
        let count = server.asked.load(Relaxed) - before;
        assert!((2..=max).contains(&count), "{count}");
        // A plan without checks.
        let without = Arc::new(UpstreamOptions { checks: None, ..(*options).clone() });
        let group = Group::new(&without, &core).unwrap();
        drop(cores);
        group.pick(&PickKey::default(), &Tried::default(), core.ring.now()).unwrap();
        health(&core, Health::Unknown).await;
        let before = server.asked.load(Relaxed);
        core.ring.sleep(Duration::from_millis(200)).await;
        assert_eq!(server.asked.load(Relaxed), before);
        // And one with them again.
        let again = Group::new(&options, &core).unwrap();
        again.pick(&PickKey::default(), &Tried::default(), core.ring.now()).unwrap();
        health(&core, Health::Up).await;
        drop((group, again));
        core.ring.sleep(Duration::from_millis(100)).await;
        let before = server.asked.load(Relaxed);
        core.ring.sleep(Duration::from_millis(200)).await;
        assert_eq!(server.asked.load(Relaxed), before);
    });
}

#[test]
fn names_are_looked_up_off_the_core() {
    on_core(async |core| {
        let options = UpstreamOptions::new("a", ["localhost:9", "no.such.name.invalid:9"]).unwrap();
        let group = Group::new(&Arc::new(options), &core).unwrap();
        let pick = || group.pick(&PickKey::default(), &Tried::default(), core.ring.now());
        assert!(matches!(pick().map(drop), Err(NoEndpoint::Unresolved) | Ok(())));
        until(&core.ring, "localhost has an address", || pick().is_ok()).await;
        assert_eq!(endpoint(&core).endpoint, "localhost:9 (127.0.0.1)");
        assert_eq!(group.endpoints().len(), 1);
        let unknown = UpstreamOptions::new("b", ["no.such.name.invalid:9"]).unwrap();
        let unknown = Group::new(&Arc::new(unknown), &core).unwrap();
        let pick = || unknown.pick(&PickKey::default(), &Tried::default(), core.ring.now()).map(drop);
        until(&core.ring, "the look-up has failed", || pick() == Err(NoEndpoint::Unavailable)).await;
    });
}

#[test]
fn added_and_removed_addresses_take_effect_at_once_and_others_keep_their_state() {
    on_core(async |core| {
        let mut options = UpstreamOptions::new("a", ["pool.invalid:80"]).unwrap();
        options.balance = Balance::RoundRobin;
        let cores: Vec<_> = (0..3).map(|_| Group::new(&Arc::new(options.clone()), &core).unwrap()).collect();
        let upstreams = core.process.get::<Upstreams>();
        let name =
            upstreams.name(super::Wanted { name: "pool.invalid".into(), port: Some(80), resolver: None });
        let addr = |last: u8| SocketAddr::from(([10, 0, 0, last], 80));
        let now = core.ring.now();
        let pick = |number: usize| {
            let pick = cores[number % 3].pick(&PickKey::default(), &Tried::default(), now).unwrap();
            let Address::Inet(addr) = pick.endpoint().address() else { panic!("a TCP address") };
            (addr.ip().to_string(), pick)
        };
        let seen = || (0..12).map(|number| pick(number).0).collect::<BTreeSet<_>>();
        name.set(vec![addr(1), addr(2)]);
        assert_eq!(seen(), ["10.0.0.1", "10.0.0.2"].map(String::from).into());
        let second = cores[0].endpoints()[1].clone();
        let (of_first, mut held) = (0..9).map(pick).find(|(ip, _)| ip == "10.0.0.1").unwrap();
        name.set(vec![addr(2), addr(3)]);
        assert_eq!(seen(), ["10.0.0.2", "10.0.0.3"].map(String::from).into());
        assert!(Rc::ptr_eq(&cores[0].endpoints()[0], &second), "{of_first} has gone, the other is the same");
        // What is open goes on, and is forgotten with its end.
        let known = || upstreams.status(now)[0].endpoints.len();
        held.record(Outcome::Response(Status::OK), Duration::from_millis(1), now);
        assert_eq!(known(), 3);
        drop(held);
        assert_eq!(known(), 2);
        // A look-up that fails takes nothing away.
        name.take(Err(std::io::ErrorKind::TimedOut.into()));
        assert_eq!(seen().len(), 2);
    });
}
