//! Forms with files, split at arbitrary points.

use proptest::prelude::*;
use quoit::service::{ExtractLimits, Json, Multipart, Problem, Router};

use crate::common::{Client, pattern};
use crate::{host, is_problem, post, posted};

const TYPE: &str = "multipart/form-data; boundary=x";

/// Every part: name, file name, type, length and a sum of its bytes.
async fn list(mut form: Multipart) -> Result<Json<Vec<String>>, Problem> {
    let mut parts = Vec::new();
    while let Some(mut part) = form.next().await? {
        let (mut length, mut sum) = (0, 0_u64);
        while let Some(piece) = part.next().await? {
            assert!(!piece.is_empty());
            length += piece.len();
            sum = piece.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        }
        let (file, kind) = (part.file_name().unwrap_or("-"), part.content_type().unwrap_or("-"));
        parts.push(format!("{} {file} {kind} {length} {sum}", part.name()));
    }
    Ok(Json(parts))
}

/// The texts of the parts that are no files; files are skipped unread.
async fn texts(mut form: Multipart) -> Result<Json<Vec<(String, String)>>, Problem> {
    let mut texts = Vec::new();
    while let Some(mut part) = form.next().await? {
        if part.file_name().is_none() {
            texts.push((part.name().to_owned(), part.text().await?));
        }
    }
    Ok(Json(texts))
}

fn router() -> Router {
    Router::new()
        .post("/list", list)
        .post("/texts", texts)
        .post("/small", async |mut form: Multipart| -> Result<String, Problem> {
            let Some(mut part) = form.next().await? else { return Ok("none".into()) };
            let bytes = part.read_all(4).await?;
            Ok(format!("{bytes:?}"))
        })
        .limits(ExtractLimits {
            form_bytes_max: 8,
            multipart_bytes_max: 2000,
            multipart_part_bytes_max: 1000,
            multipart_parts_max: 3,
            ..ExtractLimits::DEFAULT
        })
}

fn part(name: &str, data: &str) -> String {
    format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{data}\r\n")
}

fn file(name: &str, file_name: &str, data: &str) -> String {
    format!(
        "--x\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\nContent-Type: \
         image/png\r\n\r\n{data}\r\n"
    )
}

#[test]
fn parts_are_told_one_by_one() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    let body = part("a", "1") + &file("b", "C:\\x\\y.png", "") + "--x--\r\n";
    post(&mut client, "/list", TYPE, &body).is(200, r#"["a - - 1 49","b y.png image/png 0 0"]"#).keeps();
    let body = part("a", "ä") + &file("b", "z", "passed over") + &part("c", "") + "--x--";
    post(&mut client, "/texts", TYPE, &body).is(200, r#"[["a","ä"],["c",""]]"#).keeps();
    post(&mut client, "/list", TYPE, "--x--").is(200, "[]").keeps();
    post(&mut client, "/small", TYPE, part("a", "1234") + "--x--").is(200, "b\"1234\"");
}

#[test]
fn what_is_wrong_is_named_with_its_part() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    let bad_type = "the body must be multipart/form-data";
    is_problem(&post(&mut client, "/list", "", "--x--"), 415, bad_type, "");
    is_problem(&post(&mut client, "/list", "multipart/mixed; boundary=x", "--x--"), 415, bad_type, "");
    let boundary = "the Content-Type needs one boundary of 1 to 70 plain characters";
    is_problem(&post(&mut client, "/list", "multipart/form-data", "--x--"), 400, boundary, "");

    let long = "x".repeat(1001);
    let (a, end) = (part("a", "1"), "--x--");
    for (path, body, status, detail, field) in [
        (
            "/list",
            a.clone(),
            400,
            "part 1 (\"a\"): the body ends before its last delimiter",
            "a: the body ends before its last delimiter",
        ),
        ("/list", a.clone() + "--x\r\nX: y\r\n\r\n", 400, "part 2: it has no Content-Disposition", ""),
        ("/list", a.repeat(4) + end, 413, "part 4: the body has too many parts; send fewer", ""),
        (
            "/list",
            part("b", &long) + end,
            413,
            "part 1 (\"b\"): it is larger than this server takes; send less",
            "b: it is larger than this server takes; send less",
        ),
        (
            "/texts",
            part("a", "123456789") + end,
            413,
            "a is longer than 8 bytes",
            "a: is longer than 8 bytes",
        ),
        ("/small", part("a", "12345") + end, 413, "a is longer than 4 bytes", "a: is longer than 4 bytes"),
        ("/list", part("a", &long[1..]).repeat(2), 413, "the body is longer than 2000 bytes", ""),
    ] {
        let answer = post(&mut client, path, TYPE, &body);
        is_problem(&answer, status, detail, field);
        client = Client::connect(server.addr);
    }
    let latin = [part("a", "").trim_end().as_bytes(), b"\r\n\r\n\xff\r\n--x--"].concat();
    let answer = post(&mut client, "/texts", TYPE, latin);
    is_problem(&answer, 400, "the field is not UTF-8 at byte 0", "a: the field is not UTF-8 at byte 0");
}

#[test]
fn a_body_that_does_not_say_its_length_has_the_same_limits() {
    let server = host(router);
    let mut client = Client::connect(server.addr);
    let body = part("a", &"x".repeat(900)).repeat(3);
    let head = format!(
        "POST /list HTTP/1.1\r\nHost: a\r\nContent-Type: {TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let answer = client.ask(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    is_problem(&answer, 413, "the body is longer than 2000 bytes", "");
}

/// A file far larger than a piece arrives whole, split at odd places.
#[test]
fn a_large_file_arrives_whole() {
    let server = host(|| Router::new().post("/list", list));
    let mut client = Client::connect(server.addr);
    let data = pattern(3_000_000);
    let head = "--x\r\nContent-Disposition: form-data; name=a; filename=a\r\n\r\n\r\n--\r\n";
    let body = [head.as_bytes(), &data, b"\r\n--x--"].concat();
    let sum = b"\r\n--\r\n".iter().chain(&data);
    let sum = sum.fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    post(&mut client, "/list", TYPE, &body).is(200, format!("[\"a a - {} {sum}\"]", data.len() + 6));
}

#[test]
fn a_client_that_leaves_within_a_part_harms_nobody() {
    let server = host(router);
    let body = part("a", "1") + &file("b", "b", "2") + "--x--";
    let request = posted("/list", TYPE, body.as_bytes());
    for end in (request.len() - body.len()..request.len()).step_by(7) {
        let mut client = Client::connect(server.addr);
        client.send(&request[..end]);
        client.reset();
    }
    let mut client = Client::connect(server.addr);
    client.ask(&request).is(200, r#"["a - - 1 49","b b image/png 1 50"]"#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The same parts arrive, wherever a body is split.
    #[test]
    fn cuts_do_not_matter(
        data in "[\r\n\\-xy]{0,40}",
        lengths in proptest::collection::vec(1_usize..60, 1..8),
        pause: bool,
    ) {
        prop_assume!(!format!("\r\n{data}").contains("\r\n--x"));
        let server = host(router);
        let mut client = Client::connect(server.addr);
        let body = part("a", &data) + &file("b", "b", &data) + "--x--";
        let request = posted("/list", TYPE, body.as_bytes());
        let whole = client.ask(&request);
        prop_assert_eq!(whole.status, 200);
        if pause {
            let middle = request.len() - body.len() / 2;
            client.send(&request[..middle]);
            // In an input of its own.
            server.turns();
            client.send(&request[middle..]);
        } else {
            client.send_split(&request, &lengths);
        }
        prop_assert_eq!(client.response().text(), whole.text());
    }
}
