//! The control API as one table: the router is made from it, parameters of a query are checked against
//! it, and the reference prints it.

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};

use super::{Shared, act, acts, change, faults, people, reply, saved, sound, tools, view, voice};
use crate::config::suggest::did_you_mean;
use crate::sim::world::Fault;

/// One route below `/_sim`.
pub struct Row {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// Below `/_sim`, with its slash.
    pub path: &'static str,
    /// Fields of the body of a `POST`, parameters of the query of the others; `?` at the end of those
    /// that may be left out.
    pub takes: &'static [&'static str],
    /// The answer, as people write JSON's shape; empty for `{}`.
    pub gives: &'static str,
    /// One line for the reference.
    pub doc: &'static str,
    pub(super) handler: fn() -> MethodRouter<Arc<Shared>>,
}

const fn row(
    method: &'static str,
    path: &'static str,
    takes: &'static [&'static str],
    gives: &'static str,
    doc: &'static str,
    handler: fn() -> MethodRouter<Arc<Shared>>,
) -> Row {
    Row {
        method,
        path,
        takes,
        gives,
        doc,
        handler,
    }
}

/// Every route of the control API.
#[rustfmt::skip]
pub static ROWS: &[Row] = &[
    // What is there.
    row("GET", "/state", &[], "{spaces:[{spaceId, name, description, channels, archetypes, members}]}",
        "Spaces with their channels, archetypes and members.",
        || get(view::state)),
    row("GET", "/messages", &["channelId", "limit?", "before?"], "{messages}",
        "A channel's messages, oldest first: the newest ones, or those before a message; `limit` 1 to 500, 100 if it is not given.",
        || get(view::messages)),
    row("GET", "/commands", &["spaceId?"], "{commands}",
        "The slash commands that people can use in the space.",
        || get(view::commands)),
    row("GET", "/calls", &[], "{calls:[{callId, userId, botId, state, reason}]}",
        "Calls, oldest first; the state is `ringing`, `accepted`, `rejected`, `ended` or `timedOut`.",
        || get(voice::calls)),
    row("GET", "/recording", &["channelId?", "callId?", "participant", "after?"], "{count, track, packets:[{n, ms, data}]}",
        "What somebody sent in a voice channel or a call: the last 15,000 packets after number `after`, with the time since the first and base64; kept after they have left.",
        || get(voice::recording)),
    row("GET", "/recording.ogg", &["channelId?", "callId?", "participant"], "an Ogg Opus file",
        "The same as a file to listen to, with silence where nothing was sent.",
        || get(voice::recording_file)),
    row("GET", "/requests", &["after?"], "{requests:[{n, at, bot, method, path, query, body, answer, status, error, fault, ms}]}",
        "The last 10,000 requests after number `after`, with their answers, each cut at 64 KiB; never a token.",
        || get(tools::requests)),
    row("GET", "/limits", &[], "{bots:[{bot, running, concurrent, interfaces:[{interface, used, limit, nextBack, nextBackMs}]}]}",
        "What the bots have used of their rate limits; `nextBack` permits come back in `nextBackMs`.",
        || get(tools::limits)),
    row("GET", "/notices", &[], "{notices:[{n, at, bot, script, gravity, text}]}",
        "Errors of scripts, reloads and other news of the host that runs the bots, the last 200; `gravity` is `error`, `warning` or `info`.",
        || get(tools::notices)),
    row("GET", "/events", &["inspect?"], "server-sent events",
        "What happens in the world from now on, one JSON object each: `message`, `edit`, `reactions`, `typing`, `typingStop`, `commands`, `world`, `ack`, `defer`, `modal`, `expired`, `call`; `reload` for a reader that was too slow. With `inspect=true` also each `request` and `notice` in the form of the routes above, and each `event {at, spaceId or botId, event, payload}` that leaves for bots; `missed {count}` when there were too many.",
        || get(view::events)),
    // Acts of people.
    row("POST", "/message", &["userId", "channelId", "text", "entities?", "replyTo?"], "{messageId}",
        "Writes a message.",
        || act(acts::message)),
    row("POST", "/edit", &["userId", "channelId", "messageId", "text"], "",
        "Edits one's own message.",
        || act(acts::edit)),
    row("POST", "/react", &["userId", "channelId", "messageId", "emoji", "remove?"], "",
        "Reacts, or takes it back.",
        || act(acts::react)),
    row("POST", "/typing", &["userId", "channelId", "kind?", "stop?"], "",
        "Types, or stops.",
        || act(people::typing)),
    row("POST", "/command", &["userId", "channelId", "commandId?", "name?", "options?"], "{interactionId}",
        "Runs a slash command, named by `commandId` or `name`; `options` maps names to values of the options' types.",
        || act(acts::command)),
    row("POST", "/click", &["userId", "channelId", "messageId", "controlId"], "{interactionId}",
        "Clicks a button.",
        || act(acts::click)),
    row("POST", "/select", &["userId", "channelId", "messageId", "customId", "values"], "{interactionId}",
        "Chooses from a select.",
        || act(acts::select)),
    row("POST", "/submit", &["userId", "modalInteractionId", "values?"], "{interactionId}",
        "Submits a modal; `values` maps each `customId` to a list of texts.",
        || act(acts::submit)),
    row("POST", "/voice", &["userId", "channelId?", "leave?", "state?"], "",
        "Joins a voice channel, or leaves it; `state` is a list of `muted`, `mutedByServer`, `mutedHeadphones`, `mutedHeadphonesByServer` and `streaming`.",
        || act(people::voice)),
    row("POST", "/speak", &["userId", "channelId?", "callId?", "packets?", "ogg?", "intervalMs?"], "{spoken}",
        "Says Opus packets (a list of base64; DTX, too) or an Ogg Opus file (base64) as somebody who is in the voice channel or the call, in real time unless `intervalMs` sets another distance between packets. Answers when the last was said, or the person has left; closing the request ends it.",
        voice::speak),
    row("GET", "/sound", &["userId", "channelId?", "callId?", "leave?"], "a WebSocket",
        "A person's ear and mouth in a voice channel or a call: a binary message for each packet of somebody else, their user id (16 bytes) before the Opus packet; a binary message back for each Opus packet that the person says. With `leave=true` the person leaves, or hangs up, when it closes.",
        || get(sound::open)),
    row("POST", "/call", &["userId", "botId?", "locale?"], "{callId}",
        "Calls a verified bot, the first one if none is named.",
        || act(voice::call)),
    row("POST", "/hangup", &["userId", "callId"], "",
        "Ends one's own call.",
        || act(voice::hang_up)),
    // The world.
    row("POST", "/member", &["spaceId?", "userId?", "leave?", "displayName?", "avatarUrl?", "archetypeIds?"], "{userId}",
        "Somebody comes (`spaceId` and `displayName`), changes (`spaceId` and `userId`) or goes (`userId` and `leave`; from every space if none is named). A bot that goes is uninstalled.",
        || act(change::member)),
    row("POST", "/presence", &["userId", "status", "activity?"], "",
        "Somebody's status, and what they do: `{kind, titleName}`.",
        || act(change::presence)),
    row("POST", "/archetype", &["spaceId", "archetypeId?", "name?", "colour?", "mentionable?", "permissions?"], "{archetypeId}",
        "Makes an archetype, or changes the one with that id; `permissions` is a list of entitlements.",
        || act(change::archetype)),
    row("POST", "/channel", &["spaceId?", "channelId?", "name?", "type?", "description?", "slowMode?", "overrides?", "delete?"], "{channelId}",
        "Makes a channel (`spaceId` and `name`), changes one (`channelId`) or deletes it (with `delete`). `slowMode` is in seconds, `overrides` a list of `{archetypeId, allow, deny}` with lists of entitlements.",
        || act(change::channel)),
    row("POST", "/install", &["bot", "spaceId?", "granted?"], "",
        "Installs a bot (user id or name) into a space where it is not yet; `granted` is a list of entitlements, all of them if it is left out.",
        || act(change::install)),
    row("POST", "/entitlements", &["bot", "spaceId?", "granted?", "required?"], "",
        "Changes what a space grants a bot, what the bot requires, or both; the bot is told when they do not agree.",
        || act(change::entitle)),
    row("POST", "/emit", &["type", "payload?", "raw?", "spaceId?", "bot?"], "",
        "Sends a raw event to every bot of the space, or to one bot (user id or name); `raw` is sent as it is.",
        || act(tools::emit)),
    row("POST", "/flood", &["channelId", "userId", "count", "text"], "{written}",
        "Writes many messages as fast as the open streams take them.",
        || post(tools::flood)),
    row("POST", "/time", &["advance"], "{now}",
        "Lets that many seconds pass at once; everything that is over by then has ended when the answer comes.",
        || act(tools::time)),
    row("GET", "/snapshot", &[], "{version, now, world, feed, voiceTokens}",
        "The whole world: spaces, messages, people, bots with their tokens, commands, open interactions, calls, voice tokens, event buffers and each bot's position. Ids of messages and masks of entitlements are texts.",
        || get(saved::snapshot)),
    row("POST", "/restore", &["version", "now", "world", "feed", "voiceTokens"], "",
        "Puts a snapshot in the place of everything, all or nothing; a mistake is answered with its path. Streams and voice sockets end, and bots come back as after a lost connection. Time stands still in between; the clock never goes back.",
        saved::restore),
    row("POST", "/reset", &[], "",
        "Makes everything as it was at the start, tokens included; faults and the request log are cleared.",
        || act(saved::reset)),
    // Faults.
    row("GET", "/faults/kinds", &[], "{kinds:[{kind, on, doc, fields:[{name, type, required, doc, least?, most?, choices?, default?}]}]}",
        "Every kind of fault with its fields, for pages that offer switches; chaos is one of them.",
        || get(faults::kinds)),
    row("GET", "/faults", &[], "{faults:[{id, kind, …, left}], chaos, struck}",
        "What is armed, the seed of chaos or null, and how many faults have struck.",
        || get(faults::list)),
    row("POST", "/fault", &["kind", "…"], "{id}",
        "Arms a fault (see [Faults](#faults)); `{kind: \"chaos\", seed}` brings faults at random until they are cleared.",
        || act(faults::arm)),
    row("DELETE", "/faults", &["id?"], "{cleared}",
        "Takes one fault back, or all of them and chaos.",
        || delete(faults::clear)),
];

/// Refuses a query with a parameter that the route does not know, so that a misspelt one is not ignored.
pub async fn known_parameters(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let row = ROWS
        .iter()
        .find(|row| row.method == request.method().as_str() && row.path == path);
    if let Some(row) = row
        && let Err(fault) = check(row, request.uri().query().unwrap_or_default())
    {
        return reply(Err(fault));
    }
    next.run(request).await
}

fn check(row: &Row, query: &str) -> Result<(), Fault> {
    let known = || {
        row.takes
            .iter()
            .map(|name| name.trim_end_matches('?'))
            .filter(|_| row.method != "POST")
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        if !known().any(|known| known == name) {
            let help = did_you_mean(name, known()).unwrap_or_else(|| {
                let all: Vec<_> = known().collect();
                match all.is_empty() {
                    true => "it takes none".to_owned(),
                    false => format!("there are {}", all.join(", ")),
                }
            });
            let (method, path) = (row.method, row.path);
            return Err(Fault::bad(format!(
                "{method} {path} has no parameter {name:?}: {help}"
            )));
        }
    }
    Ok(())
}
