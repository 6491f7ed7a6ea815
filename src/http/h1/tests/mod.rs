//! The machines of HTTP/1.1 against wire text: every vector runs whole, byte by byte and split at every
//! point, and must come out the same. Nothing here opens a socket.

mod bodies;
mod heads;
mod hyper_client;
mod requests_out;
mod response_vectors;
mod responses;
mod streams;

/// Every way to cut `wire` into one or two pieces, then into single bytes.
fn ways(wire: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut ways = vec![vec![wire]];
    ways.extend((1..wire.len()).map(|at| vec![&wire[..at], &wire[at..]]));
    ways.push(wire.chunks(1).collect());
    ways
}
