//! The command line as operators meet it: the built program is started, asked, signalled and refused things
//! for real. What it answers to HTTP in detail is tested elsewhere.

#[path = "cli/admin.rs"]
mod admin;
#[path = "cli/config.rs"]
mod config;
#[path = "cli/directory.rs"]
mod directory;
#[path = "cli/flags.rs"]
mod flags;
#[path = "cli/live.rs"]
mod live;
#[path = "cli/metrics.rs"]
mod metrics;
#[path = "cli/mistakes.rs"]
mod mistakes;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "cli/server.rs"]
mod server;
#[path = "common/wait.rs"]
mod wait;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use server::{Server, get, get_over, quoit, refused, run};
use tempfile::TempDir;
use wait::until;

const ANY_PORT: &str = "127.0.0.1:0";

/// A directory with a page in it.
fn site() -> TempDir {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(dir.path().join("index.html"), "<title>here</title>").unwrap();
    dir
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}

/// The CPUs this process may use.
fn allowed_cpus() -> Vec<usize> {
    quoit::supervisor::available()
}

/// A shell that sets a limit and becomes the program.
fn limited(limit: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_quoit")]);
    command.args(args);
    command
}

/// Python that runs one of this directory's helpers.
fn python(helper: &str, args: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").arg(root().join("tests/cli").join(helper)).args(args);
    command
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the program as a user without privileges; `None` where that cannot be arranged.
struct Unprivileged {
    program: PathBuf,
    switch: Vec<String>,
    _copy: Option<TempDir>,
}

impl Unprivileged {
    fn find() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
        if !is_root {
            return Some(Self { program: env!("CARGO_BIN_EXE_quoit").into(), switch: vec![], _copy: None });
        }
        let switch = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"].map(str::to_owned);
        if !Command::new(&switch[0]).args(&switch[1..]).arg("true").status().is_ok_and(|s| s.success()) {
            eprintln!("skipped: root, and setpriv cannot change the user");
            return None;
        }
        // Root's build directory may be closed to others.
        let copy = tempfile::tempdir().ok()?;
        let program = copy.path().join("quoit");
        fs::copy(env!("CARGO_BIN_EXE_quoit"), &program).ok()?;
        for path in [copy.path(), &program] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).ok()?;
        }
        Some(Self { program, switch: switch.to_vec(), _copy: Some(copy) })
    }

    fn quoit(&self, args: &[&str]) -> Command {
        let mut words = self.switch.iter().cloned().chain([text(&self.program).to_owned()]);
        let mut command = Command::new(words.next().expect("at least the program"));
        command.args(words).args(args);
        command
    }
}

// ---- serving ----

#[test]
fn serve_tells_addresses_workers_and_how_to_stop() {
    let dir = site();
    let server = Server::start(&[text(dir.path()), "--listen", ANY_PORT, "--workers", "2"]);
    let said = server.said().join("\n");
    assert!(said.contains(&format!("quoit: serving on http://{}", server.addr())), "{said}");
    assert!(said.contains("2 workers on CPU ") && said.contains("stop with Ctrl-C"), "{said}");
    assert_ne!(server.addr().port(), 0, "the port that the kernel chose");
    assert_eq!(get(server.addr(), "/").body, b"<title>here</title>");
    let ended = server.stop();
    assert!(ended.stderr.contains("stopped after 1 requests on 1 connections"), "{ended:?}");
    assert_eq!(ended.stdout, "");
}

#[test]
fn quiet_says_nothing() {
    let dir = site();
    // The port is not printed, so one is chosen here; another program could take it, hence the retries.
    for _ in 0..5 {
        let addr = TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
        let listen = addr.to_string();
        let args =
            ["serve", text(dir.path()), "--listen", &listen, "--workers", "1", "--cpus", "0", "--quiet"];
        let server = Server::start_silent(quoit(&args));
        let deadline = Instant::now() + Duration::from_secs(5);
        let serves = until("a port", || {
            let serves = TcpStream::connect(addr).is_ok();
            (serves || Instant::now() > deadline).then_some(serves)
        });
        if !serves {
            continue;
        }
        assert_eq!(get(addr, "/").status, 200);
        let ended = server.stop();
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
        return;
    }
    panic!("no port was free five times in a row");
}

