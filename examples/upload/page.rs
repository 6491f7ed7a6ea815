//! The HTML interface: the page, its script and style, and problems in HTML for clients that accept it.

use std::fmt::Write;
use std::ops::ControlFlow;

use bytes::Bytes;
use quoit::http::status::Status;
use quoit::service::{
    Body, Context, Filter, Headers, Html, IntoResponse, Problem, Request, Response, State, escape_html,
};

use crate::App;
use crate::files::list;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <link rel=\"stylesheet\" href=\"/upload.css\">\n";

const FORM: &str = "<title>Upload</title>\n<script src=\"/upload.js\" defer></script>\n\
    <h1>Upload</h1>\n\
    <form action=\"/files\" method=\"post\" enctype=\"multipart/form-data\">\n\
    <label>Files <input type=\"file\" name=\"file\" multiple required></label>\n\
    <button>Send</button>\n</form>\n\
    <progress max=\"1\" value=\"0\" hidden></progress>\n<p role=\"status\"></p>\n";

/// `GET /`.
pub(crate) async fn show(app: State<App>) -> Result<Html<String>, Problem> {
    let files = list(app).await?.0;
    let mut html = [HEAD, FORM, "<h2>Stored</h2>\n"].concat();
    if files.is_empty() {
        html += "<p>Nothing yet.</p>\n";
        return Ok(Html(html));
    }
    html += "<table>\n<tr><th>Name<th>Bytes\n";
    for file in files {
        let _ = writeln!(html, "<tr><td>{}<td>{}", escape_html(&file.name), file.bytes);
    }
    html += "</table>\n";
    Ok(Html(html))
}

/// `GET /upload.js`.
pub(crate) async fn script() -> Response {
    part("text/javascript; charset=utf-8", include_str!("upload.js"))
}

/// `GET /upload.css`.
pub(crate) async fn style() -> Response {
    part("text/css; charset=utf-8", include_str!("upload.css"))
}

fn part(content_type: &str, text: &'static str) -> Response {
    let response = Response::new(Status::OK).with_body(Body::Bytes(Bytes::from_static(text.as_bytes())));
    response.with_field("Content-Type", content_type)
}

/// Browsers have HTML in `Accept`; scripts and curl do not.
pub(crate) fn wants_html(headers: &Headers) -> bool {
    accepts_html(headers.get("accept"))
}

fn accepts_html(accept: Option<&[u8]>) -> bool {
    accept.is_some_and(|accept| accept.windows(9).any(|window| window.eq_ignore_ascii_case(b"text/html")))
}

/// Problems as a page for clients that accept HTML.
pub(crate) fn problem(context: &Context, problem: Problem) -> Response {
    if !accepts_html(context.head().field("accept")) {
        return problem.into_response();
    }
    let (title, detail) = (escape_html(problem.title()), escape_html(problem.detail_text()));
    let html =
        format!("{HEAD}<title>{title}</title>\n<h1>{title}</h1>\n<p>{detail}</p>\n<p><a href=\"/\">Back</a>");
    Html(html).into_response().with_status(problem.status())
}

/// Refuses cross-site uploads, by the fields of Fetch Metadata; clients without them are not browsers.
pub(crate) struct SameSite;

impl Filter for SameSite {
    fn before(&self, request: &mut Request) -> ControlFlow<Response> {
        let site = request.head().field("sec-fetch-site").unwrap_or(b"none");
        if request.method().is_safe() || matches!(site, b"same-origin" | b"none") {
            return ControlFlow::Continue(());
        }
        let problem = Problem::new(Status::FORBIDDEN).detail("uploads are taken from this site's own page");
        ControlFlow::Break(problem.into_response())
    }
}
