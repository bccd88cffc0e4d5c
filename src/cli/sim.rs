//! `argon-host sim`: the embedded Argon server alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Failure, complain, report, say};
use crate::app::Shutdown;
use crate::config::Dialect;
use crate::contract::INTENTS;
use crate::observe::LogFormat;
use crate::sim::{self, FaultSpec, LimitScale, Quirks, Server, Settings, VoiceStatus};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Address to serve on; port 0 is any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7400")]
    listen: SocketAddr,
    /// The world to begin with: a TOML file with spaces, channels, people and bots.
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// A file to keep the world in: written while the server runs and when it stops, and where the next
    /// start goes on. With --world, the world file counts while there is no such file yet.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// A bot to install into the first space; may be given several times (default: demo, unless the
    /// world has bots).
    #[arg(long = "bot", value_name = "NAME")]
    bots: Vec<String>,
    /// Leave the bots of --bot unverified: no privileged intents and routes.
    #[arg(long)]
    unverified: bool,
    /// A fault to arm at once, such as "answer:interface=IMessages,status=503,count=3"; may be given
    /// several times.
    #[arg(long = "fault", value_name = "SPEC")]
    faults: Vec<FaultSpec>,
    /// Faults at random; the same seed gives the same faults.
    #[arg(long, value_name = "SEED")]
    chaos: Option<u64>,
    /// What to follow where the platform's server and its documentation disagree.
    #[arg(long, value_name = "DIALECT", default_value = "server", value_parser = Dialect::NAMES)]
    dialect: String,
    /// How missed events come: `server` keeps the bot's position, `documented` wants the last event's id
    /// (default: as the dialect).
    #[arg(long, value_name = "DIALECT", value_parser = Dialect::NAMES)]
    replay: Option<String>,
    /// So many times as many requests as the platform's rate limits allow, or "off" for no limits.
    #[arg(long, value_name = "FACTOR", default_value = "1")]
    limits: LimitScale,
    /// Key of the voice sockets' status messages: `status` as documented, `type` as an older build
    /// that has /audio/connect only and cuts the connection on a bad packet.
    #[arg(long, value_name = "KEY", default_value = "status", value_parser = ["status", "type"])]
    voice_status: String,
}

pub(super) fn run(options: &Options, format: LogFormat) -> Result<(), Failure> {
    let world = match &options.world {
        None => None,
        Some(path) => Some(sim::load_world(path).map_err(|problems| {
            report(&problems, format);
            Failure::Usage
        })?),
    };
    super::block_on(serve(options, world, format))
}

async fn serve(
    options: &Options,
    world: Option<sim::Plan>,
    format: LogFormat,
) -> Result<(), Failure> {
    let shutdown = Shutdown::on_signals();
    let dialect = |name: &str| Dialect::named(name).unwrap_or_default();
    let mut quirks = Quirks::of(dialect(&options.dialect));
    if let Some(replay) = &options.replay {
        quirks.position_is_kept = Quirks::of(dialect(replay)).position_is_kept;
    }
    let settings = Settings {
        listen: options.listen,
        quirks,
        limits: options.limits,
        world,
        state: options.state.clone(),
        voice_status: match &*options.voice_status {
            "type" => VoiceStatus::Type,
            _ => VoiceStatus::Status,
        },
        ..Settings::default()
    };
    let server = Server::start(settings).await.map_err(|error| {
        complain(error, format);
        Failure::Work
    })?;

    for fault in &options.faults {
        server.arm(fault.clone());
    }
    if let Some(seed) = options.chaos {
        server.unleash(seed);
    }

    // For people and for programs that start the server: plain lines on stdout, tokens included,
    // because they open nothing but this process.
    say(format_args!("playground  {}/", server.base_url()), format)?;
    say(format_args!("base url    {}", server.base_url()), format)?;
    for name in &options.bots {
        let bot = server.add_bot(name, !options.unverified);
        if options.unverified && bot.verified {
            let error = format_args!(
                "--unverified does not change {name}, which --world or --state has as a verified bot: \
                 set verified = false there, or name another --bot"
            );
            complain(error, format);
            return Err(Failure::Usage);
        }
    }
    if server.bots().is_empty() {
        server.add_bot("demo", !options.unverified);
    }
    for bot in server.bots() {
        let token = bot.token.expose();
        say(
            format_args!("bot         {}  token {token}", bot.username),
            format,
        )?;
    }
    // Lines that work when they are pasted.
    if let Some(bot) = server.bots().first() {
        let (base, token) = (server.base_url(), bot.token.expose());
        say(
            format_args!(
                "call        curl -H 'Authorization: Bot {token}' {base}/IBotSelf/v1/GetMe"
            ),
            format,
        )?;
        // The intents that need no verification.
        let intents = INTENTS.iter().filter(|intent| !intent.privileged);
        let intents = intents.fold(0, |mask, intent| mask | intent.mask());
        say(
            format_args!(
                "listen      curl -N -H 'Authorization: Bot {token}' '{base}/IEvents/v1/Stream?intents={intents}'"
            ),
            format,
        )?;
    }

    shutdown.requested().await;
    server.stop().await;
    Ok(())
}
