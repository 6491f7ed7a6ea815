//! Static files through a socket: how paths map to files, fields of responses, preconditions and
//! ranges, and files that change while they are served.

mod common;

#[path = "files/changes.rs"]
mod changes;
#[path = "files/clean_urls.rs"]
mod clean_urls;
#[path = "files/conditions.rs"]
mod conditions;
#[path = "files/contents.rs"]
mod contents;
#[path = "files/deployments.rs"]
mod deployments;
#[path = "files/descriptors.rs"]
mod descriptors;
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
#[path = "files/normal_form.rs"]
mod normal_form;
#[path = "files/options.rs"]
mod options;
#[path = "files/prepared.rs"]
mod prepared;
#[path = "files/queues.rs"]
mod queues;
#[path = "files/secrets.rs"]
mod secrets;
#[path = "files/siblings.rs"]
mod siblings;
#[path = "files/site.rs"]
mod site;
#[path = "files/special.rs"]
mod special;
#[path = "files/validators.rs"]
mod validators;
