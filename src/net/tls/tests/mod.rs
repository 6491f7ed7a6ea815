//! Valid and invalid files of a listener, and handshakes with the resulting configuration.

mod clients;
mod lab;
mod loading;
mod names;
mod reloading;
