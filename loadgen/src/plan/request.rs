//! What is asked: requests with their weights, written once as HTTP/1.1 (RFC 9112), or as the field lines of
//! HTTP/2 (RFC 9113, section 8.3), and checked while that is done. Knows nothing of connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use super::data::Data;
use super::random::Random;
use super::template::{Filling, Form, Template};
use super::tls::Protocol;

/// Bytes of a line of a mix file, and of a body, at the most: a slip of the hand should not fill the memory.
const BODY_BYTES_MAX: usize = 1 << 30;

/// Bytes of a body from which it is not copied behind each head, but leaves from where it is, once for all
/// connections, cores and endpoints.
const SHARED_BODY_BYTES_MIN: usize = 16 * 1024;

/// Bytes for as long as the program runs, which is hardly longer than the run: every send shares them without
/// counting who does, an atomic addition before it and another behind.
pub(crate) fn lasting(bytes: Vec<u8>) -> Bytes {
    Bytes::from_static(Box::leak(bytes.into_boxed_slice()))
}

/// A request as configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    /// How often, compared with the others.
    #[serde(default = "one")]
    pub weight: u32,
    /// The method; GET, or POST with a body, when nothing is said.
    #[serde(default)]
    pub method: Option<String>,
    /// The request target in origin form.
    pub path: String,
    /// Fields beside those for all.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The content.
    #[serde(default)]
    pub body: Option<String>,
}

impl Draft {
    /// A request for a path, and nothing else said.
    pub(crate) fn of(path: &str) -> Self {
        Self { weight: 1, method: None, path: path.to_owned(), headers: BTreeMap::new(), body: None }
    }
}

fn one() -> u32 {
    1
}

/// What all requests have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Common {
    /// In which form they are written.
    pub protocol: Protocol,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The `Host` field, unless the fields have one.
    pub authority: String,
    /// Fields of all.
    pub fields: Vec<(String, String)>,
    /// The content of all that have none.
    pub body: Option<Bytes>,
    /// The method of all that have none.
    pub method: Option<String>,
    /// Whether `{{…}}` are places.
    pub template: bool,
    /// What they may be filled with.
    pub data: Option<Arc<Data>>,
    /// Whether the connection is to be closed afterwards.
    pub close: bool,
}

/// A request, ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct RequestSpec {
    /// Its name in reports: `GET /users`.
    pub name: String,
    /// How often, compared with the others.
    pub weight: u32,
    /// Whether the response has no content (RFC 9110, section 9.3.2).
    pub is_head: bool,
    /// All of it but [`shared_body`](Self::shared_body), where nothing is to be filled: in HTTP/2 the field
    /// lines.
    pub fixed: Option<Bytes>,
    /// Up to the fields, without `Content-Length`, for those to be filled.
    head: Template,
    body: Body,
    has_body: bool,
    protocol: Protocol,
}

/// The content of a request.
#[derive(Clone, Debug)]
enum Body {
    /// The same each time.
    Fixed(Bytes),
    /// With places to be filled.
    Filled(Template),
}

/// Requests with their weights.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    specs: Vec<RequestSpec>,
    weights: u64,
}

impl Mix {
    /// A mix of requests.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn new(specs: Vec<RequestSpec>) -> Result<Self, String> {
        let weights = specs.iter().map(|spec| u64::from(spec.weight)).sum();
        if weights == 0 {
            Err("no request with a weight above 0".to_owned())
        } else {
            Ok(Self { specs, weights })
        }
    }

    /// The requests, by number.
    pub(crate) fn specs(&self) -> &[RequestSpec] {
        &self.specs
    }

    /// Draws the number of one.
    #[inline]
    pub(crate) fn draw(&self, random: &mut Random) -> u32 {
        if self.specs.len() == 1 {
            return 0;
        }
        let mut point = random.below(self.weights);
        for (index, spec) in self.specs.iter().enumerate() {
            match point.checked_sub(u64::from(spec.weight)) {
                Some(rest) => point = rest,
                None => return index as u32,
            }
        }
        unreachable!("a number below the sum of all weights lies within one of them")
    }
}

/// Requests of a mix: each has figures of its own, about 1 MiB of them.
const REQUESTS_MAX: usize = 1000;

