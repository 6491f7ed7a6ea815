//! Names of upstreams: services and hosts that a name server is asked for, with answers that change.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use quoit::handler::ProxyOptions;
use quoit::upstream::{Balance, UpstreamOptions};

use crate::common::{Client, until};
use crate::lab::*;

const A: u16 = 1;
const SRV: u16 = 33;
const TRUNCATED: u16 = 0x0200;
const NO_SUCH_NAME: u16 = 3;

/// The data of records by name and kind; all live for a second.
type Zone = BTreeMap<(&'static str, u16), Vec<Vec<u8>>>;

/// A name server on loopback, over UDP and TCP.
struct NameServer {
    addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<AtomicUsize>,
    asked_by_tcp: Arc<AtomicUsize>,
    stops: Arc<AtomicBool>,
}

impl NameServer {
    /// `is_evil`: before each answer over UDP come others that are none, with the address 127.0.0.9, and the
    /// answer itself says that it is cut short.
    fn new(zone: Zone, is_evil: bool) -> Self {
        let (udp, tcp) = until("a port for both", || {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            Some((UdpSocket::bind(tcp.local_addr().unwrap()).ok()?, tcp))
        });
        let server = Self {
            addr: tcp.local_addr().unwrap(),
            zone: Arc::new(Mutex::new(zone)),
            asked: Arc::default(),
            asked_by_tcp: Arc::default(),
            stops: Arc::default(),
        };
        udp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (zone, asked, stops) = (server.zone.clone(), server.asked.clone(), server.stops.clone());
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while !stops.load(Ordering::SeqCst) {
                let Ok((length, from)) = udp.recv_from(&mut buffer) else { continue };
                let query = &buffer[..length];
                if is_evil {
                    let (_, end) = question(query);
                    let forged = |id: u8, name: u8| {
                        let records = [vec![127, 0, 0, 9]];
                        let mut answer = answer(query, A, &records, 0);
                        answer[1] ^= id;
                        answer[13] ^= name;
                        assert!(end > 13);
                        answer
                    };
                    for forged in [forged(1, 0), forged(0, 1), b"short".to_vec(), query.to_vec()] {
                        udp.send_to(&forged, from).unwrap();
                    }
                    udp.send_to(&answer(query, A, &[], TRUNCATED), from).unwrap();
                } else {
                    udp.send_to(&from_zone(query, &zone), from).unwrap();
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let (zone, asked) = (server.zone.clone(), server.asked_by_tcp.clone());
        thread::spawn(move || {
            for stream in tcp.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut length = [0; 2];
                let Ok(()) = stream.read_exact(&mut length) else { return };
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut query).unwrap();
                let answer = from_zone(&query, &zone);
                stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
                stream.write_all(&answer).unwrap();
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
        server
    }

    fn set(&self, zone: Zone) {
        *self.zone.lock().unwrap() = zone;
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        // Ends the thread that accepts.
        drop(std::net::TcpStream::connect(self.addr));
    }
}

/// Name and kind of a query, and where its question ends.
fn question(query: &[u8]) -> ((String, u16), usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] > 0 {
        let label = &query[at + 1..=at + usize::from(query[at])];
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + label.len();
    }
    ((labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]])), at + 5)
}

fn answer(query: &[u8], kind: u16, records: &[Vec<u8>], flags: u16) -> Vec<u8> {
    let (_, end) = question(query);
    let mut answer = query[..2].to_vec();
    answer.extend((0x8180 | flags).to_be_bytes());
    answer.extend([0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    answer.extend(&query[12..end]);
    for data in records {
        // A pointer to the question's name, class IN, one second.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 1]);
        answer.extend((data.len() as u16).to_be_bytes());
        answer.extend(data);
    }
    answer
}

fn from_zone(query: &[u8], zone: &Mutex<Zone>) -> Vec<u8> {
    let ((name, kind), _) = question(query);
    let zone = zone.lock().unwrap();
    match zone.get(&(name.as_str(), kind)) {
        Some(records) => answer(query, kind, records, 0),
        None if zone.keys().any(|(known, _)| *known == name) => answer(query, kind, &[], 0),
        None => answer(query, kind, &[], NO_SUCH_NAME),
    }
}

fn srv(priority: u16, weight: u16, port: u16, host: &str) -> Vec<u8> {
    let mut data = [priority, weight, port].map(u16::to_be_bytes).concat();
    for label in host.split('.') {
        data.push(label.len() as u8);
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const SERVICE: &str = "_http._tcp.app.test";

fn hosts() -> Zone {
    ["one.test", "two.test", "three.test"].map(|name| ((name, A), vec![LOOPBACK.to_vec()])).into()
}

fn named(address: &str, server: &NameServer) -> UpstreamOptions {
    let mut options = UpstreamOptions::new("named", [address]).unwrap();
    options.resolver = Some(server.addr);
    options.balance = Balance::RoundRobin;
    options
}

#[test]
fn a_service_has_hosts_with_weights_and_backups_and_changes_with_its_records() {
    let [one, two, three] = [(); 3].map(|()| Endpoint::answering(OK));
    let record =
        |endpoint: &Endpoint, priority, weight, host| srv(priority, weight, endpoint.addr.port(), host);
    let mut zone = hosts();
    let records = vec![
        record(&one, 1, 30, "one.test"),
        record(&two, 1, 10, "two.test"),
        record(&three, 2, 0, "three.test"),
    ];
    zone.insert((SERVICE, SRV), records);
    let names = NameServer::new(zone, false);
    let options = named(&format!("srv:{SERVICE}"), &names);
    let proxy =
        proxy(ProxyOptions { host: quoit::handler::HostPolicy::Endpoint, ..ProxyOptions::to(options) });
    let mut client = Client::connect(proxy.addr);
    let mut ask = || {
        client.ask(get("/")).is(200, "ok");
    };
    (0..8).for_each(|_| ask());
    assert_eq!([&one, &two, &three].map(|at| at.seen.requests()), [6, 2, 0]);
    assert_eq!(field(&two.seen.head(0), "host"), Some(&*format!("two.test:{}", two.addr.port())));

    let mut zone = hosts();
    zone.insert((SERVICE, SRV), vec![record(&three, 7, 1, "three.test"), record(&one, 8, 1, "one.test")]);
    names.set(zone);
    until("the backup is the only one of the best priority", || {
        let before = three.seen.requests();
        (0..3).for_each(|_| ask());
        (three.seen.requests() == before + 3).then_some(())
    });

    // That there is no such name any more may be a mistake: what is known stays in use.
    names.set(Zone::new());
    let before = names.asked.load(Ordering::SeqCst);
    until("it is asked again", || (names.asked.load(Ordering::SeqCst) > before).then_some(()));
    let before = three.seen.requests();
    (0..50).for_each(|_| ask());
    assert_eq!(three.seen.requests(), before + 50);
}

#[test]
fn forged_answers_are_ignored_and_one_that_is_cut_short_is_asked_for_over_tcp() {
    let endpoint = Endpoint::answering(OK);
    let names = NameServer::new([(("a.test", A), vec![LOOPBACK.to_vec()])].into(), true);
    let options = named(&format!("a.test:{}", endpoint.addr.port()), &names);
    let proxy = proxy(ProxyOptions::to(options));
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
    // For both families.
    assert!(names.asked_by_tcp.load(Ordering::SeqCst) >= 2);
    assert_eq!(endpoint.seen.requests(), 1);
}