#[test]
fn an_address_may_be_a_port_alone() {
    let dir = site();
    for (listen, told) in [("0", "127.0.0.1"), ("localhost:0", "127.0.0.1"), (":0", "0.0.0.0")] {
        let server = Server::start(&[text(dir.path()), "--listen", listen, "--workers", "1"]);
        assert_eq!(server.addr().ip().to_string(), told, "{listen}");
        let loopback = (std::net::Ipv4Addr::LOCALHOST, server.addr().port()).into();
        assert_eq!(get(loopback, "/").body, b"<title>here</title>");
        // Where others reach it is told of every interface alone, and each address is one that answers.
        let others = server.said().iter().find_map(|line| line.split_once("other machines reach it at "));
        assert!(others.is_none() || listen == ":0", "{:?}", server.said());
        for url in others.into_iter().flat_map(|(_, urls)| urls.split(" and ").next().unwrap().split(", ")) {
            let addr: std::net::SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
            assert_eq!((get(addr, "/").status, addr.port()), (200, server.addr().port()), "{url}");
        }
    }
}

#[test]
fn the_file_of_a_socket_has_the_permissions_asked_for() {
    let dir = site();
    let path = dir.path().join("s");
    let listen = format!("unix:{}", path.display());
    for mode in ["600", "0660", "777"] {
        let args = [text(dir.path()), "--listen", &listen, "--unix-mode", mode, "--workers", "2"];
        let server = Server::start(&args);
        let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, u32::from_str_radix(mode, 8).unwrap(), "{mode}");
        assert_eq!(get_over(UnixStream::connect(&path).unwrap(), "/").status, 200);
        server.stop();
    }
}

#[test]
fn several_addresses_one_of_them_a_unix_socket() {
    let dir = site();
    let path = dir.path().join("quoit.sock");
    let listen = format!("unix:{}", path.display());
    let server = Server::start(&[
        text(dir.path()),
        "--listen",
        ANY_PORT,
        "--listen",
        &listen,
        "--listen",
        ANY_PORT,
        "--workers",
        "2",
    ]);
    let addresses = server.addresses();
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    assert_eq!(addresses[1], listen);
    for address in [&addresses[0], &addresses[2]] {
        let addr = address.strip_prefix("http://").unwrap().parse().unwrap();
        assert_eq!(get(addr, "/").status, 200);
    }
    for _ in 0..4 {
        assert_eq!(get_over(UnixStream::connect(&path).unwrap(), "/").body, b"<title>here</title>");
    }
    assert!(server.stop().status.success());
    assert!(!path.exists(), "the socket's file goes with its server");
}

#[test]
fn ipv6_is_served_where_there_is_some() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let server = Server::start(&["--listen", "[::1]:0", "--workers", "1"]);
    assert_eq!(get(server.addr(), "/").status, 200);
}

#[test]
fn a_stale_unix_socket_is_replaced() {
    let dir = site();
    let path = dir.path().join("s");
    drop(UnixListener::bind(&path).unwrap());
    let server = Server::start(&["--listen", &format!("unix:{}", path.display()), "--workers", "1"]);
    assert_eq!(get_over(UnixStream::connect(&path).unwrap(), "/").status, 200);
    server.stop();
}