/// Reads a file of requests: one per line, as JSON.
///
/// # Errors
/// A sentence that names the line.
pub(crate) fn parse_mix(text: &str) -> Result<Vec<Draft>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let drafts: Result<Vec<Draft>, String> = lines
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| {
                format!(
                    "line {}: {error}; write {{\"weight\":3,\"method\":\"GET\",\"path\":\"/x\",\
                     \"headers\":{{}},\"body\":\"\"}}",
                    number + 1
                )
            })
        })
        .collect();
    let drafts = drafts?;
    match drafts.len() {
        0 => Err("no request in it".to_owned()),
        1..=REQUESTS_MAX => Ok(drafts),
        count => Err(format!(
            "{count} requests, each with figures of its own; give at most {REQUESTS_MAX}, with --template \
             one line for many paths"
        )),
    }
}

impl RequestSpec {
    /// Checks and writes a request.
    ///
    /// # Errors
    /// A sentence with cause and remedy.
    pub(crate) fn new(draft: &Draft, common: &Common) -> Result<Self, String> {
        let body = draft.body.as_ref().map(|body| lasting(body.clone().into_bytes()));
        let body = body.or_else(|| common.body.clone());
        let method = draft.method.as_ref().or(common.method.as_ref());
        let method = method.map_or(if body.is_some() { "POST" } else { "GET" }, |method| method.as_str());
        check_method(method)?;
        check_target(&draft.path, common.template)?;
        let mut fields = common.fields.clone();
        for (name, value) in &draft.headers {
            fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            fields.push((name.clone(), value.clone()));
        }
        let mut lines = field_lines(&fields, common)?;
        if body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
            return Err("a body of more than 1 GiB; send a smaller one".to_owned());
        }
        let data = common.data.as_deref();
        let read = |text: &[u8]| match common.template {
            true => Template::parse(text, data, Form::Component),
            false => Ok(Template::literal(text)),
        };
        let before = match common.protocol {
            Protocol::H1 => format!("{method} "),
            Protocol::H2 => {
                let authority = authority(&fields, common);
                format!(
                    ":method: {method}\r\n:scheme: {}\r\n:authority: {authority}\r\n:path: ",
                    common.scheme
                )
            }
        };
        let mut head = Template::literal(before.as_bytes());
        head.append(read(draft.path.as_bytes())?);
        lines.insert_str(0, if common.protocol == Protocol::H1 { " HTTP/1.1\r\n" } else { "\r\n" });
        head.push_text(lines.as_bytes());
        let has_body = body.is_some() || matches!(method, "POST" | "PUT" | "PATCH");
        let mut spec = Self {
            name: format!("{method} {}", draft.path),
            weight: draft.weight,
            is_head: method == "HEAD",
            fixed: None,
            head,
            body: Body::new(body.unwrap_or_default(), common.template, data)?,
            has_body,
            protocol: common.protocol,
        };
        if spec.head.constant().is_some() && matches!(spec.body, Body::Fixed(_)) {
            let (mut fixed, filling) = (Vec::new(), &mut Filling::new(0, 0, 1));
            match common.protocol {
                Protocol::H1 => spec.render(filling, &mut Vec::new(), &mut fixed),
                Protocol::H2 => drop(spec.render_lines(filling, &mut fixed)),
            }
            spec.fixed = Some(lasting(fixed));
        }
        Ok(spec)
    }

    /// The body, where it is not written with the rest: it is large, or HTTP/2 has frames for it.
    pub(crate) fn shared_body(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Fixed(body) if self.protocol == Protocol::H2 => Some(body),
            Body::Fixed(body) => Some(body).filter(|body| body.len() >= SHARED_BODY_BYTES_MIN),
            Body::Filled(_) => None,
        }
    }

    /// Writes the request with its places filled, but without a shared body; `scratch` is for another one.
    pub(crate) fn render(&self, filling: &mut Filling, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        use std::io::Write as _;
        self.head.render(filling, out);
        if !self.has_body {
            out.extend_from_slice(b"\r\n");
            return;
        }
        scratch.clear();
        let body = match &self.body {
            Body::Fixed(body) => &body[..],
            Body::Filled(template) => {
                template.render(filling, scratch);
                &scratch[..]
            }
        };
        write!(out, "Content-Length: {}\r\n\r\n", body.len()).expect("writing to memory does not fail");
        if self.shared_body().is_none() {
            out.extend_from_slice(body);
        }
    }

    /// Writes the field lines of HTTP/2, pseudo-fields first, with their places filled; the body is beside
    /// them.
    pub(crate) fn render_lines(&self, filling: &mut Filling, lines: &mut Vec<u8>) -> Bytes {
        use std::io::Write as _;
        self.head.render(filling, lines);
        let body = match &self.body {
            Body::Fixed(body) => body.clone(),
            Body::Filled(template) => {
                let mut body = Vec::new();
                template.render(filling, &mut body);
                Bytes::from(body)
            }
        };
        if self.has_body {
            write!(lines, "content-length: {}\r\n", body.len()).expect("writing to memory does not fail");
        }
        body
    }
}

