//! The world of the embedded server: spaces, channels, people, bots and what they do (pure state).
//!
//! A method per act. An act either happens as a whole or not at all; it checks first and changes then.
//! What the outside must hear of it is left in `effects`, in order; whoever called the act takes them
//! with [`World::take_effects`] before it lets anybody else at the world, so that all listeners agree
//! on one order. No clock and no socket: the time comes in as [`Now`].
//!
//! | file | acts |
//! |---|---|
//! | `mod` | what is there, and whom acts are told to |
//! | `members` | who is in which space |
//! | `entitlements` | who may do what where |
//! | `setup` | the world that every server starts with |
//! | `plan` | a world as a file describes it |
//! | `channels` | channels: create, change, delete |
//! | `archetypes` | archetypes: create, change |
//! | `messages` | messages: write, edit, history |
//! | `reactions` | reactions on messages |
//! | `controls` | the rules for controls and modals |
//! | `presence` | typing and voice channels |
//! | `calls` | calls from people to bots |
//! | `commands` | slash commands: register, update, delete |
//! | `revive` | a world that was read from a snapshot |
//! | `interactions` | what people do with commands and controls, and the bots' answers |
//! | `options` | what people give to commands and selects |
//! | `modals` | modals: open, submit |

mod archetypes;
mod calls;
mod channels;
mod commands;
mod controls;
pub mod entitlements;
mod fault;
mod interactions;
mod members;
mod messages;
mod modals;
mod options;
mod plan;
mod presence;
mod reactions;
mod revive;
mod setup;

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::clock::Now;
use super::quirks::Quirks;
pub(super) use super::saved::forms;
use super::wire;
use crate::config::Secret;
use crate::contract::USER_FLAGS;

pub use archetypes::{Archetype, ArchetypeChange};
pub use calls::VoiceCall;
pub use channels::{Channel, ChannelChange, NewChannel, VOICE};
pub use commands::{Command, NewCommand};
pub use entitlements::Override;
pub use fault::Fault;
pub use interactions::Interaction;
pub use members::MemberChange;
pub use messages::{Draft, Message};
pub use modals::OpenModal;
pub use plan::{
    ArchetypePlan, BotPlan, ChannelPlan, EVERYBODYS, OverridePlan, PersonPlan, Plan, SpacePlan,
};
pub use presence::{Activity, Presence, VoiceState};
pub use reactions::Reaction;
pub use setup::BOT_GRANT;

/// Identity of a user, space, channel, archetype, command or interaction.
pub type Id = Uuid;

/// A person or a bot's account.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// Identity.
    pub id: Id,
    /// The unique name; a bot's ends in `bot`.
    pub username: String,
    /// The name that is shown.
    pub display_name: String,
    /// Mask of [`USER_FLAGS`].
    #[serde(with = "forms::number")]
    pub flags: u64,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// Status and activity.
    pub presence: Presence,
}

impl User {
    /// Whether it is a bot's account.
    pub fn is_bot(&self) -> bool {
        self.flags & user_flag("bot") != 0
    }

    /// Whether it is verified.
    pub fn is_verified(&self) -> bool {
        self.flags & user_flag("verified") != 0
    }
}

fn user_flag(name: &str) -> u64 {
    USER_FLAGS.mask(name).unwrap_or(0)
}

/// A community.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Space {
    /// Identity.
    pub id: Id,
    /// Name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// In the order in which they are shown.
    pub channels: Vec<Channel>,
    /// In the order in which they are shown; the first is everybody's.
    pub archetypes: Vec<Archetype>,
    /// People and bots.
    pub members: Vec<Member>,
}

impl Space {
    /// The member with that user id.
    pub fn member(&self, user: Id) -> Option<&Member> {
        self.members.iter().find(|member| member.user == user)
    }
}

/// A user in a space.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// The user.
    pub user: Id,
    /// The archetypes the user has.
    pub archetypes: Vec<Id>,
    /// Mask of [`crate::contract::ENTITLEMENTS`] that a bot was granted when it was installed; `None` for a
    /// person, whose archetypes count.
    #[serde(with = "forms::maybe_number")]
    pub granted: Option<u64>,
}

/// What a bot logs in with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BotAccount {
    /// The bot's user.
    pub user: Id,
    /// The bot's application.
    pub bot_id: Id,
    /// The token it sends.
    #[serde(with = "forms::secret")]
    pub token: Secret,
    /// The user's name, for the request log.
    pub username: String,
    /// Whether it may do what is for verified bots only.
    pub verified: bool,
    /// Mask of [`crate::contract::ENTITLEMENTS`] that it asks a space for.
    #[serde(with = "forms::number")]
    pub required: u64,
}

