//! Servers of other makes as processes: on a port of their own, killed by their ids when dropped.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::eventually;

pub(crate) struct Foreign {
    child: Child,
    pub(crate) addr: SocketAddr,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().unwrap().port()
}

impl Foreign {
    /// Starts a program that listens on `port`, and waits until it accepts.
    #[track_caller]
    pub(crate) fn start(command: &mut Command, package: &str, port: u16) -> Foreign {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{program}: {error}; install it with `apt-get install {package}` (scripts/test does)")
        });
        let mut server = Foreign { child, addr: (Ipv4Addr::LOCALHOST, port).into() };
        eventually("the server accepts", || {
            assert!(server.child.try_wait().unwrap().is_none(), "{program} has ended");
            TcpStream::connect(server.addr).is_ok()
        });
        server
    }

    /// Asks the server to end.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the server runs");
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
