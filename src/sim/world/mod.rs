//! The world of the embedded server: spaces, channels, people, bots and what they do (pure state).
//!
//! A method per act. An act either happens as a whole or not at all; it checks first and changes then.
//! What the outside must hear of it is left in `effects`, in order; whoever called the act takes them
//! with [`World::take_effects`] before it lets anybody else at the world, so that all listeners agree
//! on one order. No clock and no socket: the time comes in as [`Now`].
//!
//! | file | acts |
//! |---|---|
//! | `mod` | who is there: people, bots, spaces, membership |
//! | `setup` | the world that every server starts with |
//! | `plan` | a world as a file describes it |
//! | `channels` | channels: create, delete; archetypes |
//! | `messages` | messages: write, edit, history, reactions |
//! | `controls` | the rules for controls and modals |
//! | `presence` | typing and voice channels |
//! | `calls` | calls from people to bots |
//! | `commands` | slash commands: register, update, delete |
//! | `revive` | a world that was read from a snapshot |
//! | `interactions` | what people do with commands, controls and modals, and the bots' answers |

mod calls;
mod channels;
mod commands;
mod controls;
mod fault;
mod interactions;
mod messages;
mod plan;
mod presence;
mod revive;
mod setup;

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::clock::Now;
pub(super) use super::saved::forms;
use super::wire;
use crate::config::Secret;
use crate::contract::{ENTITLEMENTS, USER_FLAGS};

pub use calls::VoiceCall;
pub use channels::{Archetype, Channel, NewChannel, VOICE};
pub use commands::{Command, NewCommand};
pub use fault::Fault;
pub use interactions::{Interaction, OpenModal};
pub use messages::{Draft, Message};
pub use plan::{ArchetypePlan, BotPlan, ChannelPlan, EVERYBODYS, PersonPlan, Plan, SpacePlan};
pub use presence::VoiceState;

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
    /// Mask of [`ENTITLEMENTS`] that a bot was granted when it was installed.
    #[serde(with = "forms::number")]
    pub granted: u64,
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
}