/// What the outside must hear of an act.
#[derive(Debug)]
pub enum Effect {
    /// An event for the bots in the space.
    Space {
        /// The space.
        space: Id,
        /// The event type.
        kind: String,
        /// The payload, JSON.
        payload: String,
        /// The bots that are not told.
        unseen: Vec<Id>,
    },
    /// An event for one bot.
    Direct {
        /// The bot's user.
        bot: Id,
        /// The event type.
        kind: String,
        /// The payload, JSON.
        payload: String,
    },
    /// The bot begins to receive the space's events.
    Installed {
        /// The bot's user.
        bot: Id,
        /// The space.
        space: Id,
    },
    /// The bot receives the space's events no more.
    Uninstalled {
        /// The bot's user.
        bot: Id,
        /// The space.
        space: Id,
    },
    /// Somebody is in a voice channel or a call now.
    RoomJoined {
        /// The channel or the call.
        room: Id,
        /// Who.
        user: Id,
        /// Whether they can be heard at once: a bot only when its socket sends.
        speaks: bool,
    },
    /// Somebody is in a voice channel no more.
    RoomLeft {
        /// The channel.
        room: Id,
        /// Who.
        user: Id,
    },
    /// A call is over.
    RoomClosed(Id),
    /// Something that the playground shows.
    Show(Show),
}

/// What the playground shows.
#[derive(Debug)]
pub enum Show {
    /// A message was written.
    Message(Id, i64),
    /// A message was edited.
    Edit(Id, i64),
    /// The reactions of a message changed.
    Reactions(Id, i64),
    /// Somebody types.
    Typing {
        /// Where.
        channel: Id,
        /// Who.
        user: Id,
        /// A word of the contract's typing kinds.
        kind: Option<String>,
    },
    /// Somebody stopped typing.
    TypingStop {
        /// Where.
        channel: Id,
        /// Who.
        user: Id,
    },
    /// The slash commands changed.
    Commands,
    /// Spaces, channels or members changed.
    World,
    /// A bot confirmed an interaction (`ack`) or asks for patience (`defer`).
    Answer {
        /// `ack` or `defer`.
        kind: &'static str,
        /// The interaction.
        interaction: Id,
        /// Whose it is.
        user: Id,
        /// Who answered.
        bot: Id,
    },
    /// A bot opens a form.
    Modal {
        /// The interaction that the form answers.
        interaction: Id,
        /// The form's own interaction.
        modal: Id,
    },
    /// A call rings, was answered, or is over.
    Call(Id),
    /// No bot answered in time.
    Expired {
        /// The interaction.
        interaction: Id,
        /// Whose it was.
        user: Id,
    },
}

/// The whole state.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct World {
    /// The server's, so no part of a snapshot.
    #[serde(skip)]
    quirks: Quirks,
    spaces: Vec<Space>,
    users: HashMap<Id, User>,
    bots: Vec<BotAccount>,
    commands: Vec<Command>,
    interactions: HashMap<Id, Interaction>,
    modals: HashMap<Id, OpenModal>,
    #[serde(with = "forms::typing")]
    typing: HashMap<(Id, Id), Instant>,
    /// By user and channel: a person is in one channel, a bot may be in several.
    #[serde(with = "forms::pairs")]
    voice: HashMap<(Id, Id), VoiceState>,
    /// Oldest first.
    calls: VecDeque<VoiceCall>,
    /// `randomId` of a channel to the message it made. Oldest first in `random_order`.
    #[serde(with = "forms::random_ids")]
    random_ids: HashMap<(Id, i64), i64>,
    #[serde(with = "forms::random_order")]
    random_order: VecDeque<(Instant, (Id, i64))>,
    #[serde(with = "forms::number")]
    last_message: i64,
    newcomers: u32,
    #[serde(skip)]
    effects: Vec<Effect>,
    #[serde(skip)]
    timers_changed: bool,
}

impl World {
    /// Which of the real server's ways the world has.
    pub fn quirks(&self) -> Quirks {
        self.quirks
    }

    /// What the outside must hear since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether an act since the last call has set something that will expire.
    pub fn take_timers_changed(&mut self) -> bool {
        std::mem::take(&mut self.timers_changed)
    }