impl Body {
    fn new(body: Bytes, template: bool, data: Option<&Data>) -> Result<Self, String> {
        if !template {
            return Ok(Self::Fixed(body));
        }
        let template = Template::parse(&body, data, Form::Plain)?;
        Ok(if template.is_constant() { Self::Fixed(body) } else { Self::Filled(template) })
    }
}

/// The value of a Host field (RFC 9113, section 8.3.1).
fn authority<'a>(fields: &'a [(String, String)], common: &'a Common) -> &'a str {
    let host = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    host.map_or(&common.authority, |(_, value)| value)
}

/// Fields of one connection, which HTTP/2 has other means for (RFC 9113, section 8.2.2).
const OF_A_CONNECTION: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "upgrade", "te"];

fn field_lines(fields: &[(String, String)], common: &Common) -> Result<String, String> {
    let mut lines = String::new();
    if common.protocol == Protocol::H2 {
        for (name, value) in fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            check_field(name, value)?;
            let name = name.to_ascii_lowercase();
            if OF_A_CONNECTION.contains(&&*name) && !(name == "te" && value == "trailers") {
                return Err(format!("`{name}` has no place in HTTP/2; leave it out"));
            }
            lines.push_str(&format!("{name}: {value}\r\n"));
        }
        return Ok(lines);
    }
    let has = |name: &str| fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if !has("host") {
        lines.push_str(&format!("Host: {}\r\n", common.authority));
    }
    if common.close && !has("connection") {
        lines.push_str("Connection: close\r\n");
    }
    for (name, value) in fields {
        check_field(name, value)?;
        lines.push_str(&format!("{name}: {value}\r\n"));
    }
    Ok(lines)
}

/// Reads `Name: value`.
///
/// # Errors
/// A sentence with the remedy.
pub(crate) fn parse_field(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or_else(|| format!("`{text}` is no field; write 'Name: value'"))?;
    let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
    check_field(&name, &value)?;
    Ok((name, value))
}

/// RFC 9110, section 5: names are tokens, values have no line ends; RFC 9112, section 6.2: one length.
fn check_field(name: &str, value: &str) -> Result<(), String> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("`{name}` is no field name; write 'Name: value'"));
    }
    if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(format!("the value of `{name}` has a line end or NUL in it; leave it out"));
    }
    let framing = ["content-length", "transfer-encoding"];
    if framing.iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Err(format!("`{name}` is written by loadgen, from the body; leave it out"));
    }
    Ok(())
}

fn check_method(method: &str) -> Result<(), String> {
    if method == "CONNECT" {
        return Err("CONNECT makes a tunnel, which is no load; use another method".to_owned());
    }
    let is_sound = !method.is_empty() && method.bytes().all(is_token);
    if is_sound { Ok(()) } else { Err(format!("`{method}` is no method; write GET, POST, PUT …")) }
}