#[test]
fn a_server_that_was_killed_can_be_started_again_at_once() {
    let dir = site();
    let path = dir.path().join("s");
    let unix = format!("unix:{}", path.display());
    let server = Server::start(&["--listen", ANY_PORT, "--listen", &unix, "--workers", "2"]);
    let tcp = server.addr().to_string();
    // Kills it. The kernel holds the sockets for some milliseconds more.
    drop(server);
    assert!(path.exists(), "nobody cleans up after SIGKILL");
    let server = Server::start(&["--listen", &tcp, "--listen", &unix, "--workers", "2"]);
    assert_eq!(get(server.addr(), "/").status, 200);
    assert_eq!(get_over(UnixStream::connect(&path).unwrap(), "/").status, 200);
}

#[test]
fn without_a_directory_there_is_a_welcome_page() {
    let server = Server::start(&["--listen", ANY_PORT, "--workers", "1"]);
    let welcome = get(server.addr(), "/");
    assert_eq!(welcome.status, 200);
    assert!(welcome.head.to_ascii_lowercase().contains("content-type: text/html"), "{}", welcome.head);
    assert!(String::from_utf8(welcome.body).unwrap().contains("<title>"));
    assert_eq!(get(server.addr(), "/elsewhere").status, 404);
}

#[test]
fn signals_end_the_server_in_order() {
    let dir = site();
    for signal in ["TERM", "INT", "QUIT"] {
        let server = Server::start(&[text(dir.path()), "--listen", ANY_PORT, "--workers", "2"]);
        let mut kept_alive = TcpStream::connect(server.addr()).unwrap();
        kept_alive.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        assert!(kept_alive.read(&mut [0; 1024]).unwrap() > 0);
        let began = Instant::now();
        server.signal(signal);
        let ended = server.ended();
        assert_eq!(ended.status.code(), Some(0), "{signal}: {ended:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "an idle connection holds nothing up");
        assert!(ended.stderr.contains("draining"), "{ended:?}");
        assert_eq!(kept_alive.read(&mut [0; 1024]).unwrap(), 0, "closed, not reset");
    }
}

#[test]
fn a_second_signal_does_not_wait_for_the_drain() {
    let mut server = Server::start(&["--listen", ANY_PORT, "--workers", "1"]);
    let mut within_a_head = TcpStream::connect(server.addr()).unwrap();
    within_a_head.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    // The head has arrived once a later connection was answered.
    assert_eq!(get(server.addr(), "/").status, 200);
    server.signal("TERM");
    server.wait_for("draining");
    let began = Instant::now();
    server.signal("TERM");
    assert_eq!(server.ended().status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_hangup_reloads_and_never_kills() {
    let dir = site();
    let [users, page] = ["users", "404.html"].map(|name| dir.path().join(name));
    // `secret`, at the lowest cost.
    let hash = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    let root = dir.path().join("www");
    fs::create_dir(&root).unwrap();
    fs::write(&users, format!("a:{hash}\n")).unwrap();
    fs::write(&page, "<p>one</p>").unwrap();
    let pages = format!("404={}", page.display());
    let mut server =
        Server::start(&[text(&root), "--listen", ANY_PORT, "--error-page", &pages, "--workers", "2"]);
    let body = |server: &Server| String::from_utf8(get_html(server.addr(), "/none").body).unwrap();
    assert_eq!(body(&server), "<p>one</p>");
    fs::write(&page, "<p>two</p>").unwrap();
    server.signal("HUP");
    server.wait_for("read again");
    assert_eq!(body(&server), "<p>two</p>");
    // What is wrong is reported, and what was read before stays in force.
    fs::remove_file(&page).unwrap();
    server.signal("HUP");
    server.wait_for("stays in force");
    assert_eq!(body(&server), "<p>two</p>");
    assert!(server.stop().status.success());

    let mut server =
        Server::start(&[text(&root), "--listen", ANY_PORT, "--auth", text(&users), "--workers", "1"]);
    fs::write(&users, "a:plain\n").unwrap();
    server.signal("HUP");
    server.wait_for("stays in force");
    assert_eq!(get(server.addr(), "/").status, 401);
    assert!(server.stop().status.success());

    let welcome = Server::start(&["--listen", ANY_PORT, "--workers", "1"]);
    for _ in 0..3 {
        welcome.signal("HUP");
    }
    assert_eq!(get(welcome.addr(), "/").status, 200);
    assert!(welcome.stop().status.success());
}

/// GET as a browser asks.
fn get_html(addr: std::net::SocketAddr, path: &str) -> server::Answer {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    let end = text.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
    let head = String::from_utf8(text[..end].to_vec()).unwrap();
    server::Answer { status: head[9..12].parse().unwrap(), head, body: text.split_off(end) }
}

/// Standard error is a pipe that is full and is not read: a stuck log collector.
#[test]
fn a_reader_of_standard_error_that_is_stuck_stops_nothing() {
    let dir = site();
    let path = dir.path().join("s");
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let listen = format!("unix:{}", path.display());
    let mut command = quoit(&["serve", text(dir.path()), "--listen", &listen, "--workers", "1"]);
    let mut child = command.stderr(writer).spawn().unwrap();
    for _ in 0..3 {
        assert_eq!(get_over(connect_when_there(&path), "/").status, 200);
    }
    // A line of each reload, more than the queue holds.
    let hangup = format!("for i in $(seq 100); do kill -HUP {}; done", child.id());
    assert!(Command::new("sh").args(["-c", &hangup]).status().unwrap().success());
    assert_eq!(get_over(connect_when_there(&path), "/").status, 200);
    let began = Instant::now();
    let terminate = format!("kill -TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &terminate]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(reader);
}

// ---- workers and CPUs ----

/// The CPUs of each thread named `quoit-N`, by worker.
fn pinned(server: &Server) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap();
        let Some(worker) = name.trim().strip_prefix("quoit-") else { continue };
        let Ok(worker) = worker.parse() else { continue };
        let status = fs::read_to_string(task.path().join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
        found.push((worker, line.split_once(':').unwrap().1.trim().to_owned()));
    }
    found.sort();
    found.dedup();
    found
}

/// A worker's helper thread pins itself a moment after it got its name: asks again until all of a worker's
/// threads agree.
fn pinned_by(args: &[&str]) -> Vec<(usize, String)> {
    let server = Server::start(&[&["--listen", ANY_PORT], args].concat());
    until("threads of each worker that agree", || {
        let found = pinned(&server);
        let agreed = found.windows(2).all(|pair| pair[0].0 != pair[1].0);
        (agreed && !found.is_empty()).then_some(found)
    })
}

#[test]
fn workers_are_pinned_to_the_cpus_asked_for() {
    let allowed = allowed_cpus();
    let (first, last) = (allowed[0].to_string(), allowed[allowed.len() - 1].to_string());
    assert_eq!(pinned_by(&["--cpus", &last]), [(0, last.clone())]);
    assert_eq!(pinned_by(&["--cpus", &format!("{first},{first}")]), [(0, first.clone())], "said twice");
    let one = pinned_by(&["--workers", "1"]);
    let everywhere = fs::read_to_string("/proc/self/status").unwrap();
    let everywhere = everywhere.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    assert_eq!(one, [(0, everywhere.trim().to_owned())], "alone on a machine that others use too");
    let both = pinned_by(&["--workers", "2", "--cpus", &first]);
    assert_eq!(both, [(0, first.clone()), (1, first.clone())], "more workers than CPUs take turns");
    if allowed.len() > 1 {
        let reversed = pinned_by(&["--cpus", &format!("{last},{first}")]);
        assert_eq!(reversed, [(0, last), (1, first)], "in the order given");
    }
}

#[test]
fn many_workers_are_announced_with_a_range() {
    let server =
        Server::start(&["--listen", ANY_PORT, "--workers", "9", "--cpus", &allowed_cpus()[0].to_string()]);
    let cpu = allowed_cpus()[0];
    let said = server.said().join("\n");
    assert!(said.contains(&format!("9 workers on CPU {cpu}; ")), "{said}");
}

/// A shell in a mount namespace of its own, which becomes the program after `prepare`; `None` where that is
/// not allowed.
fn in_mounts(prepare: &str, args: &[&str]) -> Option<Command> {
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            env!("CARGO_BIN_EXE_quoit"),
        ]);
        command
    };
    if !unshared(prepare).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no mount namespace of one's own");
        return None;
    }
    let mut command = unshared(&format!("{prepare} && exec \"$0\" \"$@\""));
    command.args(args);
    Some(command)
}

