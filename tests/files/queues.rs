//! What is in memory does not wait behind what takes long.

use std::fs::File;
use std::time::Duration;

use crate::common::{Client, time_passes};
use crate::site::Site;

/// More than look up at once.
const CLIENTS: usize = 150;

fn is_answered(client: &Client) -> bool {
    let stream = client.sender();
    stream.set_nonblocking(true).unwrap();
    let is_answered = stream.peek(&mut [0]).is_ok();
    stream.set_nonblocking(false).unwrap();
    is_answered
}

/// A small file that is known and due for a check, behind a HEAD for each of as many cold ones.
#[test]
fn a_known_file_does_not_wait_for_files_that_are_hashed() {
    let site = Site::with(&[("small.txt", b"small")]);
    for n in 0..CLIENTS {
        File::create(site.path(format!("{n}.bin"))).unwrap().set_len(32 << 20).unwrap();
    }
    let mut hot = site.connect();
    hot.get("/small.txt", "").is(200, "small");
    time_passes(Duration::from_secs(1), "nothing shows that a file is due for a check");
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| site.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!("HEAD /{n}.bin HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    let answered = || clients.iter().filter(|client| is_answered(client)).count();
    let before = answered();
    hot.get("/small.txt", "").is(200, "small");
    let meanwhile = answered() - before;
    assert!(meanwhile < 40, "it waited for {meanwhile} of {CLIENTS}");
    clients[0].response_to("HEAD").has_status(200);
}
