//! The command line: one file per subcommand, exit codes in one place.
//!
//! Exit codes: 0 done, 1 the work failed, 2 wrong usage or config.

mod check;
mod run;
mod sim;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Problem, Severity};
use crate::observe::{self, LogFormat};

/// Host for bots of the Argon chat platform.
#[derive(Debug, Parser)]
#[command(name = "argon-host", version, about, arg_required_else_help = true)]
struct Arguments {
    /// What to log, such as "debug" or "argon_host::rest=debug" (default: RUST_LOG, or "info").
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the bot of each config file until Ctrl-C or SIGTERM.
    Run {
        /// Config files, or folders with several (default: bot.toml).
        configs: Vec<PathBuf>,
    },
    /// Find mistakes in config and scripts without connecting.
    Check {
        /// Config files, or folders with several (default: bot.toml).
        configs: Vec<PathBuf>,
    },
    /// Run the embedded Argon server alone, for any bot in any language.
    Sim(sim::Options),
}

/// How a command ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The work failed.
    Work,
    /// Wrong usage or config.
    Usage,
}

/// Parses the process's arguments and runs the command.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = observe::init(arguments.log.as_deref(), arguments.log_format) {
        eprintln!("argon-host: {error}");
        return ExitCode::from(2);
    }
    let result = match arguments.command {
        Command::Run { configs } => run::run(&configs),
        Command::Check { configs } => check::run(&configs),
        Command::Sim(options) => sim::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Work) => ExitCode::from(1),
        Err(Failure::Usage) => ExitCode::from(2),
    }
}

/// The runtime for network work: the kernel schedules scripts, tokio only sockets and timers.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("net")
        .build()
        .map_err(|error| {
            eprintln!("argon-host: cannot start the network runtime: {error}");
            Failure::Work
        })
}

/// Prints problems in the order given and says whether an error is among them.
fn print_problems(problems: &[Problem]) -> bool {
    for problem in problems {
        eprintln!("{problem}");
    }
    problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
}

/// A variable of the process's environment, for `${VAR}` in config files.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