#[test]
fn without_sysfs_it_serves() {
    let args = ["serve", "--listen", ANY_PORT];
    let Some(command) = in_mounts("mount -t tmpfs none /sys", &args) else { return };
    let server = Server::start_command(command);
    assert_eq!(get(server.addr(), "/").status, 200);
    assert!(server.stop().status.success());
}

#[test]
fn a_quota_of_less_than_a_cpu_is_one_worker_that_is_not_pinned() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("cpu.max"), "50000 100000\n").unwrap();
    let args = ["serve", "--listen", ANY_PORT];
    let prepare = format!("mount --bind {} /sys/fs/cgroup", text(dir.path()));
    let Some(command) = in_mounts(&prepare, &args) else { return };
    let server = Server::start_command(command);
    let found = pinned(&server);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(allowed_cpus().len() == 1 || found[0].1 != allowed_cpus()[0].to_string(), "{found:?}");
}

#[test]
fn with_descriptors_0_to_2_closed_it_serves() {
    let dir = site();
    let path = dir.path().join("s");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 0<&- 1>&- 2>&-", env!("CARGO_BIN_EXE_quoit"), "serve"]);
    command.args([text(dir.path()), "--listen", &format!("unix:{}", path.display()), "--workers", "1"]);
    let server = Server::start_silent(command);
    assert_eq!(get_over(connect_when_there(&path), "/").body, b"<title>here</title>");
    assert!(server.stop().status.success());
}