fn check_target(path: &str, template: bool) -> Result<(), String> {
    let is_sound = path.starts_with('/')
        && path.bytes().all(|byte| (0x21..0x7f).contains(&byte) || (template && byte == b' '));
    if is_sound {
        return Ok(());
    }
    Err(format!("`{path}` is no path; begin with / and write spaces and other bytes as %XX"))
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(path: &str) -> Draft {
        Draft::of(path)
    }

    fn common() -> Common {
        Common { authority: "h:1".to_owned(), ..Common::default() }
    }

    fn text(spec: &RequestSpec) -> String {
        String::from_utf8(spec.fixed.clone().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_large_body_is_there_once() {
        let body = lasting(vec![b'x'; SHARED_BODY_BYTES_MIN]);
        for protocol in [Protocol::H1, Protocol::H2] {
            let common = Common { protocol, body: Some(body.clone()), ..common() };
            for path in ["/a", "/b"] {
                let spec = RequestSpec::new(&draft(path), &common).unwrap();
                assert!(text(&spec).to_ascii_lowercase().contains("content-length: 16384\r\n"));
                assert!(spec.fixed.as_ref().unwrap().len() < 200, "the head alone");
                assert_eq!(spec.shared_body().unwrap().as_ptr(), body.as_ptr());
            }
            // A path that is filled changes nothing of that.
            let spec = RequestSpec::new(&draft("/{{seq}}"), &Common { template: true, ..common }).unwrap();
            let mut out = Vec::new();
            match protocol {
                Protocol::H1 => spec.render(&mut Filling::new(0, 0, 1), &mut Vec::new(), &mut out),
                Protocol::H2 => drop(spec.render_lines(&mut Filling::new(0, 0, 1), &mut out)),
            }
            assert!(out.len() < 200 && spec.shared_body().unwrap().as_ptr() == body.as_ptr());
        }
    }

    #[test]
    fn requests_are_written() {
        let get = RequestSpec::new(&draft("/a?b"), &common()).unwrap();
        assert_eq!(text(&get), "GET /a?b HTTP/1.1\r\nHost: h:1\r\n\r\n");
        let post = Draft { body: Some("hi".to_owned()), ..draft("/") };
        let fields = vec![("host".to_owned(), "x".to_owned()), ("A".to_owned(), "b".to_owned())];
        let post = RequestSpec::new(&post, &Common { fields, close: true, ..common() }).unwrap();
        assert_eq!(
            text(&post),
            "POST / HTTP/1.1\r\nConnection: close\r\nhost: x\r\nA: b\r\nContent-Length: 2\r\n\r\nhi"
        );
        assert_eq!(post.name, "POST /");
    }

    #[test]
    fn requests_of_http_2_are_lines_with_a_body_beside_them() {
        let fields = vec![("HOST".to_owned(), "x".to_owned()), ("Accept".to_owned(), "b".to_owned())];
        let common = Common { protocol: Protocol::H2, scheme: "https", fields, close: true, ..common() };
        let post = RequestSpec::new(&Draft { body: Some("hi".to_owned()), ..draft("/a") }, &common).unwrap();
        assert_eq!(
            text(&post),
            ":method: POST\r\n:scheme: https\r\n:authority: x\r\n:path: /a\r\naccept: b\r\n\
             content-length: 2\r\n"
        );
        assert_eq!(&post.shared_body().unwrap()[..], b"hi");
        for (name, value, is_taken) in
            [("Connection", "close", false), ("TE", "trailers", true), ("te", "gzip", false)]
        {
            let fields = vec![(name.to_owned(), value.to_owned())];
            let spec = RequestSpec::new(&draft("/"), &Common { fields, ..common.clone() });
            assert_eq!(spec.is_ok(), is_taken, "{name}: {value}");
        }
    }

    #[test]
    fn templates_are_filled_and_their_length_is_told() {
        let draft = Draft { body: Some("n={{seq}}".to_owned()), ..draft("/{{rand 5 5}}") };
        let spec = RequestSpec::new(&draft, &Common { template: true, ..common() }).unwrap();
        assert!(spec.fixed.is_none());
        let (mut filling, mut out) = (Filling::new(1, 10, 11), Vec::new());
        spec.render(&mut filling, &mut Vec::new(), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "POST /5 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 4\r\n\r\nn=10");
    }

    #[test]
    fn a_mix_is_drawn_by_weight() {
        let drafts = parse_mix("{\"path\":\"/a\",\"weight\":3}\n\n{\"path\":\"/b\"}\n").unwrap();
        let specs = drafts.iter().map(|draft| RequestSpec::new(draft, &common()).unwrap()).collect();
        let mix = Mix::new(specs).unwrap();
        let mut random = Random::new(3, 0);
        let first = (0..10_000).filter(|_| mix.draw(&mut random) == 0).count();
        assert!((7_300..7_700).contains(&first), "{first}");
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parse_mix("{\"path\":\"/\"}\n{\"pth\":1}").unwrap_err().starts_with("line 2:"));
        assert!(parse_mix("\n").is_err());
        let many = |count| parse_mix(&"{\"path\":\"/\"}\n".repeat(count));
        assert_eq!(many(1000).unwrap().len(), 1000);
        assert!(many(1001).unwrap_err().contains("--template"));
        for path in ["", "a", "/a b", "/ü", "/a\r\nX: y"] {
            assert!(RequestSpec::new(&draft(path), &common()).is_err(), "{path}");
        }
        for field in ["x", ": y", "a b: c", "A: b\r\nC: d", "Content-Length: 5"] {
            assert!(parse_field(field).is_err(), "{field}");
        }
        for method in ["", "G T", "CONNECT"] {
            let draft = Draft { method: Some(method.to_owned()), ..draft("/") };
            assert!(RequestSpec::new(&draft, &common()).is_err(), "{method}");
        }
    }
}
