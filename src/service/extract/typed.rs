//! Parameters of the path, the query, and the body of a form, as types of the application.

use serde::de::DeserializeOwned;

use super::FromRequest;
use super::refusal::{content_type, of_body, of_target, unreadable, wrong_type};
use crate::service::decode::{from_form, from_path};
use crate::service::problem::Problem;
use crate::service::request::Request;

/// The parameters of the path, percent-decoded: one value (`Path<u64>`), a tuple in the order of the pattern
/// (`Path<(u64, String)>`), or a struct or map by their names. 400 where one does not fit.
///
/// ```
/// use quoit::service::{Path, Router};
///
/// let router = Router::new()
///     .get("/users/{id}", async |Path(id): Path<u64>| format!("user {id}"))
///     .get("/{year}/{title}", async |Path((year, title)): Path<(u16, String)>| format!("{title}, {year}"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path<T>(pub T);

/// The query as a struct, a map, or a list of pairs. 400 where it does not fit, or has more than
/// `ExtractLimits::pairs_max` pairs.
///
/// A `Vec` takes every pair of its name (with `#[serde(default)]` where there may be none), any other field
/// exactly one. A blank value is `None` for an `Option`. Unknown names are ignored, unless the type has
/// `#[serde(deny_unknown_fields)]`.
///
/// ```
/// use quoit::service::{Query, Router};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Search {
///     q: String,
///     page: Option<u32>,
///     #[serde(default)]
///     tag: Vec<String>,
/// }
///
/// let router = Router::new().get("/search", async |Query(search): Query<Search>| {
///     format!("{} {:?} {:?}", search.q, search.page, search.tag)
/// });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

/// The body of a form (`application/x-www-form-urlencoded`), read as [`Query`] reads a query. A ticked box
/// (`on`) is `true`. 415 for another type, 413 beyond `ExtractLimits::{form_bytes_max, pairs_max}`, 400 where
/// it is malformed, 422 where it does not fit. Forms with files are [`Multipart`](super::Multipart).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Path<T> {
    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let decoded = request.context().with_parameters(|parameters| from_path(parameters));
        decoded.map(Self).map_err(|fault| of_target(fault, "the path"))
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let query = request.head().query().unwrap_or_default();
        let decoded = from_form(query.as_bytes(), request.context().limits().pairs_max);
        decoded.map(Self).map_err(|fault| of_target(fault, "the query"))
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Form<T> {
    const TAKES_BODY: bool = true;

    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        if !content_type(request).is_some_and(|found| found.is("application", "x-www-form-urlencoded")) {
            return Err(wrong_type(
                "the body must be a form: send Content-Type: application/x-www-form-urlencoded",
            ));
        }
        let limits = request.context().limits();
        let body = request.body().read_all(limits.form_bytes_max).await;
        let body = body.map_err(|error| unreadable(&error))?;
        from_form(&body, limits.pairs_max).map(Self).map_err(|fault| of_body(fault, "the form"))
    }
}