    /// When [`World::expire`] has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let interactions = self.interactions.values().map(|open| open.expires);
        let modals = self.modals.values().map(|open| open.expires);
        let typing = self.typing.values().copied();
        let calls = self.calls.iter().filter_map(VoiceCall::rings_until);
        interactions.chain(modals).chain(typing).chain(calls).min()
    }

    /// Ends what has outlived its time.
    pub fn expire(&mut self, now: Now) {
        self.expire_typing(now);
        self.expire_interactions(now);
        self.expire_calls(now);
    }

    /// Every space.
    pub fn spaces(&self) -> &[Space] {
        &self.spaces
    }

    /// The space with that id.
    pub fn space(&self, id: Id) -> Option<&Space> {
        self.spaces.iter().find(|space| space.id == id)
    }

    fn space_mut(&mut self, id: Id) -> Option<&mut Space> {
        self.spaces.iter_mut().find(|space| space.id == id)
    }

    /// The space that bots are installed into.
    pub fn default_space(&self) -> Option<Id> {
        self.spaces.first().map(|space| space.id)
    }

    /// The user with that id.
    pub fn user(&self, id: Id) -> Option<&User> {
        self.users.get(&id)
    }

    /// Every bot.
    pub fn bots(&self) -> &[BotAccount] {
        &self.bots
    }

    /// The bot whose user has that id or name.
    pub fn find_bot(&self, id_or_name: &str) -> Option<&BotAccount> {
        let id = Id::try_parse(id_or_name).ok();
        self.bots
            .iter()
            .find(|bot| Some(bot.user) == id || bot.username == id_or_name)
    }

    /// The account of a bot's user.
    pub fn bot(&self, user: Id) -> Option<&BotAccount> {
        self.bots.iter().find(|bot| bot.user == user)
    }

    /// The spaces a bot is installed in.
    pub fn spaces_of(&self, user: Id) -> impl Iterator<Item = &Space> {
        self.spaces
            .iter()
            .filter(move |space| space.member(user).is_some())
    }

    /// A raw event, for tests: to one bot, or to every bot in a space.
    pub fn emit(&mut self, bot: Option<Id>, space: Id, kind: &str, payload: String) {
        let kind = kind.to_owned();
        self.effects.push(match bot {
            Some(bot) => Effect::Direct { bot, kind, payload },
            None => Effect::Space {
                space,
                kind,
                payload,
                unseen: Vec::new(),
            },
        });
    }

    /// Tells every bot in the space.
    fn tell(&mut self, space: Id, kind: &str, payload: Value) {
        self.tell_others(space, kind, payload, Vec::new());
    }

    /// Tells the bots that see the channel.
    fn tell_in(&mut self, channel: Id, kind: &str, payload: Value) {
        let unseen = self.blind(channel);
        if let Some(space) = self.channel(channel).map(|(space, _)| space.id) {
            self.tell_others(space, kind, payload, unseen);
        }
    }

    /// Tells of an interaction: the bot that it belongs to, and on the real server every other bot that
    /// sees the channel, too.
    fn tell_interaction(&mut self, owner: Id, channel: Id, kind: &str, payload: Value) {
        if self.quirks.interactions_for_all {
            return self.tell_in(channel, kind, payload);
        }
        let Some(space) = self.channel(channel).map(|(space, _)| space) else {
            return;
        };
        let bots = space.members.iter().filter(|one| one.granted.is_some());
        let others = bots.map(|bot| bot.user).filter(|&bot| bot != owner);
        let (space, others) = (space.id, others.collect());
        self.tell_others(space, kind, payload, others);
    }

    fn tell_others(&mut self, space: Id, kind: &str, payload: Value, unseen: Vec<Id>) {
        self.effects.push(Effect::Space {
            space,
            kind: kind.to_owned(),
            payload: wire::event(self.quirks, kind, payload),
            unseen,
        });
    }

    /// Tells one bot.
    fn tell_bot(&mut self, bot: Id, kind: &str, payload: Value) {
        self.effects.push(Effect::Direct {
            bot,
            kind: kind.to_owned(),
            payload: wire::event(self.quirks, kind, payload),
        });
    }

    fn show(&mut self, show: Show) {
        self.effects.push(Effect::Show(show));
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! A world with one bot, and what its acts told.

    use std::time::Duration;

    use serde_json::Value;

    use super::{Effect, Id, Quirks, World};
    use crate::config::Secret;
    use crate::sim::clock::{Clock, Now};

    /// The default world with one verified bot.
    pub fn world() -> (World, Id, Now) {
        let mut world = World::with_default_space(Quirks::default());
        let bot = world.add_bot("demo", true, |_| Secret::new("t")).user;
        world.take_effects();
        (world, bot, Clock::new().now())
    }

    /// The person with that display name.
    pub fn person(world: &World, name: &str) -> Id {
        world
            .users
            .values()
            .find(|user| user.display_name == name)
            .expect("a person")
            .id
    }

    /// The channel with that name.
    pub fn channel(world: &World, name: &str) -> Id {
        let channels = world.spaces.iter().flat_map(|space| &space.channels);
        let mut named = channels.filter(|channel| channel.name == name);
        named.next().expect("a channel").id
    }

    /// The events for bots that the last acts left.
    pub fn events(world: &mut World) -> Vec<(String, Value)> {
        let effects = world.take_effects().into_iter();
        effects
            .filter_map(|effect| match effect {
                Effect::Space { kind, payload, .. } | Effect::Direct { kind, payload, .. } => {
                    let payload = serde_json::from_str(&payload).expect("JSON");
                    Some((kind, payload))
                }
                _ => None,
            })
            .collect()
    }

    /// The same clock later.
    pub fn later(now: Now, seconds: u64) -> Now {
        Now {
            mono: now.mono + Duration::from_secs(seconds),
            wall: now.wall + Duration::from_secs(seconds),
        }
    }
}
