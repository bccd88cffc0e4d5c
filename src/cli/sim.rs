//! `argon-host sim`: the embedded Argon server alone.

use std::net::SocketAddr;

use super::Failure;
use crate::app::Shutdown;
use crate::sim::{FaultSpec, Server, Settings};

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
    /// A fault to arm at once, such as "answer:interface=IMessages,status=503,count=3"; may be given
    /// several times.
    #[arg(long = "fault", value_name = "SPEC")]
    faults: Vec<FaultSpec>,
    /// Faults at random; the same seed gives the same faults.
    #[arg(long, value_name = "SEED")]
    chaos: Option<u64>,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    super::runtime()?.block_on(serve(options))
}

async fn serve(options: &Options) -> Result<(), Failure> {
    let shutdown = Shutdown::on_signals();
    let settings = Settings {
        listen: options.listen,
        ..Settings::default()
    };
    let server = Server::start(settings).await.map_err(|error| {
        eprintln!("argon-host: {error}");
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
    println!("playground  {}/", server.base_url());
    println!("base url    {}", server.base_url());
    for name in &options.bots {
        let bot = server.add_bot(name, !options.unverified);
        println!("bot         {}  token {}", bot.username, bot.token.expose());
    }

    shutdown.requested().await;
    server.stop().await;
    Ok(())
}
