//! Configuration files: what they say, every kind of mistake with its exact text, and that a file which is
//! written from a plan gives the same plan.

#[path = "config/broken.rs"]
mod broken;
#[path = "config/examples.rs"]
mod examples;
#[path = "config/mistakes.rs"]
mod mistakes;
#[path = "config/outside.rs"]
mod outside;
#[path = "config/schema.rs"]
mod schema;
#[path = "config/trials.rs"]
mod trials;
#[path = "config/written.rs"]
mod written;

use quoit::config::{Config, Depth, Environment};

/// A configuration in memory, with these variables.
fn with(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let environment = Environment::of(variables.iter().copied());
    Config::from_text("quoit.toml", text, &environment, Depth::Structure).map_err(|error| error.to_string())
}

/// A configuration in memory.
fn config(text: &str) -> Config {
    with(text, &[]).unwrap_or_else(|mistakes| panic!("{mistakes}\n\nin\n{text}"))
}

/// The mistakes of a configuration in memory.
fn mistakes(text: &str) -> String {
    match with(text, &[]) {
        Ok(config) => panic!("no mistake in\n{text}\n{}", config.plan),
        Err(mistakes) => mistakes,
    }
}
