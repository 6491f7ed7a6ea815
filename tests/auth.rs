//! Basic authentication in front of a router: which requests pass, what a change of the file does, and the
//! cost of guessing. Files are written as `htpasswd -B` writes them, with hashes at the lowest cost.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use quoit::filter::{BasicAuth, User};
use quoit::harness::{Call, on_core};
use quoit::ring::Ring;
use quoit::service::{Context, Request, Response, Router, Routes};
use tempfile::TempDir;

/// `secret` at cost 4, a millisecond.
const CHEAP: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
/// A hash that nothing fits, at cost 9: long enough to be measurable.
const DEAR: &str = "$2y$09$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

/// A file of users.
struct File {
    _dir: TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = Self { path: dir.path().join("users"), _dir: dir };
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        // As editors do: a new file takes the name.
        let new = self.path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.path).unwrap();
    }

    fn routes(&self, ring: &Ring) -> Routes {
        let auth = BasicAuth::load(ring, &self.path).expect("a sound file").silent();
        let whoami =
            async |context: Context| context.get::<User>().map_or("?".into(), |u| u.name().to_owned());
        Router::new().around(auth).get("/", whoami).build().expect("sound routes")
    }
}

fn basic(name: &str, password: &str) -> String {
    // Base64 of the pair, by the alphabet.
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let pair = format!("{name}:{password}");
    let mut text = String::from("Basic ");
    for three in pair.as_bytes().chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            text.push(alphabet[(bits >> (18 - 6 * place) & 63) as usize] as char);
        }
    }
    text
}

async fn ask(routes: &Routes, name: &str, password: &str) -> u16 {
    Call::get("/").header("Authorization", &basic(name, password)).send(routes).await.status()
}

#[test]
fn who_has_the_password_gets_through() {
    let file = File::new(&format!("alice:{CHEAP}\n"));
    on_core(async move |core| {
        let routes = file.routes(&core.ring);
        for _ in 0..2 {
            let call = Call::get("/").header("Authorization", &basic("alice", "secret"));
            let response = call.send(&routes).await;
            assert_eq!((response.status(), response.text()), (200, "alice"));
            assert_eq!(ask(&routes, "alice", "Secret").await, 401);
            assert_eq!(ask(&routes, "bob", "secret").await, 401);
            assert_eq!(ask(&routes, "", "").await, 401);
        }
        for value in ["", "Basic", "Bearer abc", "Basic %%%", "Basic YWxpY2U="] {
            let response = Call::get("/").header("Authorization", value).send(&routes).await;
            assert_eq!(response.status(), 401, "{value}");
        }
        let response = Call::get("/absent").send(&routes).await;
        assert_eq!(response.status(), 401, "what is there is nobody's business");
        let challenge = response.header("WWW-Authenticate");
        assert_eq!(challenge, Some("Basic realm=\"restricted\", charset=\"UTF-8\""));
    });
}

#[test]
fn no_request_gets_past() {
    let file = File::new(&format!("alice:{CHEAP}\n"));
    on_core(async move |core| {
        let auth = BasicAuth::load(&core.ring, &file.path).unwrap();
        let everything = async |_request: Request| Response::text("secret");
        let routes = Router::new().around(auth).fallback_service(everything).get("/a/{b}", async || "secret");
        let routes = routes.build().unwrap();
        for (method, target) in [
            ("OPTIONS", "*"),
            ("OPTIONS", "/"),
            ("OPTIONS", "/a/b"),
            ("HEAD", "/"),
            ("BREW", "/"),
            ("POST", "/a/b"),
            ("GET", "/a/./b"),
            ("GET", "//%2e/"),
            ("GET", "http://localhost/a/b"),
            ("CONNECT", "localhost:80"),
        ] {
            let response = Call::new(method, target).send(&routes).await;
            assert_eq!(response.status(), 401, "{method} {target}");
            assert!(!response.text().contains("secret"), "{method} {target}");
        }
    });
}

