//! Reports of a run: on a terminal, and in files for programs, pull requests and browsers.
//!
//! `figures` writes numbers, `summary` selects and orders the contents, `terminal`, `md` and `html` lay
//! it out; `json`, `hlog`, `hgrm` and `csv` write data; `outputs` is `-o`. Nothing here measures.

mod csv;
mod figures;
mod hgrm;
mod hlog;
mod html;
pub(crate) mod json;
mod md;
pub(crate) mod outputs;
mod summary;
pub(crate) mod terminal;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
pub(crate) mod golden;
