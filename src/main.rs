//! The argon-host binary: hands over to [`argon_host::cli`], nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    argon_host::cli::main()
}
