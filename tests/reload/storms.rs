//! Signals by the hundred, at the wrong time, and of every kind (case P37).

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{eventually, until};
use crate::server::{Server, get, quoit, run};
use crate::site::{DOWNLOAD_BYTES, Download, Load, Site, Tunnelled, endpoint};

const SIGNALS: usize = 500;

fn version(app: &crate::lab::Endpoint, text: &str) -> String {
    let mut config = format!(
        "proxy = \"app\"\n[[route]]\npath = \"/version\"\nrespond = \"{text}\"\n[upstreams.app]\n\
         endpoints = [\"{}\"]\nchecks = {{ path = \"/check\", interval = \"500ms\" }}\n",
        app.addr
    );
    config += if text == "A" { "" } else { "[[route]]\npath = \"/b\"\nrespond = \"b\"\n" };
    config
}

fn pid(site: &Site) -> Pid {
    Pid::from_raw(site.server.pid() as i32).unwrap()
}

#[test]
fn the_last_file_of_a_storm_is_served_and_no_request_fails() {
    let app = endpoint();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let content = version(&app, "A") + "[access_log]\nfile = \"access.log\"\n";
    let site = Site::start_in(dir, &content, &["--watch"]);
    site.admin(&["reload"]);
    let threads = site.threads();
    let mut tunnel = Tunnelled::open(site.addr(), "/ws");
    let load = Load::begin(site.addr(), 2, Duration::from_millis(5));
    thread::scope(|scope| {
        let path = site.path("quoit.toml");
        let asks = scope.spawn(move || {
            let reload = || run(quoit(&["reload", "--config", path.to_str().unwrap()]));
            (0..10).for_each(|_| assert!(reload().status.success()));
        });
        for number in 0..SIGNALS {
            let text = ["A", "B"][number % 2];
            site.write(&(version(&app, text) + "[access_log]\nfile = \"access.log\"\n"));
            kill_process(pid(&site), Signal::HUP).unwrap();
            if number % 50 == 0 {
                kill_process(pid(&site), Signal::USR1).unwrap();
                kill_process(pid(&site), Signal::USR2).unwrap();
            }
        }
        asks.join().unwrap();
    });
    eventually("B is served", || get(site.addr(), "/version").body == b"B");
    // What the watcher still asks for changes nothing.
    assert!(site.admin(&["reload"]).contains("read again"));
    assert_eq!((get(site.addr(), "/version").body, get(site.addr(), "/b").status), (b"B".to_vec(), 200));
    tunnel.echoes(b'a');
    assert!(load.end() > 10);
    eventually("no thread is left", || site.threads() <= threads);

    // SIGTERM wins over those that come with it.
    for signal in [Signal::HUP, Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2, Signal::HUP] {
        kill_process(pid(&site), signal).unwrap();
    }
    drop(tunnel);
    let ended = site.server.ended();
    assert!(ended.status.success() && ended.stderr.contains("SIGUSR2 asks for nothing"), "{ended:?}");
}

#[test]
fn a_reload_while_it_drains_ends_nothing() {
    let app = endpoint();
    let mut site = Site::start(&version(&app, "A"));
    let mut download = Download::begin(site.addr(), "/down");
    site.server.signal("TERM");
    site.server.wait_for("draining");
    site.write(&version(&app, "B"));
    for _ in 0..20 {
        site.server.signal("HUP");
    }
    download.read_to(DOWNLOAD_BYTES / 2);
    download.finish(&crate::common::pattern(DOWNLOAD_BYTES));
    assert!(site.server.ended().status.success());
}

/// The file is a pipe: while no process writes to it, the program is about to read it.
#[test]
fn a_signal_before_the_file_was_read_neither_ends_it_nor_is_lost() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("quoit.toml");
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    let mut server = Server::start_silent(quoit(&["run", "--config", path.to_str().unwrap()]));
    let writer = || {
        // Refused until there is a reader.
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let open = || OpenOptions::new().write(true).custom_flags(nonblocking).open(&path).ok();
        until("it reads", open)
    };
    let content = |text: &str| format!("listen = \"127.0.0.1:0\"\nworkers = 1\nrespond = \"{text}\"\n");
    let mut pipe = writer();
    server.signal("HUP");
    pipe.write_all(content("A").as_bytes()).unwrap();
    drop(pipe);
    server.wait_for("stop with Ctrl-C");
    writer().write_all(content("longer").as_bytes()).unwrap();
    server.wait_for("reloaded: ~ default site, fallback");
    assert_eq!(get(server.addr(), "/").body, b"longer");
    fs::remove_file(&path).unwrap();
    assert!(server.stop().status.success());
}