/// Connects to a server that does not say when it serves.
fn connect_when_there(path: &Path) -> UnixStream {
    until("a server at the socket", || UnixStream::connect(path).ok())
}

#[test]
fn by_default_there_is_a_worker_per_cpu_of_the_process() {
    let first = allowed_cpus()[0].to_string();
    let mut command = Command::new("taskset");
    command.args(["-c", &first, env!("CARGO_BIN_EXE_quoit"), "serve", "--listen", ANY_PORT]);
    let server = Server::start_command(command);
    assert_eq!(pinned(&server), [(0, first)], "affinity is honoured");
}

#[test]
fn cpus_and_workers_that_cannot_be_had_are_refused() {
    for list in ["", "a", "3-1", "1-", "0,,1", "0-99999999", "0 1"] {
        refused(quoit(&["serve", "--listen", ANY_PORT, "--cpus", list]), &["no list of CPUs", "0,2-3"]);
    }
    refused(
        quoit(&["serve", "--listen", ANY_PORT, "--cpus", "4000"]),
        &["CPU 4000", "it may use", "taskset"],
    );
    refused(quoit(&["serve", "--listen", ANY_PORT, "--workers", "0"]), &["--workers", "at least one"]);
    refused(quoit(&["serve", "--listen", ANY_PORT, "--workers", "many"]), &["--workers", "many"]);
    let allowed = allowed_cpus();
    if let [first, .., last] = allowed[..] {
        let mut command = Command::new("taskset");
        command.args(["-c", &first.to_string(), env!("CARGO_BIN_EXE_quoit"), "serve", "--listen", ANY_PORT]);
        command.args(["--cpus", &last.to_string()]);
        refused(command, &["not available to this process", "taskset"]);
    }
}

// ---- refusals: addresses and directories ----

