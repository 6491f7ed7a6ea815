//! A stub resolver: asks a name server for addresses (RFC 1035) and services (RFC 2782), over UDP, and over
//! TCP where an answer does not fit. Unlike the system's resolver it tells for how long an answer holds.
//! Blocks, and so runs on threads for that.
//!
//! An answer counts only if it came from the server that was asked, to the port that asked, and has the
//! number and the question of the request; port and number are random.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Name, Rtype, StreamTarget};
use domain::rdata::{A, Aaaa, Srv};

use super::wanted::{Answer, Found, Service, Wanted, usable};
use crate::http::target::is_authority;
use crate::ring::sys;

/// How long one try of one server takes at most.
const TRY: Duration = Duration::from_secs(2);

/// Tries of each server.
const TRIES: u32 = 2;

/// Bounds of how long an answer is taken to hold, whatever it says: below, each server would be asked without
/// a pause, and above, a mistake in a zone would last.
const VALID: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Targets of a service that are looked up, those of the best priority first.
const TARGETS_MAX: usize = 64;

/// Largest weight that a service is given: what counts is how they relate.
const WEIGHT_MAX: u32 = 100;

/// Largest answer over UDP. Servers send at most 512 bytes unless more is asked for.
const DATAGRAM_BYTES: usize = 4096;

type AnyName = Name<Vec<u8>>;
type AnyMessage = Message<Vec<u8>>;

/// Asks the servers for what is wanted, one after the other until one answers.
///
/// # Errors
/// None answers, or there is no such name.
pub(super) fn look_up(wanted: &Wanted) -> io::Result<Answer> {
    let servers = wanted.resolver.map_or_else(system_servers, |server| vec![server]);
    let name = name(&wanted.name)?;
    let (found, valid) = match wanted.port {
        Some(port) => {
            let (addresses, valid) = addresses(&servers, &name, port)?;
            (usable(addresses).into_iter().map(Found::from).collect(), valid)
        }
        None => services(&servers, &name)?,
    };
    Ok(Answer { found, valid: valid.clamp(VALID.0, VALID.1) })
}

/// The name servers of this machine.
fn system_servers() -> Vec<SocketAddr> {
    let servers = servers_of(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    if servers.is_empty() { vec![(Ipv4Addr::LOCALHOST, 53).into()] } else { servers }
}

/// As the file names them (resolv.conf(5)).
fn servers_of(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next()).flatten()?;
        address.parse::<IpAddr>().ok().map(|ip| (ip, 53).into())
    };
    text.lines().filter_map(server).collect()
}

fn name(text: &str) -> io::Result<AnyName> {
    text.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("{text}: {error}")))
}

fn not_found(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, what)
}

fn malformed<E>(_: E) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the name server's answer is malformed")
}

