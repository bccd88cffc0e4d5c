//! `argon-host sim`: the embedded Argon server alone.

use std::net::SocketAddr;

use super::{Failure, complain, say};
use crate::app::Shutdown;
use crate::observe::LogFormat;
use crate::sim::{Server, Settings, VoiceStatus};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Address to serve on; port 0 is any free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7400")]
    listen: SocketAddr,
    /// A bot to install into the space; may be given several times.
    #[arg(long = "bot", value_name = "NAME", default_value = "demo")]
    bots: Vec<String>,
    /// Leave the bots unverified: no privileged intents and routes.
    #[arg(long)]
    unverified: bool,
    /// Key of the voice sockets' status messages: `status` as documented, `type` as an older build
    /// that also cuts the connection on a bad packet.
    #[arg(long, value_name = "KEY", default_value = "status", value_parser = ["status", "type"])]
    voice_status: String,
}

pub(super) fn run(options: &Options, format: LogFormat) -> Result<(), Failure> {
    super::runtime()?.block_on(serve(options, format))
}

async fn serve(options: &Options, format: LogFormat) -> Result<(), Failure> {
    let shutdown = Shutdown::on_signals();
    let settings = Settings {
        listen: options.listen,
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

    // For people and for programs that start the server: plain lines on stdout, tokens included,
    // because they open nothing but this process.
    say(format_args!("playground  {}/", server.base_url()));
    say(format_args!("base url    {}", server.base_url()));
    for name in &options.bots {
        let bot = server.add_bot(name, !options.unverified);
        let token = bot.token.expose();
        say(format_args!("bot         {}  token {token}", bot.username));
    }

    shutdown.requested().await;
    server.stop().await;
    Ok(())
}