#[test]
fn realms_are_quoted() {
    let file = File::new(&format!("alice:{CHEAP}\n"));
    on_core(async move |core| {
        let auth = BasicAuth::load(&core.ring, &file.path).unwrap();
        assert!(auth.realm("a\r\nSet-Cookie: b").is_err());
        let auth = BasicAuth::load(&core.ring, &file.path).unwrap().realm("the \"inner\" \\ court").unwrap();
        let routes = Router::new().around(auth).get("/", async || "x").build().unwrap();
        let response = Call::get("/").send(&routes).await;
        let challenge = response.header("WWW-Authenticate").unwrap();
        assert_eq!(challenge, r#"Basic realm="the \"inner\" \\ court", charset="UTF-8""#);
    });
}

#[test]
fn a_name_that_does_not_exist_costs_what_one_does_that_does() {
    let file = File::new(&format!("alice:{DEAR}\nbob:{DEAR}\n"));
    on_core(async move |core| {
        let routes = file.routes(&core.ring);
        let mut fastest = [Duration::MAX; 2];
        for round in 0..5 {
            for (place, name) in ["alice", "mallory"].into_iter().enumerate() {
                let began = Instant::now();
                assert_eq!(ask(&routes, name, &format!("guess {round}")).await, 401);
                fastest[place] = fastest[place].min(began.elapsed());
            }
        }
        let [known, unknown] = fastest;
        // Without a hash it would be thousands of times less; a busy machine makes it twice as much or half.
        assert!(unknown * 8 > known, "{known:?} and {unknown:?}");
    });
}

#[test]
fn a_verdict_is_kept_for_a_moment() {
    let file = File::new(&format!("alice:{}\n", CHEAP));
    on_core(async move |core| {
        let routes = file.routes(&core.ring);
        // The first of each is computed; that takes threads.
        assert_eq!(ask(&routes, "alice", "secret").await, 200);
        assert_eq!(ask(&routes, "alice", "wrong").await, 401);
        let began = Instant::now();
        for _ in 0..2000 {
            assert_eq!(ask(&routes, "alice", "secret").await, 200);
            assert_eq!(ask(&routes, "alice", "wrong").await, 401);
        }
        // 4000 hashes would take seconds in release and minutes in this build.
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    });
}

/// Until the file is due to be looked at. Time is tested here: nothing shows that a mistake was found.
async fn due(ring: &Ring) {
    ring.sleep(Duration::from_millis(1100)).await;
}

#[test]
fn changes_of_the_file_are_followed_and_mistakes_are_not() {
    let file = File::new(&format!("alice:{CHEAP}\n"));
    on_core(async move |core| {
        let routes = file.routes(&core.ring);
        assert_eq!(ask(&routes, "alice", "secret").await, 200);
        assert_eq!(ask(&routes, "bob", "secret").await, 401);
        file.write(&format!("bob:{CHEAP}\n"));
        due(&core.ring).await;
        // Alice was believed a moment ago, and is no more.
        assert_eq!(ask(&routes, "alice", "secret").await, 401);
        assert_eq!(ask(&routes, "bob", "secret").await, 200);
        for mistake in ["bob:secret\n", "", "no colon"] {
            file.write(mistake);
            due(&core.ring).await;
            assert_eq!(ask(&routes, "bob", "secret").await, 200, "the old users stay: {mistake}");
            assert_eq!(ask(&routes, "alice", "secret").await, 401);
        }
        fs::remove_file(&file.path).unwrap();
        due(&core.ring).await;
        assert_eq!(ask(&routes, "bob", "secret").await, 200, "a file that is being replaced is not there");
        file.write(&format!("alice:{CHEAP}\n"));
        due(&core.ring).await;
        assert_eq!(ask(&routes, "alice", "secret").await, 200);
        assert_eq!(ask(&routes, "bob", "secret").await, 401);
    });
}

#[test]
fn a_flood_of_guesses_is_bounded() {
    let file = File::new(&format!("alice:{CHEAP}\n"));
    on_core(async move |core| {
        let routes = Rc::new(file.routes(&core.ring));
        let counts: Rc<[Cell<u32>; 2]> = Rc::default();
        let running = Rc::new(Cell::new(200));
        for guess in 0..200 {
            let (routes, counts, running) = (routes.clone(), counts.clone(), running.clone());
            let task = async move {
                let status = ask(&routes, "alice", &format!("guess {guess}")).await;
                let kind = match status {
                    401 => 0,
                    503 => 1,
                    other => panic!("{other}"),
                };
                counts[kind].set(counts[kind].get() + 1);
                running.set(running.get() - 1);
            };
            core.ring.spawn(task, |_| ());
        }
        let began = Instant::now();
        while running.get() > 0 {
            assert!(began.elapsed() < Duration::from_secs(120));
            core.ring.sleep(Duration::from_millis(10)).await;
        }
        assert!(counts[0].get() >= 64 && counts[1].get() > 0, "{counts:?}");
        assert_eq!(ask(&routes, "alice", "secret").await, 200, "and then it is over");
    });
}

/// Starts `count` guesses, each of which takes long, and waits until they are under way.
async fn flood(ring: &Ring, routes: &Rc<Routes>, count: usize) {
    for guess in 0..count {
        let routes = routes.clone();
        let task = async move {
            ask(&routes, &format!("mallory {guess}"), "a guess").await;
        };
        ring.spawn(task, |_| ());
    }
    for _ in 0..4 {
        ring.next_turn().await;
    }
}

#[test]
fn guesses_delay_neither_known_users_nor_other_work() {
    let file = File::new(&format!("alice:{CHEAP}\n"));
    // Of every other name the guess is tried on this one.
    let dear = File::new(&format!("bob:{DEAR}\n"));
    on_core(async move |core| {
        let (routes, dear) = (file.routes(&core.ring), Rc::new(dear.routes(&core.ring)));
        assert_eq!(ask(&routes, "alice", "secret").await, 200);
        let another_core = file.routes(&core.ring);
        flood(&core.ring, &dear, 64).await;
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(ask(&routes, "alice", "secret").await, 200);
            core.ring.blocking(|| ()).await;
        }
        assert_eq!(ask(&another_core, "alice", "secret").await, 200, "what one core knows another does");
        // One hash of the flood takes tens of milliseconds in release and a second in this build; 64 do not
        // fit here.
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        // One who is new has a turn after each guess of others, and not after all of them.
        assert_eq!(ask(&routes, "alice", "another").await, 401);
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    });
}

