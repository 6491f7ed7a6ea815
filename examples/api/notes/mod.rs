//! The service: its routes and their handlers. Knows nothing of SQL and little of HTML.

mod database;
mod error;
mod form;
mod note;
mod page;

use std::sync::Arc;

use quoit::filter::{Compress, RequestIds, SecurityHeaders};
use quoit::http::conditional::{Conditions, ETag, MethodKind, Precondition, Validators, evaluate};
use quoit::http::status::Status;
use quoit::ring::Ring;
use quoit::server::CoreContext;
use quoit::service::{
    ExtractLimits, FromRequest, Headers, IntoResponse, Json, Path, Problem, Query, Request, Response,
    RouteErrors, Router, Routes, State,
};

pub(crate) use self::database::Database;
use self::database::Lent;
pub(crate) use self::error::Error;
use self::note::{Draft, Filter, Found, Note};

/// Bytes of a JSON body: the longest note, every character of it as an escape, and its other fields.
const JSON_BYTES_MAX: usize = 160 * 1024;

/// Immutable state that all cores share.
pub(crate) struct Shared {
    /// Title of the page.
    pub(crate) title: String,
    /// Has its own lock, taken on the threads beside the cores alone.
    pub(crate) database: Database,
}

/// The state of one core's handlers.
pub(crate) struct Notes {
    ring: Ring,
    shared: Arc<Shared>,
}

impl Notes {
    /// Queries the database on a thread beside the core, because SQLite blocks.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Lent<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = self.shared.clone();
        self.ring.blocking(move || shared.database.lend(question)).await
    }
}

/// The routes of one core.
pub(crate) fn routes(core: &CoreContext, shared: Arc<Shared>) -> Result<Routes, RouteErrors> {
    // A compressed representation has a weak tag, which If-Match never matches (RFC 9110 §13.1.1): resources
    // that are changed by their tag are not compressed.
    let lists =
        Router::new().filter(Compress::new()).get("/", form::show).post("/", form::add).get("/notes", list);
    Router::new()
        .filter(RequestIds::new())
        .filter(SecurityHeaders::with(page::POLICY).expect("a policy is a field value"))
        .state(Notes { ring: core.ring.clone(), shared })
        .limits(ExtractLimits { json_bytes_max: JSON_BYTES_MAX, ..ExtractLimits::DEFAULT })
        .nest("", lists)
        .post("/notes", create)
        .get("/notes/{id}", get)
        .put("/notes/{id}", update)
        .delete("/notes/{id}", delete)
        .build()
}

async fn list(notes: State<Notes>, Query(filter): Query<Filter>) -> Result<Response, Error> {
    let filter = filter.checked()?;
    let asked = filter.clone();
    let found = notes.ask(move |database| database.list(&asked)).await?;
    let next = found.next.map(|after| filter.target("/notes", after));
    let mut response = Json(Found { items: found.items, next: next.clone() }).into_response();
    if let Some(next) = next {
        let link = format!("<{next}>; rel=\"next\"");
        response.set_field("Link", link).expect("its values are percent-encoded");
    }
    Ok(response)
}

async fn create(notes: State<Notes>, Json(draft): Json<Draft>) -> Result<Response, Error> {
    let draft = draft.checked()?;
    let note = notes.ask(move |database| database.insert(&draft)).await?;
    let location = format!("/notes/{}", note.id);
    let mut response = (Status::CREATED, tagged(&note)).into_response();
    response.set_field("Location", location).expect("a path of digits");
    Ok(response)
}

async fn get(notes: State<Notes>, Path(id): Path<i64>, headers: Headers) -> Result<Response, Error> {
    let note = notes.ask(move |database| database.get(id)).await?;
    let conditions = Conditions {
        if_match: headers.all("if-match"),
        if_none_match: headers.all("if-none-match"),
        if_modified_since: None,
        if_unmodified_since: None,
    };
    match weigh(MethodKind::GetOrHead, conditions, &note) {
        Precondition::Proceed => Ok(tagged(&note)),
        Precondition::NotModified => {
            Ok(tagged(&note).with_status(Status::NOT_MODIFIED).with_body(quoit::service::Body::Empty))
        }
        Precondition::Failed => Err(Error::Changed),
    }
}

async fn update(
    notes: State<Notes>,
    Path(id): Path<i64>,
    condition: IfMatch,
    Json(draft): Json<Draft>,
) -> Result<Response, Error> {
    let draft = draft.checked()?;
    let note = notes.ask(move |database| database.update(id, &draft, |note| condition.holds(note))).await?;
    Ok(tagged(&note))
}

async fn delete(notes: State<Notes>, Path(id): Path<i64>, condition: IfMatch) -> Result<(), Error> {
    notes.ask(move |database| database.delete(id, |note| condition.holds(note))).await
}

/// A note as JSON, with the tag that changes with it.
fn tagged(note: &Note) -> Response {
    let mut response = Json(note).into_response();
    response.set_field("ETag", note.etag()).expect("digits in quotes");
    response
}

fn weigh<'a, M, N>(kind: MethodKind, conditions: Conditions<'a, M, N>, note: &Note) -> Precondition
where
    M: IntoIterator<Item = &'a [u8]>,
    N: IntoIterator<Item = &'a [u8]>,
{
    let etag = note.etag();
    let validators = Validators { etag: ETag::parse(etag.as_bytes()), last_modified: None };
    // Notes have no dates, so that the time does not matter.
    evaluate(kind, conditions, &validators, 0)
}

/// The lines of If-Match. Required for every change, so that no client overwrites a version that it has not
/// read (RFC 6585 §3); `*` matches any version.
struct IfMatch(Vec<Vec<u8>>);

impl IfMatch {
    fn holds(&self, note: &Note) -> bool {
        let conditions = Conditions {
            if_match: self.0.iter().map(Vec::as_slice),
            if_none_match: [],
            if_modified_since: None,
            if_unmodified_since: None,
        };
        weigh(MethodKind::Other, conditions, note) == Precondition::Proceed
    }
}

impl FromRequest for IfMatch {
    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let lines: Vec<_> = request.head().fields_named("if-match").map(<[u8]>::to_vec).collect();
        if lines.is_empty() {
            return Err(Problem::new(Status::PRECONDITION_REQUIRED)
                .detail("say which version is meant: If-Match with the ETag of the note, or *")
                .field("If-Match", "is missing"));
        }
        Ok(Self(lines))
    }
}
