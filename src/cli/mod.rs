//! The command line: one file per subcommand, exit codes in one place.
//!
//! Exit codes: 0 done, 1 the work failed, 2 wrong usage or config.

mod check;
mod kv;
mod replay;
mod run;
mod sim;
mod types;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Problem;
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
    Sim(Box<sim::Options>),
    /// Write the type definitions that editors complete and check scripts with.
    Types {
        /// The scripts folder: argon.d.luau, .luaurc (if there is none) and the modules of @std go into it.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Export or import what scripts have stored.
    #[command(subcommand)]
    Kv(kv::Act),
    /// Show the recordings of events whose handlers failed, newest first, a JSON object a line.
    Failures {
        /// The bot's config file.
        #[arg(default_value = "bot.toml")]
        config: PathBuf,
    },
    /// Run recorded events through the scripts as they are now: offline, with the recorded answers.
    Replay(replay::Options),
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
        complain(error, LogFormat::Human);
        return ExitCode::from(2);
    }
    let format = arguments.log_format;
    let result = match arguments.command {
        Command::Run { configs } => run::run(&configs, format),
        Command::Check { configs } => check::run(&configs, format),
        Command::Kv(act) => kv::run(&act, format),
        Command::Failures { config } => kv::failures(&config, format),
        Command::Replay(options) => replay::run(&options, format),
        Command::Sim(options) => sim::run(&options, format),
        Command::Types { dir } => types::run(&dir, format),
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
            tracing::error!("cannot start the network runtime: {error}");
            Failure::Work
        })
}

/// Runs it to its end. What still occupies a thread then (a name that is looked up, a file on a disk that
/// hangs) is not waited for.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// Prints a result on stdout. A reader that has gone, as `head` has, is no failure of the work; a full disk
/// is, because what is missing then looks like all there is.
fn say(line: impl Display, format: LogFormat) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(format_args!("cannot write to stdout: {error}"), format);
            Err(Failure::Work)
        }
        _ => Ok(()),
    }
}

/// Says on stderr what goes wrong: as it is for people, as an event of the log for machines.
fn complain(error: impl Display, format: LogFormat) {
    match format {
        LogFormat::Human => {
            let _ = writeln!(io::stderr(), "argon-host: {error}");
        }
        LogFormat::Json => tracing::error!("{error}"),
    }
}

/// Says on stderr what is wrong with configs, as [`complain`] does, and whether an error is among it.
fn report(problems: &[Problem], format: LogFormat) -> bool {
    for problem in problems {
        match format {
            LogFormat::Human => {
                let _ = writeln!(io::stderr(), "{problem}");
            }
            LogFormat::Json => log(problem),
        }
    }
    problems.iter().any(Problem::is_error)
}

fn log(problem: &Problem) {
    let Problem { line, column, .. } = *problem;
    let (file, message) = (problem.path.display(), &problem.message);
    let help = problem.help.as_deref();
    if problem.is_error() {
        tracing::error!(%file, line, column, help, "{message}");
    } else {
        tracing::warn!(%file, line, column, help, "{message}");
    }
}

/// A variable of the process's environment, for `${VAR}` in config files.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
