//! The form in which a client gets an error, by its `Accept`: one rule for every error, whatever made it.

use super::response::{Body, Response};
use crate::http::accept;
use crate::http::message::RequestHead;

/// Renders the problem of a response, if it has one, in the form that the client names in `Accept`: HTML for
/// browsers, a problem document where JSON is named. Other clients get the form that the response has.
#[cold]
pub(crate) fn negotiate(head: &RequestHead, response: &mut Response) {
    let Some(problem) = response.take_problem() else { return };
    if !accept::names(response.field_values("Vary"), "accept") {
        let _ = response.add_field("Vary", "Accept");
    }
    let named = |media_type: &str| {
        let is_named = accept::names(head.fields_named("accept"), media_type);
        if is_named { accept::weight_of(head.fields_named("accept"), media_type) } else { 0 }
    };
    let html = named("text/html");
    let json = named("application/json").max(named("application/problem+json"));
    let (media_type, body) = if html > 0 && html >= json {
        ("text/html; charset=utf-8", problem.to_html())
    } else if json > 0 {
        ("application/problem+json", problem.to_json())
    } else {
        return;
    };
    let _ = response.set_field("Content-Type", media_type);
    response.set_body(Body::Bytes(body.into()));
}
