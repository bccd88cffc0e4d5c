//! What each route of the contract does in the world: one file per interface.
//!
//! [`handler`] is the table. Every route of the contract is in it (a test counts); the event stream has
//! a room of its own, [`super::stream`].

mod archetypes;
mod bot_self;
mod calls;
mod channels;
mod commands;
mod egress;
mod interactions;
mod messages;
mod reactions;
mod spaces;
mod typing;
mod voice;

use serde_json::{Value, json};

use super::clock::Now;
use super::params::Params;
use super::voice::Voice;
use super::world::{Fault, Id, World};
use crate::contract::Route;

/// One request that has passed authentication, limits and parameter checks.
pub struct Call<'a> {
    /// The world.
    pub world: &'a mut World,
    /// Voice tokens and rooms.
    pub voice: &'a mut Voice,
    /// Who asks.
    pub bot: Id,
    /// With what.
    pub params: &'a Params,
    /// When.
    pub now: Now,
}

/// What a route does. A null answer is an empty body.
pub type Handler = fn(Call<'_>) -> Result<Value, Fault>;

/// The handler of a route of the contract; `None` for the event stream, and for a route that this
/// server does not know.
pub fn handler(route: &Route) -> Option<Handler> {
    Some(match (route.interface.name, route.name) {
        ("IArchetypes", "Get") => archetypes::get,
        ("IArchetypes", "List") => archetypes::list,
        ("IArchetypes", "ListMembers") => archetypes::list_members,
        ("IBotSelf", "GetMe") => bot_self::get_me,
        ("IBotSelf", "GetSpaces") => bot_self::get_spaces,
        ("ICalls", "Accept") => calls::accept,
        ("ICalls", "Reject") => calls::reject,
        ("ICalls", "Ringing") => calls::ringing,
        ("IChannels", "Create") => channels::create,
        ("IChannels", "Delete") => channels::delete,
        ("IChannels", "List") => channels::list,
        ("ICommands", "Delete") => commands::delete,
        ("ICommands", "List") => commands::list,
        ("ICommands", "ListForSpace") => commands::list_for_space,
        ("ICommands", "Register") => commands::register,
        ("ICommands", "Update") => commands::update,
        ("IInteractions", "Ack") => interactions::ack,
        ("IInteractions", "Defer") => interactions::defer,
        ("IInteractions", "EditMessage") => interactions::edit_message,
        ("IInteractions", "Modal") => interactions::modal,
        ("IInteractions", "Reply") => interactions::reply,
        ("IMembers", "Kick") => kick,
        ("IMessages", "History") => messages::history,
        ("IMessages", "Send") => messages::send,
        ("IReactions", "Add") => reactions::add,
        ("IReactions", "BatchGet") => reactions::batch_get,
        ("IReactions", "List") => reactions::list,
        ("IReactions", "Remove") => reactions::remove,
        ("ISpaces", "Get") => spaces::get,
        ("ISpaces", "GetMember") => spaces::get_member,
        ("ISpaces", "ListMembers") => spaces::list_members,
        ("ITyping", "Start") => typing::start,
        ("ITyping", "Stop") => typing::stop,
        ("IVoice", "StreamToken") => voice::stream_token,
        ("IVoiceEgress", "SubscribeTrack") => egress::subscribe_track,
        ("IVoiceEgress", "UnsubscribeTrack") => egress::unsubscribe_track,
        _ => return None,
    })
}

/// `IMembers/Kick`.
fn kick(call: Call<'_>) -> Result<Value, Fault> {
    let id = |name| call.params.id(name);
    let (space, channel, user) = (id("spaceId"), id("channelId"), id("userId"));
    call.world.kick(call.bot, space, channel, user)?;
    Ok(json!({ "kicked": true }))
}

#[cfg(test)]
mod tests {
    use super::handler;
    use crate::contract::ROUTES;

    #[test]
    fn every_route_of_the_contract_has_a_handler() {
        let without: Vec<String> = ROUTES
            .iter()
            .filter(|route| handler(route).is_none())
            .map(|route| route.label())
            .collect();
        assert_eq!(without, ["IEvents/Stream"]);
    }
}
