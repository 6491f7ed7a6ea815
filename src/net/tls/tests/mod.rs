//! The files of a listener, good and bad, and handshakes with what was made of them.

mod clients;
mod lab;
mod loading;
mod names;
mod reloading;