#[test]
fn a_taken_port_is_told() {
    let plain = TcpListener::bind(ANY_PORT).unwrap();
    let listen = plain.local_addr().unwrap().to_string();
    let port = plain.local_addr().unwrap().port().to_string();
    refused(quoit(&["serve", "--listen", &listen]), &["the port is taken", "--listen", &port]);

    let ours = Server::start(&["--listen", ANY_PORT, "--workers", "1"]);
    let listen = ours.addr().to_string();
    refused(quoit(&["serve", "--listen", &listen]), &["the port is taken", "--listen", &listen]);
    assert_eq!(get(ours.addr(), "/").status, 200, "the first server goes on");

    refused(quoit(&["serve", "--listen", ANY_PORT, "--listen", &listen]), &["the port is taken"]);
}

#[test]
fn an_address_that_cannot_be_had_is_told() {
    refused(quoit(&["serve", "--listen", "192.0.2.1:8080"]), &["192.0.2.1", "this host does not have"]);
    for wrong in ["a.test:80", "127.0.0.1", "127.0.0.1:99999", "unix:", "http://127.0.0.1:80", "80x"] {
        refused(quoit(&["serve", "--listen", wrong]), &[wrong, "is no address", "127.0.0.1:8080"]);
    }
    let long = format!("unix:/tmp/{}", "x".repeat(120));
    refused(quoit(&["serve", "--listen", &long]), &["is no address"]);
}

#[test]
fn unix_paths_that_cannot_be_had_are_told_and_nothing_is_left_behind() {
    let dir = site();
    let page = dir.path().join("index.html");
    let listen = format!("unix:{}", page.display());
    refused(quoit(&["serve", "--listen", &listen]), &["index.html", "no socket", "another path"]);
    assert_eq!(fs::read(&page).unwrap(), b"<title>here</title>", "a foreign file is left alone");

    let nowhere = format!("unix:{}/none/s", dir.path().display());
    refused(quoit(&["serve", "--listen", &nowhere]), &["directory", "does not exist"]);

    let path = dir.path().join("s");
    let listen = format!("unix:{}", path.display());
    let ours = Server::start(&["--listen", &listen, "--workers", "1"]);
    refused(quoit(&["serve", "--listen", &listen]), &["another program is listening", "another path"]);
    assert_eq!(get_over(UnixStream::connect(&path).unwrap(), "/").status, 200, "the first server goes on");
    ours.stop();

    refused(quoit(&["serve", "--listen", &listen, "--listen", "192.0.2.1:80"]), &["192.0.2.1"]);
    assert!(!path.exists(), "a start that failed leaves no file");
}

#[test]
fn a_directory_that_cannot_be_served_is_told() {
    let dir = site();
    let missing = dir.path().join("none");
    refused(quoit(&["serve", text(&missing)]), &[text(&missing), "no such directory", "mkdir"]);
    let page = dir.path().join("index.html");
    refused(quoit(&["serve", text(&page)]), &[text(&page), "it is a file", "directory"]);
}

#[test]
fn what_a_user_without_privileges_may_not_do_is_told() {
    let Some(user) = Unprivileged::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    refused(user.quoit(&["serve", text(&closed)]), &[text(&closed), "no permission", "chmod"]);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let listen = format!("unix:{}/s", closed.display());
    refused(user.quoit(&["serve", "--listen", &listen]), &["no permission", "write"]);

    let first_free: u16 = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .map_or(1024, |text| text.trim().parse().expect("a number"));
    if first_free > 81 {
        refused(
            user.quoit(&["serve", "--listen", "127.0.0.1:81"]),
            &[
                "below 1024",
                "CAP_NET_BIND_SERVICE",
                "sudo setcap cap_net_bind_service=+ep ",
                "sysctl net.ipv4.ip_unprivileged_port_start=81",
            ],
        );
    }
    let server = Server::start_command(user.quoit(&["serve", "--listen", ANY_PORT]));
    assert_eq!(get(server.addr(), "/").status, 200, "serving needs no privilege");
}

