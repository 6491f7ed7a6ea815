//! What the black-box tests share: a raw client, a strict reader of responses, servers in this process and
//! as a process of their own, and a bystander that must never be disturbed. Knows the wire and the public
//! API, nothing of the server's internals. Every wait is bounded.
#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

mod bystander;
mod client;
mod response;
mod server;
mod wait;

pub(crate) use bystander::Bystander;
pub(crate) use client::{Client, End};
pub(crate) use response::{Broken, Framing, Response};
pub(crate) use server::{
    Binary, Hosted, example_path, lenient, serve, serve_files, serve_files_with, serve_with,
};
pub(crate) use wait::{PATIENCE, time_passes, until, until_within};

use std::time::{Duration, Instant};

/// A request that the test services answer with `Hello, World!`.
pub(crate) const HELLO: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Bytes that show any displacement: no two windows of them are alike for long.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}

/// Asserts that something took at least `least` (strictly) and not absurdly longer.
#[track_caller]
pub(crate) fn assert_took(began: Instant, least: Duration) {
    let took = began.elapsed();
    assert!(took >= least, "took {took:?}, less than {least:?}");
    assert!(took < least + PATIENCE, "took {took:?}, far more than {least:?}");
}
