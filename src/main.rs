//! The `quoit` command.

fn main() {}
