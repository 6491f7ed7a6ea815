//! The form in which a client gets an error, by its `Accept`: one rule for every error, whatever made it; and
//! the error in place of a response that cannot be sent.
//!
//! The form is what `Accept` names with the greatest weight: HTML, a problem document, or text, in this order
//! where weights are equal. A client that names none of them gets the document: programs can rely on it, and
//! on a terminal it is one readable line. It gets another form only where its `Accept` excludes documents.
//! Calls of gRPC are the exception: whatever they accept, their errors are fields of a response with 200.

use super::grpc;
use super::request::Context;
use super::response::{Body, Response};
use crate::http::accept;
use crate::http::message::RequestHead;
use crate::http::status::Status;
use crate::observe::log;

/// The form of an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ErrorForm {
    Html,
    Document,
    Text,
    /// Fields, as the one head of a response that ends with it (Trailers-Only).
    Grpc,
}

/// The form that a client gets, and whether it named it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WantedForm {
    pub(crate) form: ErrorForm,
    /// By name, and not by a range such as `*/*` or by leaving `Accept` out.
    pub(crate) is_named: bool,
}

/// In the order of preference between equal weights.
const BY_NAME: [(ErrorForm, [&str; 2]); 3] = [
    (ErrorForm::Html, ["text/html", "application/xhtml+xml"]),
    (ErrorForm::Document, ["application/problem+json", "application/json"]),
    (ErrorForm::Text, ["text/plain", "text/plain"]),
];

/// The form of an error for the client that sent this head.
#[cold]
pub(crate) fn wanted_form(head: &RequestHead) -> WantedForm {
    if grpc::is_call(head) {
        return WantedForm { form: ErrorForm::Grpc, is_named: true };
    }
    form_by(&head.fields_named("accept").collect::<Vec<_>>())
}

/// The form by the lines of `Accept`.
fn form_by(lines: &[&[u8]]) -> WantedForm {
    let field = || lines.iter().copied();
    let weights = BY_NAME.map(|(form, types)| {
        let named = types.iter().filter(|media_type| accept::names(field(), media_type));
        (form, named.map(|media_type| accept::weight_of(field(), media_type)).max())
    });
    let named =
        weights.iter().filter_map(|&(form, weight)| Some((form, weight.filter(|weight| *weight > 0)?)));
    // The first of equals, which `max_by_key` would not be.
    if let Some((form, _)) = named.reduce(|best, other| if other.1 > best.1 { other } else { best }) {
        return WantedForm { form, is_named: true };
    }
    let is_in_range = |form: ErrorForm| {
        let (_, types) = BY_NAME.iter().find(|(known, _)| *known == form).expect("each form is listed");
        let is_excluded = weights.iter().any(|&(known, weight)| known == form && weight == Some(0));
        !is_excluded && accept::weight_of(field(), types[0]) > 0
    };
    let rest = [ErrorForm::Document, ErrorForm::Text, ErrorForm::Html];
    // Where none is acceptable, one that is not is better than none (RFC 9110 §12.4.1).
    let form = rest.into_iter().find(|form| is_in_range(*form)).unwrap_or(ErrorForm::Document);
    WantedForm { form, is_named: false }
}

/// Renders the problem of a response, if it has one, in the form that the client gets.
#[cold]
pub(crate) fn negotiate(head: &RequestHead, response: &mut Response) {
    let Some(mut problem) = response.take_problem() else { return };
    let form = wanted_form(head).form;
    if form != ErrorForm::Grpc && !accept::names(response.field_values("Vary"), "accept") {
        let _ = response.add_field("Vary", "Accept");
    }
    // A handler may have changed the status since.
    problem.set_status(response.status());
    let (media_type, body) = match form {
        ErrorForm::Html => ("text/html; charset=utf-8", problem.to_html()),
        ErrorForm::Document => ("application/problem+json", problem.to_json()),
        ErrorForm::Text => ("text/plain; charset=utf-8", problem.to_text()),
        ErrorForm::Grpc => {
            let (code, message) = grpc::fields_of(&problem);
            response.set_status(Status::OK);
            let _ = response.set_field("grpc-status", itoa::Buffer::new().format(code));
            let _ = response.set_field("grpc-message", &message);
            ("application/grpc", Vec::new())
        }
    };
    let _ = response.set_field("Content-Type", media_type);
    response.set_body(if body.is_empty() { Body::Empty } else { Body::Bytes(body.into()) });
}

/// Replaces a response that cannot be sent as it was made by a 500; the log has the reason.
#[inline]
pub(crate) fn settle(context: &Context, response: &mut Response) {
    if response.is_faulty() {
        fail(context, response);
    }
}

#[cold]
fn fail(context: &Context, response: &mut Response) {
    let Some(fault) = response.take_fault() else { return };
    let closes = response.closes();
    let method = context.head().method_str();
    match context.route() {
        none if none.is_empty() => log::line(format_args!("a response is a 500: {fault} ({method})")),
        route => log::line(format_args!("a response is a 500: {fault} ({method}, route {route})")),
    }
    let detail = "the response could not be made; the server's log has the cause";
    *response = Response::error(Status::INTERNAL_SERVER_ERROR, detail);
    if closes {
        response.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule() {
        use ErrorForm::{Document, Html, Text};
        for (accept, form, is_named) in [
            (None, Document, false),
            (Some(""), Document, false),
            (Some("*/*"), Document, false),
            (Some("image/avif, image/webp, */*;q=0.8"), Document, false),
            (Some("image/png"), Document, false),
            (Some("application/*"), Document, false),
            (Some("text/*"), Text, false),
            (Some("text/*, text/plain;q=0"), Html, false),
            (Some("application/json;q=0, */*"), Text, false),
            (Some("*/*;q=0"), Document, false),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Html, true),
            (Some("application/xhtml+xml"), Html, true),
            (Some("application/json"), Document, true),
            (Some("APPLICATION/Problem+JSON"), Document, true),
            (Some("application/json, text/html;q=0.5"), Document, true),
            (Some("application/json, text/html"), Html, true),
            (Some("text/plain, application/json;q=0.9"), Text, true),
            (Some("text/plain, application/json"), Document, true),
            (Some("text/html;q=0, text/plain;q=0.001"), Text, true),
            (Some("application/json\ntext/html;q=0.2"), Document, true),
        ] {
            let lines = accept.into_iter().flat_map(|lines| lines.split('\n')).map(str::as_bytes);
            assert_eq!(form_by(&lines.collect::<Vec<_>>()), WantedForm { form, is_named }, "{accept:?}");
        }
    }
}
