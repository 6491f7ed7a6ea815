//! The errors of the service, and the one place that defines their responses. Internal causes go to standard
//! error, never to the client.

use std::fmt;

use quoit::http::status::Status;
use quoit::service::{IntoResponse, Problem, Response};
use rusqlite::ErrorCode;

/// An invalid field of a note or a query, and the reason.
#[derive(Debug, PartialEq)]
pub(crate) struct Unfit {
    pub(crate) field: &'static str,
    pub(crate) reason: &'static str,
}

#[derive(Debug)]
pub(crate) enum Error {
    /// There is no such note.
    Missing,
    /// The note is not of the version that the client named.
    Changed,
    /// Invalid fields of a note.
    UnfitNote(Vec<Unfit>),
    /// An invalid parameter of a query.
    UnfitQuery(Unfit),
    /// An error of the database.
    Database(rusqlite::Error),
}

impl Error {
    fn into_problem(self) -> Problem {
        match self {
            Self::Missing => Problem::new(Status::NOT_FOUND).detail("there is no such note"),
            Self::Changed => Problem::new(Status::PRECONDITION_FAILED)
                .detail("the note has changed since; get it again and decide anew"),
            Self::UnfitNote(fields) => fields.into_iter().fold(
                Problem::new(Status::UNPROCESSABLE_CONTENT).detail("the note cannot be taken as it is"),
                |problem, unfit| problem.field(format!("/{}", unfit.field), unfit.reason),
            ),
            Self::UnfitQuery(unfit) => Problem::new(Status::BAD_REQUEST)
                .detail("the query cannot be answered as it is")
                .field(unfit.field, unfit.reason),
            Self::Database(error) if is_busy(&error) => Problem::new(Status::SERVICE_UNAVAILABLE)
                .detail("too many changes at once; try again")
                .header("Retry-After", "1"),
            Self::Database(error) => {
                eprintln!("api: the database failed: {error}");
                Problem::new(Status::INTERNAL_SERVER_ERROR).detail("the notes cannot be reached")
            }
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.into_problem().into_response()
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::QueryReturnedNoRows => Self::Missing,
            other => Self::Database(other),
        }
    }
}

/// For the operator, at start.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => error.fmt(f),
            other => write!(f, "{other:?}"),
        }
    }
}
