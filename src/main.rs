//! The argon-host binary: parses the command line and calls [`argon_host::cli`]; nothing else.
fn main() {}
