//! Compressed content: asked for, undone, bounded.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use quoit::client::{ClientErrorKind, ClientOptions};
use quoit::filter::Compress;
use quoit::service::Router;

use crate::common::{lenient, pattern, serve_with};
use crate::lab::{Endpoint, OK, field};

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// An endpoint whose content has this coding.
fn coded(coding: &str, content: Vec<u8>) -> Endpoint {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\nX-A: 1\r\n\r\n",
        content.len()
    );
    Endpoint::new(move |wire, _| {
        while let Some(request) = wire.head() {
            wire.send(&head);
            if !request.starts_with("HEAD") {
                wire.send(&content);
            }
        }
    })
}

#[test]
fn every_coding_is_undone() {
    let content: Vec<u8> = pattern(1000).repeat(300);
    let brotli = {
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 19);
        encoder.write_all(&content).unwrap();
        encoder.into_inner()
    };
    for (coding, coded_content) in [
        ("gzip", gzip(&content)),
        ("X-GZIP", gzip(&content)),
        ("br", brotli),
        ("zstd", zstd::encode_all(&content[..], 3).unwrap()),
        ("gzip, zstd", zstd::encode_all(&gzip(&content)[..], 3).unwrap()),
    ] {
        let endpoint = coded(coding, coded_content);
        let (url, content) = (format!("http://{}/", endpoint.addr), content.clone());
        crate::default(async move |client, _| {
            let response = client.get(&url).send().await.unwrap();
            assert_eq!(field(&endpoint.seen.head(0), "accept-encoding"), Some("gzip, br, zstd"));
            let fields: Vec<_> = response.headers().map(|(name, _)| name.to_owned()).collect();
            assert_eq!((fields, response.content_length()), (vec!["X-A".to_owned()], None));
            assert!(response.bytes().await.unwrap() == content);
            // The connection was read to its end.
            client.get(&url).send().await.unwrap().bytes().await.unwrap();
            let head = client.head(&url).send().await.unwrap();
            assert!(head.header("content-encoding").is_some() && head.bytes().await.unwrap().is_empty());
            assert_eq!(endpoint.seen.accepted(), 1);
        });
    }
}

#[test]
fn this_servers_filter_is_understood() {
    let text = "to be compressed ".repeat(10_000);
    let content = text.clone();
    let server = serve_with(1, lenient(), move |_| {
        let content = content.clone();
        let routes = Router::new().filter(Compress::new()).get("/", async move || content.clone());
        routes.build().unwrap()
    });
    let url = format!("http://{}/", server.addr);
    crate::default(async move |client, _| {
        let compressed = client.get(&url).header("Accept-Encoding", "zstd").send().await.unwrap();
        assert_eq!(compressed.header("content-encoding"), Some("zstd"));
        assert!(compressed.bytes().await.unwrap().len() < text.len() / 10);
        assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), text);
    });
}

#[test]
fn who_asks_for_a_coding_gets_it() {
    let endpoint = coded("gzip", gzip(b"abc"));
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, _| {
        for request in
            [client.get(&url).header("Accept-Encoding", "gzip"), client.get(&url).header("Range", "bytes=0-")]
        {
            let response = request.send().await.unwrap();
            assert_eq!(response.header("content-encoding"), Some("gzip"));
            assert_eq!(response.bytes().await.unwrap(), gzip(b"abc"));
        }
        assert_eq!(field(&endpoint.seen.head(1), "accept-encoding"), None);
    });
    let plain = Endpoint::answering(OK);
    let url = format!("http://{}/", plain.addr);
    crate::with(ClientOptions { decompress: false, ..ClientOptions::default() }, async move |client, _| {
        client.get(&url).send().await.unwrap();
        assert_eq!(field(&plain.seen.head(0), "accept-encoding"), None);
    });
}

#[test]
fn a_bomb_is_not_unpacked() {
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000);
    let endpoint = coded("gzip", bomb);
    let url = format!("http://{}/", endpoint.addr);
    crate::with(
        ClientOptions { response_bytes_max: Some(16 << 20), ..ClientOptions::default() },
        async move |client, _| {
            let whole = client.get(&url).send().await.unwrap().bytes().await.unwrap_err();
            assert_eq!(whole.kind(), ClientErrorKind::TooLarge, "{whole}");
            let mut response = client.get(&url).send().await.unwrap();
            let mut received = 0;
            let error = loop {
                match response.next().await.expect("an error, before its end") {
                    Ok(piece) => received += piece.len(),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ClientErrorKind::TooLarge, "{error}");
            assert!(received <= 16 << 20 && response.next().await.is_none());
        },
    );
}

#[test]
fn content_that_is_not_what_it_claims_is_an_error() {
    for (coding, content) in [
        ("gzip", b"not compressed".to_vec()),
        ("gzip", gzip(b"abc")[..15].to_vec()),
        ("gzip", [gzip(b"abc"), b"more".to_vec()].concat()),
        ("zstd", b"not compressed".to_vec()),
        ("br", vec![0xff; 50]),
        ("gzip, gzip, gzip", gzip(&gzip(&gzip(b"abc")))),
    ] {
        let endpoint = coded(coding, content);
        let url = format!("http://{}/", endpoint.addr);
        crate::default(async move |client, _| {
            let error = match client.get(&url).send().await {
                Ok(response) => response.bytes().await.unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(error.kind(), ClientErrorKind::Coding, "{coding}: {error}");
        });
    }
}

/// What a server has flushed is read before the rest comes.
#[test]
fn compressed_content_is_not_held_back() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Mutex::new(receiver);
    let endpoint = Endpoint::new(move |wire, _| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"first").unwrap();
        encoder.flush().unwrap();
        wire.send(std::mem::take(encoder.get_mut()));
        receiver.lock().unwrap().recv().unwrap();
        encoder.write_all(b"second").unwrap();
        wire.send(encoder.finish().unwrap());
    });
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, _| {
        let mut response = client.get(&url).send().await.unwrap();
        assert_eq!(response.next().await.unwrap().unwrap(), "first");
        sender.send(()).unwrap();
        assert_eq!(response.next().await.unwrap().unwrap(), "second");
        assert!(response.next().await.is_none());
    });
}

/// Content that is there all at once does not keep the core from its other tasks.
#[test]
fn others_have_their_turn_while_much_is_decompressed() {
    let endpoint = coded("gzip", gzip(&vec![0; 64 << 20]));
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, _| {
        let mut response = client.get(&url).send().await.unwrap();
        let mut turns = 0;
        let reading = async {
            while let Some(piece) = response.next().await {
                piece.unwrap();
            }
        };
        let counting = std::future::poll_fn(|_| {
            turns += 1;
            std::task::Poll::<()>::Pending
        });
        futures_util::future::select(Box::pin(reading), Box::pin(counting)).await;
        assert!(turns > 100, "{turns}");
    });
}

/// Each coding is a table of a hundred KiB: thousands fit in a head, and are refused before they are made.
#[test]
fn too_many_codings_are_counted_before_they_are_begun() {
    let endpoint = coded(&format!("{}unknown", "zstd,".repeat(3000)), b"x".to_vec());
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, _| {
        let error = client.get(&url).send().await.unwrap_err();
        assert_eq!(error.kind(), ClientErrorKind::Coding);
    });
}
