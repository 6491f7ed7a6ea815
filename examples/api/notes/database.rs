//! The notes in SQLite: every statement is a constant and never built from client input; values are bound to
//! it. Blocks: called only on threads beside the cores.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior, named_params};

use super::error::Error;
use super::note::{Draft, Filter, Found, Note};

/// A writer waits this long for another; then clients get 503 with `Retry-After`.
const BUSY_AFTER: Duration = Duration::from_secs(5);

/// AUTOINCREMENT: the id of a deleted note is never given to another one, so that cursors and bookmarks stay
/// true.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS notes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        version INTEGER NOT NULL DEFAULT 1,
        title TEXT NOT NULL,
        text TEXT NOT NULL,
        tag TEXT,
        link TEXT,
        pinned INTEGER NOT NULL CHECK (pinned IN (0, 1)),
        changed TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ'))
    ) STRICT;
    CREATE INDEX IF NOT EXISTS notes_by_tag ON notes (tag, id);";

const LIST: &str = "
    SELECT * FROM notes
    WHERE (:after IS NULL OR id < :after)
        AND (:tag IS NULL OR tag = :tag)
        AND (:pinned IS NULL OR pinned = :pinned)
        AND (:like IS NULL OR title LIKE :like ESCAPE '\\' OR text LIKE :like ESCAPE '\\')
    ORDER BY id DESC LIMIT :count";

const GET: &str = "SELECT * FROM notes WHERE id = :id";

const INSERT: &str = "
    INSERT INTO notes (title, text, tag, link, pinned) VALUES (:title, :text, :tag, :link, :pinned)
    RETURNING *";

const UPDATE: &str = "
    UPDATE notes SET version = version + 1, title = :title, text = :text, tag = :tag, link = :link,
        pinned = :pinned, changed = strftime('%Y-%m-%dT%H:%M:%SZ')
    WHERE id = :id RETURNING *";

const DELETE: &str = "DELETE FROM notes WHERE id = :id";

/// A database, shared by all cores. Each query has a connection of its own; there are never more than threads
/// that query.
pub(crate) struct Database {
    place: Place,
    idle: Mutex<Vec<Connection>>,
    /// A database in memory ends with its last connection, so one stays.
    _first: Mutex<Connection>,
}

enum Place {
    File(PathBuf),
    /// Its name within this process, by which all connections share one database.
    Memory(String),
}

impl Database {
    /// Opens a database, and creates it if necessary; without a file, one in memory.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let place = match file {
            Some(file) => Place::File(file.to_owned()),
            None => {
                let count = COUNT.fetch_add(1, Ordering::Relaxed);
                Place::Memory(format!("file:/notes-{}-{count}?vfs=memdb", process::id()))
            }
        };
        let first = place.connect()?;
        if matches!(place, Place::File(_)) {
            // Readers and the one writer do not wait for each other. Stays with the file.
            first.pragma_update(None, "journal_mode", "WAL")?;
        }
        first.execute_batch(SCHEMA)?;
        Ok(Self { place, idle: Mutex::default(), _first: Mutex::new(first) })
    }

    /// Lends a connection to `question`.
    pub(crate) fn lend<T>(
        &self,
        question: impl FnOnce(&mut Lent<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let idle = self.idle().pop();
        let mut connection = idle.map_or_else(|| self.place.connect(), Ok)?;
        let answer = question(&mut Lent { connection: &mut connection });
        // A connection whose query panicked was dropped.
        self.idle().push(connection);
        answer
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // Nothing can panic halfway through a push or a pop.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn connect(&self) -> Result<Connection, Error> {
        // No locks within SQLite: a connection is lent to one thread at a time.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self {
            // Not as a URI: the path is literal.
            Self::File(path) => Connection::open_with_flags(path, flags)?,
            Self::Memory(uri) => Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?,
        };
        connection.busy_timeout(BUSY_AFTER)?;
        // With WAL a crash of the machine may lose the last changes, but never corrupts the file.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(connection)
    }
}

/// A connection on loan.
pub(crate) struct Lent<'c> {
    connection: &'c mut Connection,
}

impl Lent<'_> {
    pub(crate) fn list(&self, filter: &Filter) -> Result<Found<i64>, Error> {
        let limit = filter.limit();
        let mut list = self.connection.prepare_cached(LIST)?;
        let rows = list.query_map(
            named_params! {
                ":after": filter.after,
                ":tag": filter.tag,
                ":pinned": filter.pinned,
                ":like": filter.q.as_deref().map(pattern),
                // One more, to know whether there is a next page.
                ":count": limit as i64 + 1,
            },
            |row| Note::try_from(row),
        )?;
        let mut items = rows.collect::<Result<Vec<_>, _>>()?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(|note| note.id) } else { None };
        Ok(Found { items, next })
    }

    pub(crate) fn get(&self, id: i64) -> Result<Note, Error> {
        get(self.connection, id)
    }

    pub(crate) fn insert(&self, draft: &Draft) -> Result<Note, Error> {
        let mut insert = self.connection.prepare_cached(INSERT)?;
        let Draft { title, text, tag, link, pinned } = draft;
        let values =
            named_params! {":title": title, ":text": text, ":tag": tag, ":link": link, ":pinned": pinned};
        Ok(insert.query_one(values, |row| Note::try_from(row))?)
    }

    /// Changes a note if its current version is `allowed`.
    pub(crate) fn update(
        &mut self,
        id: i64,
        draft: &Draft,
        allowed: impl FnOnce(&Note) -> bool,
    ) -> Result<Note, Error> {
        self.change(id, allowed, |connection| {
            let Draft { title, text, tag, link, pinned } = draft;
            let values = named_params! {
                ":id": id, ":title": title, ":text": text, ":tag": tag, ":link": link, ":pinned": pinned
            };
            connection.prepare_cached(UPDATE)?.query_one(values, |row| Note::try_from(row))
        })
    }

    /// Deletes a note if its current version is `allowed`.
    pub(crate) fn delete(&mut self, id: i64, allowed: impl FnOnce(&Note) -> bool) -> Result<(), Error> {
        self.change(id, allowed, |connection| {
            connection.prepare_cached(DELETE)?.execute(named_params! {":id": id}).map(drop)
        })
    }

    fn change<T>(
        &mut self,
        id: i64,
        allowed: impl FnOnce(&Note) -> bool,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        // IMMEDIATE: no other writer between the check and the change. Rolled back when dropped.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !allowed(&get(&transaction, id)?) {
            return Err(Error::Changed);
        }
        let changed = change(&transaction)?;
        transaction.commit()?;
        Ok(changed)
    }
}

fn get(connection: &Connection, id: i64) -> Result<Note, Error> {
    let note =
        connection.prepare_cached(GET)?.query_one(named_params! {":id": id}, |row| Note::try_from(row));
    Ok(note?)
}

/// A pattern for LIKE that matches `text` anywhere, literally: its wildcards are escaped.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

impl TryFrom<&Row<'_>> for Note {
    type Error = rusqlite::Error;

    fn try_from(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            id: row.get("id")?,
            version: row.get("version")?,
            title: row.get("title")?,
            text: row.get("text")?,
            tag: row.get("tag")?,
            link: row.get("link")?,
            pinned: row.get("pinned")?,
            changed: row.get("changed")?,
        })
    }
}