/// What the outside must hear of an act.
#[derive(Debug)]
pub enum Effect {
    /// An event for every bot in the space.
    Space {
        /// The space.
        space: Id,
        /// The event type.
        kind: String,
        /// The payload, JSON.
        payload: String,
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
        /// A person can be heard at once; a bot when it sends.
        is_bot: bool,
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

    /// The space, if the bot is in it: an unknown one crashes the platform's server, another's is
    /// `not_a_member`.
    pub fn space_for(&self, bot: Id, space: Id) -> Result<&Space, Fault> {
        let space = self.space(space).ok_or(Fault::Crash)?;
        match space.member(bot) {
            Some(_) => Ok(space),
            None => Err(Fault::code("not_a_member")),
        }
    }

    /// Fails with `insufficient_permissions` unless the space grants the bot the entitlement.
    pub fn require(&self, bot: Id, space: Id, entitlement: &str) -> Result<(), Fault> {
        if self.is_granted(bot, space, entitlement) {
            Ok(())
        } else {
            Err(Fault::code("insufficient_permissions"))
        }
    }

    /// Whether the space grants the bot the entitlement.
    pub fn is_granted(&self, bot: Id, space: Id, entitlement: &str) -> bool {
        let granted = self
            .space(space)
            .and_then(|space| space.member(bot))
            .map_or(0, |member| member.granted);
        let mask = ENTITLEMENTS.mask(entitlement).unwrap_or(0);
        granted & mask == mask
    }

    /// Installs a bot into the default space. The name gets the ending `bot` if it lacks it; a name
    /// that is there already is the same bot.
    pub fn add_bot(
        &mut self,
        name: &str,
        verified: bool,
        token: impl FnOnce(Id) -> Secret,
    ) -> BotAccount {
        let username = if name.to_ascii_lowercase().ends_with("bot") {
            name.to_owned()
        } else {
            format!("{name}bot")
        };
        if let Some(known) = self.find_bot(&username) {
            return known.clone();
        }
        let user = setup::derived_id("bot", &username);
        let flags = user_flag("bot") | if verified { user_flag("verified") } else { 0 };
        self.users.insert(
            user,
            User {
                id: user,
                username: username.clone(),
                display_name: name.to_owned(),
                flags,
                avatar_url: None,
            },
        );
        let account = BotAccount {
            user,
            bot_id: setup::derived_id("application", &username),
            token: token(user),
            username,
            verified,
        };
        self.bots.push(account.clone());
        if let Some(space) = self.default_space() {
            self.effects.push(Effect::Installed { bot: user, space });
            self.effects.push(Effect::Direct {
                bot: user,
                kind: "botInstallingToSpace".to_owned(),
                payload: json!({ "spaceId": space }).to_string(),
            });
            self.join(space, user);
        }
        account
    }

    /// A new person comes into a space.
    pub fn add_person(&mut self, space: Id, display_name: &str) -> Result<Id, Fault> {
        if self.space(space).is_none() {
            return Err(Fault::missing("there is no such space"));
        }
        if display_name.trim().is_empty() {
            return Err(Fault::bad("displayName must not be empty"));
        }
        self.newcomers += 1;
        let id = setup::derived_id("newcomer", &self.newcomers.to_string());
        let mut username: String = display_name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        if username.is_empty() {
            username.push_str("newcomer"); // a name in another script
        }
        self.users.insert(
            id,
            User {
                id,
                username: format!("{username}{}", self.newcomers),
                display_name: display_name.to_owned(),
                flags: 0,
                avatar_url: None,
            },
        );
        self.join(space, id);
        Ok(id)
    }

    fn join(&mut self, space: Id, user: Id) {
        let is_bot = self.user(user).is_some_and(User::is_bot);
        let Some(place) = self.space_mut(space) else {
            return;
        };
        let everyone = place.archetypes.first().map(|archetype| archetype.id);
        place.members.push(Member {
            user,
            archetypes: everyone.into_iter().collect(),
            granted: if is_bot { setup::BOT_GRANT } else { 0 },
        });
        let payload = json!({ "spaceId": space, "user": self.wire_user(user) });
        self.tell(space, "memberJoin", &payload);
        self.show(Show::World);
    }

    /// Somebody leaves every space. A bot is uninstalled.
    pub fn leave(&mut self, user: Id) -> Result<(), Fault> {
        let spaces: Vec<Id> = self.spaces_of(user).map(|space| space.id).collect();
        if spaces.is_empty() {
            return Err(Fault::missing("nobody with this userId is in a space"));
        }
        self.leave_voice(user);
        self.end_calls_of(user);
        for space in spaces {
            if self.bot(user).is_some() {
                self.effects.push(Effect::Direct {
                    bot: user,
                    kind: "botUninstallingFromSpace".to_owned(),
                    payload: json!({ "spaceId": space }).to_string(),
                });
                self.effects.push(Effect::Uninstalled { bot: user, space });
            }
            if let Some(place) = self.space_mut(space) {
                place.members.retain(|member| member.user != user);
            }
            let payload = json!({ "spaceId": space, "userId": user });
            self.tell(space, "memberLeave", &payload);
        }
        self.show(Show::World);
        if self.commands_of(user).next().is_some() {
            // They stay the bot's, but nobody can use them where the bot is not.
            self.show(Show::Commands);
        }
        Ok(())
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
            },
        });
    }

    /// The user as the platform sends it; the zero user if there is none.
    fn wire_user(&self, user: Id) -> Value {
        self.user(user).map_or(Value::Null, wire::user)
    }

    fn tell(&mut self, space: Id, kind: &str, payload: &Value) {
        self.effects.push(Effect::Space {
            space,
            kind: kind.to_owned(),
            payload: payload.to_string(),
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

    use super::{Effect, Id, World};
    use crate::config::Secret;
    use crate::sim::clock::{Clock, Now};

    /// The default world with one verified bot.
    pub fn world() -> (World, Id, Now) {
        let mut world = World::with_default_space();
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

#[cfg(test)]
mod tests {
    use super::testing::{events, world};
    use crate::config::Secret;

    #[test]
    fn the_same_name_is_the_same_bot() {
        let (mut world, bot, _) = world();
        assert_eq!(world.bot(bot).map(|bot| &*bot.username), Some("demobot"));
        for name in ["demo", "demobot"] {
            let again = world.add_bot(name, false, |_| Secret::new("other"));
            assert_eq!((again.user, again.token.expose()), (bot, "t"));
        }
        assert!(events(&mut world).is_empty());
    }

    #[test]
    fn a_bot_that_leaves_is_told_and_is_no_member() {
        let (mut world, bot, _) = world();
        let space = world.default_space().expect("a space");
        assert!(world.space_for(bot, space).is_ok());
        world.leave(bot).expect("it was there");
        let kinds: Vec<String> = events(&mut world)
            .into_iter()
            .map(|(kind, _)| kind)
            .collect();
        assert_eq!(kinds, ["botUninstallingFromSpace", "memberLeave"]);
        let fault = world.space_for(bot, space).expect_err("not a member");
        assert_eq!(fault.error(), Some("not_a_member"));
    }
}