#[test]
fn mistyped_flags_are_told_in_one_line() {
    refused(quoit(&["serve", "--lisen", "x"]), &["--lisen", "--listen", "--help"]);
    refused(quoit(&["sevre"]), &["sevre", "serve"]);
    refused(quoit(&["serve", "one", "two"]), &["two"]);
    let bare = run(quoit(&[]));
    assert_eq!(bare.status.code(), Some(2));
    assert!(bare.stderr.contains("Usage:") && bare.stderr.contains("doctor"), "{bare:?}");
}

// ---- refusals: the kernel's ----

#[test]
fn too_few_descriptors_are_told() {
    let dir = site();
    let args = ["serve", text(dir.path()), "--listen", ANY_PORT, "--workers", "1"];
    for limit in [4, 8, 12, 16, 24, 31] {
        refused(limited(&format!("-n {limit}"), &args), &["descriptors", &limit.to_string(), "ulimit -n"]);
    }
    let server = Server::start_command(limited("-n 32", &args));
    assert_eq!(get(server.addr(), "/").status, 200, "what is not refused serves");
    assert!(!server.said().join("\n").contains("failed"), "{:?}", server.said());
}

#[test]
fn too_little_locked_memory_is_told() {
    for limit in [0, 64, 256] {
        let args = ["serve", "--listen", ANY_PORT];
        let said = format!("{limit} KiB");
        refused(
            limited(&format!("-l {limit}"), &args),
            &["locked memory", &said, "ulimit -l", "LimitMEMLOCK"],
        );
    }
    // What is enough for some of them serves.
    if let Some(user) = Unprivileged::find() {
        let mut command = Command::new("sh");
        let args = ["serve", "--listen", ANY_PORT, "--workers", "40"];
        let quoit = user.quoit(&args);
        command.args(["-c", "ulimit -l 4096 && exec \"$0\" \"$@\""]);
        command.arg(quoit.get_program()).args(quoit.get_args());
        let server = Server::start_command(command);
        let said = server.said().join("\n");
        assert!(
            !said.contains("40 workers on") && said.contains(" of 40 workers serve: the limit on"),
            "{said}"
        );
        assert!(said.contains("ulimit -l"), "{said}");
        for _ in 0..40 {
            assert_eq!(get(server.addr(), "/").status, 200, "no socket is left without a worker");
        }
        assert!(server.stop().status.success());
    }
    let doctor = run(limited("-l 64", &["doctor"]));
    assert!(!doctor.status.success() && doctor.stdout.contains("MISS locked memory"), "{doctor:?}");
}

#[test]
fn a_filter_that_blocks_io_uring_is_told() {
    let dir = site();
    let path = dir.path().join("s");
    let listen = format!("unix:{}", path.display());
    let program = env!("CARGO_BIN_EXE_quoit");
    // EPERM, EACCES, ENOSYS: each is in use among container runtimes.
    for errno in ["1", "13", "38"] {
        let serve = [errno, program, "serve", text(dir.path()), "--listen", &listen];
        let words = ["io_uring", "seccomp", "scripts/seccomp-quoit.json", "docker run --security-opt"];
        refused(python("deny_io_uring.py", &serve), &words);
        assert!(!path.exists(), "refused before anything was bound");
    }
    let doctor = run(python("deny_io_uring.py", &["1", program, "doctor"]));
    assert!(!doctor.status.success(), "{doctor:?}");
    assert!(doctor.stdout.contains("MISS io_uring") && doctor.stdout.contains("seccomp"), "{doctor:?}");
    assert_eq!(doctor.stderr, "");
}