/// A connection to a server, and what it answers.
struct Connection(std::net::TcpStream);

impl Connection {
    fn ask(&mut self, name: &str, password: &str) -> (u16, String) {
        use std::io::{Read as _, Write as _};
        let authorization = basic(name, password);
        write!(self.0, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n").unwrap();
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let read = self.0.read(&mut piece).unwrap();
            assert!(read > 0, "the connection was closed");
            text.extend_from_slice(&piece[..read]);
            let all = String::from_utf8_lossy(&text);
            let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                return (head[9..12].parse().unwrap(), head.to_owned());
            }
        }
    }
}

/// A server whose one page is behind the passwords of `file`.
fn guarded(file: &File, workers: usize) -> (quoit::Running, std::net::SocketAddr) {
    let path = file.path.clone();
    let server = quoit::Server::new().listen("127.0.0.1:0".parse().unwrap()).workers(workers).quiet(true);
    let running = server
        .try_start(move |core| {
            let auth = BasicAuth::load(&core.ring, &path).map_err(|error| error.to_string())?.silent();
            Router::new().around(auth).get("/", async || "in").build().map_err(|error| error.to_string())
        })
        .unwrap();
    let quoit::net::Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    (running, addr)
}

#[test]
fn a_client_with_wrong_passwords_has_to_wait_and_others_do_not() {
    let file = File::new(&format!("alice:{CHEAP}\nbob:{CHEAP}\n"));
    let (running, addr) = guarded(&file, 1);
    let from = |last: u8| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let own: std::net::SocketAddr = ([127, 0, 0, last], 0).into();
        socket.bind(&own.into()).unwrap();
        socket.connect(&addr.into()).unwrap();
        Connection(socket.into())
    };
    let (mut guesser, mut beside, mut other) = (from(1), from(1), from(2));
    let mut statuses = Vec::new();
    for guess in 0..8 {
        let (status, head) = guesser.ask("alice", &format!("guess {guess}"));
        assert!(status != 429 || head.contains("Retry-After: "), "{head}");
        statuses.push(status);
    }
    assert_eq!(statuses[..5], [401; 5]);
    assert!(statuses[5..].contains(&429), "{statuses:?}");
    assert_eq!(guesser.ask("bob", "secret").0, 200, "another user of the same proxy");
    assert_eq!(beside.ask("alice", "again").0, 429, "on another connection from the same address");
    assert_eq!(other.ask("alice", "secret").0, 200, "the owner elsewhere");
    // Otherwise a guesser, who gets this answer to wrong guesses, would find the password of a user who is
    // logged in.
    assert_eq!(guesser.ask("alice", "secret").0, 429, "that the owner is known elsewhere changes nothing");
    assert_eq!(beside.ask("bob", "secret").0, 200);
    for guess in 0..8 {
        guesser.ask("bob", &format!("guess {guess}"));
    }
    assert_eq!(guesser.ask("bob", "another").0, 429);
    assert_eq!(beside.ask("bob", "secret").0, 200, "who was known at the address before the guesses");
    running.stop().unwrap();
}

#[test]
fn guesses_at_once_count_as_many_and_the_same_password_as_one() {
    const AT_ONCE: usize = 40;
    // Long enough that all have begun before the first was judged.
    let file = File::new(&format!("alice:{CHEAP}\nmallory:{DEAR}\n"));
    let (running, addr) = guarded(&file, 2);
    let at_once = |name: &'static str, password: fn(usize) -> String| -> Vec<u16> {
        let asked = (0..AT_ONCE).map(|number| {
            let mut connection = Connection(std::net::TcpStream::connect(addr).unwrap());
            std::thread::spawn(move || connection.ask(name, &password(number)).0)
        });
        asked.collect::<Vec<_>>().into_iter().map(|asked| asked.join().unwrap()).collect()
    };
    let count = |statuses: &[u16], status| statuses.iter().filter(|known| **known == status).count();
    // A browser: all of them are right, and none is known.
    let right = at_once("alice", |_| "secret".to_owned());
    assert_eq!(right, [200; AT_ONCE]);
    let wrong = at_once("mallory", |number| format!("guess {number}"));
    assert!(count(&wrong, 401) <= 6 && count(&wrong, 401) + count(&wrong, 429) == AT_ONCE, "{wrong:?}");
    running.stop().unwrap();
}