/// The addresses of a host, sorted, and how long they hold.
fn addresses(servers: &[SocketAddr], name: &AnyName, port: u16) -> io::Result<(Vec<SocketAddr>, Duration)> {
    let (mut found, mut valid) = (Vec::new(), Duration::MAX);
    let v4 = ask(servers, name, Rtype::A)?;
    // Some servers fail at questions for IPv6 alone.
    for message in [Ok(v4), ask(servers, name, Rtype::AAAA)] {
        let message = match message {
            Err(error) if found.is_empty() => return Err(error),
            Err(_) => continue,
            Ok(message) => message,
        };
        let owner = message.canonical_name().ok_or_else(|| malformed(()))?;
        let answer = message.answer().map_err(malformed)?;
        let mut is_any = false;
        for record in answer.limit_to::<A>() {
            let record = record.map_err(malformed)?;
            if *record.owner() == owner {
                found.push(SocketAddr::from((record.data().addr(), port)));
                is_any = true;
            }
        }
        for record in answer.limit_to::<Aaaa>() {
            let record = record.map_err(malformed)?;
            if *record.owner() == owner {
                found.push(SocketAddr::from((record.data().addr(), port)));
                is_any = true;
            }
        }
        if is_any {
            valid = valid.min(time_to_live(&message)?);
        }
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() { Err(not_found("the name has no address")) } else { Ok((found, valid)) }
}

/// The least of all records, aliases among them.
fn time_to_live(message: &AnyMessage) -> io::Result<Duration> {
    let mut least = Duration::MAX;
    for record in message.answer().map_err(malformed)? {
        least = least.min(record.map_err(malformed)?.ttl().into_duration());
    }
    Ok(least)
}

/// The hosts that offer a service, with their addresses.
fn services(servers: &[SocketAddr], name: &AnyName) -> io::Result<(Vec<Found>, Duration)> {
    let message = ask(servers, name, Rtype::SRV)?;
    let owner = message.canonical_name().ok_or_else(|| malformed(()))?;
    let mut records = Vec::new();
    for record in message.answer().map_err(malformed)?.limit_to::<Srv<_>>() {
        let record = record.map_err(malformed)?;
        // A target that is the root says that the service is not offered.
        if *record.owner() == owner && !record.data().target().is_root() {
            records.push(record.into_data());
        }
    }
    if records.is_empty() {
        return Err(not_found("there is no such service"));
    }
    records.sort_by_key(|record| record.priority());
    records.truncate(TARGETS_MAX);
    let best = records[0].priority();
    let weights = weights(&records.iter().map(|record| record.weight()).collect::<Vec<_>>());
    let mut valid = time_to_live(&message)?;
    let mut found: Vec<Found> = Vec::new();
    for (record, weight) in records.iter().zip(weights) {
        let host = record.target().to_string().trim_end_matches('.').to_ascii_lowercase();
        if !is_authority(host.as_bytes()) {
            continue;
        }
        let (addresses, of_host) = match addresses(servers, &self::name(&host)?, record.port()) {
            Ok(known) => known,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        valid = valid.min(of_host);
        let service = Service { host, weight, is_backup: record.priority() != best };
        let found_here = usable(addresses).into_iter();
        found.extend(found_here.map(|addr| Found { addr, service: Some(service.clone()) }));
    }
    // One address twice is one endpoint, of the better priority.
    found.sort_by_key(|found| (found.addr, found.service.as_ref().is_some_and(|service| service.is_backup)));
    found.dedup_by_key(|found| found.addr);
    if found.is_empty() {
        Err(not_found("no target of the service has an address"))
    } else {
        Ok((found, valid))
    }
}

/// In lowest terms, and not above [`WEIGHT_MAX`]. A weight of 0 is a small chance (RFC 2782), and all of 0
/// are equal.
fn weights(of: &[u16]) -> Vec<u32> {
    let gcd = |mut a: u32, mut b: u32| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let divisor = of.iter().fold(0, |divisor, &weight| gcd(divisor, weight.into())).max(1);
    let largest = of.iter().map(|&weight| u32::from(weight) / divisor).max().unwrap_or(0);
    let scaled = |weight: u32| if largest > WEIGHT_MAX { weight * WEIGHT_MAX / largest } else { weight };
    of.iter().map(|&weight| scaled(u32::from(weight) / divisor).max(1)).collect()
}

/// The answer of the first server that has one: that there is no such name is one too.
fn ask(servers: &[SocketAddr], name: &AnyName, kind: Rtype) -> io::Result<AnyMessage> {
    let mut failure = not_found("there is no name server");
    for _ in 0..TRIES {
        for server in servers {
            match ask_one(*server, name, kind) {
                Ok(message) if matches!(message.header().rcode(), Rcode::NOERROR | Rcode::NXDOMAIN) => {
                    return Ok(message);
                }
                Ok(message) => {
                    let why = format!("the name server {server} answers {}", message.header().rcode());
                    failure = io::Error::other(why);
                }
                Err(error) => {
                    failure = io::Error::new(error.kind(), format!("the name server {server}: {error}"));
                }
            }
        }
    }
    Err(failure)
}

fn ask_one(server: SocketAddr, name: &AnyName, kind: Rtype) -> io::Result<AnyMessage> {
    let until = Instant::now() + TRY;
    let mut builder = MessageBuilder::from_target(StreamTarget::new_vec()).map_err(malformed)?;
    builder.header_mut().set_id(u16::from_ne_bytes(sys::random()));
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    builder.push((name, kind)).map_err(malformed)?;
    let query = builder.finish();
    let asked = Message::from_octets(query.as_dgram_slice()).map_err(malformed)?;
    let unspecified: IpAddr = if server.is_ipv6() { [0_u16; 8].into() } else { [0, 0, 0, 0].into() };
    let socket = UdpSocket::bind((unspecified, 0))?;
    // What others send does not arrive.
    socket.connect(server)?;
    socket.send(query.as_dgram_slice())?;
    let mut buffer = [0; DATAGRAM_BYTES];
    loop {
        socket.set_read_timeout(Some(left(until)?))?;
        let length = socket.recv(&mut buffer).map_err(in_time)?;
        match Message::from_octets(buffer[..length].to_vec()) {
            Ok(message) if message.is_answer(&asked) && message.header().tc() => break,
            Ok(message) if message.is_answer(&asked) => return Ok(message),
            _ => {}
        }
    }
    let mut stream = TcpStream::connect_timeout(&server, left(until)?)?;
    stream.set_write_timeout(Some(left(until)?))?;
    stream.write_all(query.as_stream_slice())?;
    let mut length = [0; 2];
    read(&mut stream, &mut length, until)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    read(&mut stream, &mut answer, until)?;
    let message = Message::from_octets(answer).map_err(malformed)?;
    if message.is_answer(&asked) { Ok(message) } else { Err(malformed(())) }
}

/// Fills the buffer, in time.
fn read(stream: &mut TcpStream, mut buffer: &mut [u8], until: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(buffer).map_err(in_time)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => buffer = &mut buffer[length..],
        }
    }
    Ok(())
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// What sockets call a timeout.
fn in_time(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

#[cfg(test)]
mod tests {
    use domain::base::Ttl;
    use domain::rdata::Cname;

    use super::*;

    #[test]
    fn name_servers_are_read_from_the_system() {
        let text =
            "# a comment\nnameserver 10.0.0.1\nsearch example.test\nnameserver ::1 \nnameserver none\n";
        let servers: Vec<SocketAddr> = ["10.0.0.1:53", "[::1]:53"].map(|text| text.parse().unwrap()).into();
        assert_eq!(servers_of(text), servers);
        assert!(!system_servers().is_empty());
    }

    /// An answer of aliases and addresses, with the seconds that each lives.
    fn answer(aliases: &[(&str, u32, &str)], addresses: &[(&str, u32)]) -> AnyMessage {
        let mut builder = MessageBuilder::new_vec().question();
        builder.push((name("a.test").unwrap(), Rtype::A)).unwrap();
        let mut builder = builder.answer();
        for (alias, seconds, host) in aliases {
            let data = Cname::new(name(host).unwrap());
            builder.push((name(alias).unwrap(), Ttl::from_secs(*seconds), data)).unwrap();
        }
        for (host, seconds) in addresses {
            let data = A::from_octets(10, 0, 0, 1);
            builder.push((name(host).unwrap(), Ttl::from_secs(*seconds), data)).unwrap();
        }
        builder.into_message()
    }

    #[test]
    fn an_answer_holds_as_long_as_the_first_of_its_records() {
        let seconds = |message| time_to_live(&message).unwrap().as_secs();
        assert_eq!(seconds(answer(&[], &[("a.test", 30), ("a.test", 20)])), 20);
        assert_eq!(seconds(answer(&[("a.test", 5, "b.test")], &[("b.test", 30)])), 5);
        assert_eq!(Duration::ZERO.clamp(VALID.0, VALID.1), Duration::from_secs(1));
    }

    #[test]
    fn weights_relate_as_they_did() {
        assert_eq!(weights(&[10, 20, 0]), [1, 2, 1]);
        assert_eq!(weights(&[0, 0]), [1, 1]);
        assert_eq!(weights(&[u16::MAX, 1, 655]), [100, 1, 1]);
        assert!(weights(&[]).is_empty());
    }
}