#[test]
fn under_the_container_profile_everything_works() {
    let dir = site();
    let big: Vec<u8> = (0..24 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for name in ["cold.bin", "big.bin"] {
        let path = dir.path().join(name);
        fs::write(&path, if name == "big.bin" { &big } else { &big[..3 << 20] }).unwrap();
    }
    drop_from_page_cache(&dir.path().join("cold.bin"));

    let profile = root().join("scripts/seccomp-quoit.json");
    let program = env!("CARGO_BIN_EXE_quoit");
    let socket = dir.path().join("s");
    let listen = format!("unix:{}", socket.display());
    let serve =
        [text(&profile), program, "serve", text(dir.path()), "--listen", ANY_PORT, "--listen", &listen];
    let server = Server::start_command(python("apply_profile.py", &serve));
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    assert!(status.contains("Seccomp:\t2"), "the filter is on");

    assert!(get(server.addr(), "/cold.bin").body == big[..3 << 20], "a file that is not in the page cache");
    assert!(get(server.addr(), "/big.bin").body == big, "a large file");
    assert_eq!(get(server.addr(), "/").body, b"<title>here</title>");
    assert_eq!(get(server.addr(), "/none").status, 404);
    assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    assert_eq!(get_over(UnixStream::connect(&socket).unwrap(), "/").status, 200);

    let mut idle = TcpStream::connect(server.addr()).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 1024]).unwrap() > 0);
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(0), "drains: {ended:?}");
    assert!(ended.stderr.contains("(0 refused, 0 too slow, 0 over capacity, 0 panics)"), "{ended:?}");
    assert!(!socket.exists(), "may remove its socket");

    let doctor = run(python("apply_profile.py", &[text(&profile), program, "doctor"]));
    assert!(doctor.status.success(), "{doctor:?}");
    let denied = run(python("apply_profile.py", &[text(&profile), "/usr/bin/unshare", "-U", "true"]));
    assert!(!denied.status.success(), "the profile does refuse what is not on it: {denied:?}");
}

/// Makes the next read of `path` one from the disk, where the file system has one.
fn drop_from_page_cache(path: &Path) {
    let file = format!("if={}", path.display());
    let dd = Command::new("dd").args([&file, "iflag=nocache", "count=0", "status=none"]).status();
    assert!(fs::File::open(path).and_then(|file| file.sync_all()).is_ok() && dd.is_ok_and(|s| s.success()));
}

// ---- the other commands ----

#[test]
fn doctor_reports_and_approves_of_this_host() {
    let doctor = run(quoit(&["doctor"]));
    assert!(doctor.status.success(), "{doctor:?}");
    for line in ["kernel", "sysctl", "io_uring", "feature", "descriptors", "locked memory", "cores"] {
        assert!(doctor.stdout.contains(&format!(" {line}")), "`{line}` is missing: {}", doctor.stdout);
    }
    assert!(doctor.stdout.contains("can run quoit"), "{}", doctor.stdout);
    assert_eq!(doctor.stderr, "");

    let mut left = Command::new("sh");
    left.args(["-c", "\"$0\" doctor | true", env!("CARGO_BIN_EXE_quoit")]);
    assert_eq!(run(left).stderr, "", "a reader that left early is no panic");
}

#[test]
fn version_and_help_tell_what_there_is() {
    let version = run(quoit(&["--version"]));
    assert!(version.status.success(), "{version:?}");
    assert_eq!(version.stdout, concat!("quoit ", env!("CARGO_PKG_VERSION"), "\n"));

    let help = run(quoit(&["--help"]));
    assert!(help.status.success() && help.stdout.contains("serve") && help.stdout.contains("doctor"));
    assert!(help.stdout.contains("HTTP/1.1 and HTTP/2"), "{}", help.stdout);

    let help = run(quoit(&["serve", "--help"]));
    assert!(help.status.success(), "{help:?}");
    let words: String = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in [
        "--listen <ADDR:PORT>",
        "[default: 127.0.0.1:8080]",
        "unix:PATH",
        "--workers <N>",
        "[default: one per CPU",
        "--cpus <LIST>",
        "[default: all this process may use]",
        "--quiet",
        "HTTP/1.1 and HTTP/2",
        "[default: the working directory",
        "--idle-timeout <TIME>",
        "[default: 60s]",
    ] {
        assert!(words.contains(word), "`{word}` is missing: {}", help.stdout);
    }
}
