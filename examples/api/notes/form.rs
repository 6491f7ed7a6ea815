//! The HTML page: shows the list, and handles its form.

use quoit::filter::Nonce;
use quoit::http::status::Status;
use quoit::service::{
    Context, Extension, Form, Html, IntoResponse, Problem, Query, Redirect, Response, State,
};

use super::error::Error;
use super::note::{Draft, Filter};
use super::{Notes, page};

pub(super) async fn show(
    notes: State<Notes>,
    nonce: Extension<Nonce>,
    Query(filter): Query<Filter>,
) -> Result<Html<String>, Error> {
    render(&notes, &nonce, filter, &[]).await
}

/// Adds a note and shows the list; or shows its mistakes.
pub(super) async fn add(
    notes: State<Notes>,
    nonce: Extension<Nonce>,
    context: Context,
    form: Result<Form<Draft>, Problem>,
) -> Result<Response, Error> {
    if !is_ours(&context) {
        return Ok(Problem::new(Status::FORBIDDEN).detail("the form is of another site").into_response());
    }
    let checked = match form {
        Ok(Form(draft)) => draft.checked(),
        Err(problem) if problem.status() == Status::UNPROCESSABLE_CONTENT => {
            let wrong = problem.fields().iter().map(|wrong| format!("{} {}", wrong.place, wrong.detail));
            return refused(&notes, &nonce, &wrong.collect::<Vec<_>>()).await;
        }
        Err(problem) => return Ok(problem.into_response()),
    };
    match checked {
        Ok(draft) => {
            notes.ask(move |database| database.insert(&draft)).await?;
            Ok(Redirect::see_other("/").into_response())
        }
        Err(Error::UnfitNote(fields)) => {
            let wrong: Vec<_> =
                fields.iter().map(|unfit| format!("{} {}", unfit.field, unfit.reason)).collect();
            refused(&notes, &nonce, &wrong).await
        }
        Err(error) => Err(error),
    }
}

/// Whether the form was on this site's page: any site can make its visitors send a form to any other, without
/// the preflight that JSON requires. Clients that are not browsers send neither field, and need no
/// protection.
fn is_ours(context: &Context) -> bool {
    let head = context.head();
    if let Some(site) = head.field("sec-fetch-site") {
        return site == b"same-origin" || site == b"none";
    }
    let Some(origin) = head.field("origin") else { return true };
    let host = head.field("host").unwrap_or_default();
    [&b"http://"[..], b"https://"].iter().any(|scheme| origin.strip_prefix(*scheme) == Some(host))
}

async fn refused(notes: &Notes, nonce: &Nonce, wrong: &[String]) -> Result<Response, Error> {
    let page = render(notes, nonce, Filter::default(), wrong).await?;
    Ok((Status::UNPROCESSABLE_CONTENT, page).into_response())
}

async fn render(
    notes: &Notes,
    nonce: &Nonce,
    filter: Filter,
    wrong: &[String],
) -> Result<Html<String>, Error> {
    let filter = filter.checked()?;
    let asked = filter.clone();
    let found = notes.ask(move |database| database.list(&asked)).await?;
    Ok(Html(page::render(&notes.shared.title, nonce, &filter, &found, wrong)))
}
