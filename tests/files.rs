//! Static files through a socket: which names lead where, what a response says of a file, conditions and
//! ranges, and files that change while they are served.

mod common;

#[path = "files/changes.rs"]
mod changes;
#[path = "files/conditions.rs"]
mod conditions;
#[path = "files/contents.rs"]
mod contents;
#[path = "files/flags.rs"]
mod flags;
#[path = "files/listing.rs"]
mod listing;
#[path = "files/matrix.rs"]
mod matrix;
#[path = "files/named.rs"]
mod named;
#[path = "files/names.rs"]
mod names;
#[path = "files/options.rs"]
mod options;
#[path = "files/prepared.rs"]
mod prepared;
#[path = "files/siblings.rs"]
mod siblings;
#[path = "files/site.rs"]
mod site;
#[path = "files/special.rs"]
mod special;
