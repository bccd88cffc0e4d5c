//! Who is in which space: people and bots come and go, are granted things and change.

use serde_json::{Value, json};

use super::setup::{BOT_GRANT, derived_id};
use super::{BotAccount, Effect, Fault, Id, Member, Presence, Show, User, World, user_flag, wire};
use crate::config::Secret;

/// What becomes different about a member; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct MemberChange {
    /// The name that is shown, everywhere.
    pub display_name: Option<String>,
    /// Where the picture is, everywhere.
    pub avatar_url: Option<String>,
    /// Archetypes in the space beside everybody's.
    pub archetypes: Option<Vec<Id>>,
}

impl World {
    /// Installs a bot into the default space with every entitlement. The name gets the ending `bot` if it
    /// lacks it; a name that is there already is the same bot.
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
        let user = derived_id("bot", &username);
        let flags = user_flag("bot") | if verified { user_flag("verified") } else { 0 };
        self.settle(user, &username, name, flags);
        let account = BotAccount {
            user,
            bot_id: derived_id("application", &username),
            token: token(user),
            username,
            verified,
            required: BOT_GRANT,
        };
        self.bots.push(account.clone());
        if let Some(space) = self.default_space() {
            self.install(user, space, BOT_GRANT);
        }
        account
    }

    /// Makes a user, who is in no space yet.
    pub(super) fn settle(&mut self, id: Id, username: &str, display_name: &str, flags: u64) {
        self.users.insert(
            id,
            User {
                id,
                username: username.to_owned(),
                display_name: display_name.to_owned(),
                flags,
                avatar_url: None,
                presence: Presence::default(),
            },
        );
    }

    /// Installs a bot into a space where it is not yet.
    pub(super) fn install(&mut self, bot: Id, space: Id, granted: u64) {
        self.effects.push(Effect::Installed { bot, space });
        self.tell_bot(bot, "botInstallingToSpace", json!({ "spaceId": space }));
        self.join(space, bot, Some(granted));
    }

    /// Installs a bot into a space (control API).
    pub fn install_bot(&mut self, bot: Id, space: Id, granted: u64) -> Result<(), Fault> {
        if self.bot(bot).is_none() {
            return Err(Fault::missing("there is no such bot"));
        }
        match self.space(space).map(|space| space.member(bot).is_some()) {
            None => Err(Fault::missing("there is no such space")),
            Some(true) => Err(Fault::bad("the bot is in this space already")),
            Some(false) => {
                self.install(bot, space, granted);
                self.check_grant(bot, space);
                self.show(Show::Commands);
                Ok(())
            }
        }
    }

    /// Changes what a space grants a bot, what the bot requires, or both (control API). The bot is told
    /// when the two do not agree afterwards.
    pub fn entitle(
        &mut self,
        bot: Id,
        space: Id,
        granted: Option<u64>,
        required: Option<u64>,
    ) -> Result<(), Fault> {
        let place = self.space_mut(space);
        let place = place.ok_or_else(|| Fault::missing("there is no such space"))?;
        let mut members = place.members.iter_mut();
        let member = members.find(|one| one.user == bot && one.granted.is_some());
        let member = member.ok_or_else(|| Fault::missing("this bot is not in the space"))?;
        member.granted = granted.or(member.granted);
        let mut bots = self.bots.iter_mut();
        if let (Some(account), Some(required)) = (bots.find(|one| one.user == bot), required) {
            account.required = required;
        }
        self.check_grant(bot, space);
        self.show(Show::World);
        Ok(())
    }

    fn check_grant(&mut self, bot: Id, space: Id) {
        let granted = self.space(space).map_or(0, |space| space.entitlements(bot));
        let required = self.bot(bot).map_or(0, |account| account.required);
        if granted != required {
            let payload = json!({
                "grantedEntitlements": granted,
                "requiredEntitlements": required,
                "spaceId": space,
            });
            self.tell_bot(bot, "botEntitlementsUpdated", payload);
        }
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
        let id = derived_id("newcomer", &self.newcomers.to_string());
        let mut username: String = display_name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        if username.is_empty() {
            username.push_str("newcomer"); // a name in another script
        }
        let username = format!("{username}{}", self.newcomers);
        self.settle(id, &username, display_name, 0);
        self.join(space, id, None);
        Ok(id)
    }

    /// Somebody is in the space from now on; `granted` is for bots.
    pub(super) fn join(&mut self, space: Id, user: Id, granted: Option<u64>) {
        let Some(place) = self.space_mut(space) else {
            return;
        };
        let everyone = place.archetypes.first().map(|archetype| archetype.id);
        place.members.push(Member {
            user,
            archetypes: everyone.into_iter().collect(),
            granted,
        });
        let payload = json!({ "spaceId": space, "user": self.wire_user(user) });
        self.tell(space, "memberJoin", payload);
        self.show(Show::World);
    }

    pub(super) fn member_mut(&mut self, space: Id, user: Id) -> Option<&mut Member> {
        let mut members = self.space_mut(space)?.members.iter_mut();
        members.find(|member| member.user == user)
    }

    /// Changes a member (control API).
    pub fn change_member(
        &mut self,
        space: Id,
        user: Id,
        change: MemberChange,
    ) -> Result<(), Fault> {
        let place = self.space(space);
        let place = place.ok_or_else(|| Fault::missing("there is no such space"))?;
        if place.member(user).is_none() {
            return Err(Fault::missing("nobody with this userId is in the space"));
        }
        let known = |id: &Id| place.archetypes.iter().any(|known| known.id == *id);
        if let Some(unknown) = change.archetypes.iter().flatten().find(|id| !known(id)) {
            return Err(Fault::missing(format!(
                "{unknown} is no archetype of the space"
            )));
        }
        if change
            .display_name
            .as_ref()
            .is_some_and(|name| name.trim().is_empty())
        {
            return Err(Fault::bad("displayName must not be empty"));
        }
        let everyone = place.archetypes.first().map(|archetype| archetype.id);
        if let (Some(wanted), Some(member)) = (change.archetypes, self.member_mut(space, user)) {
            let others = wanted.into_iter().filter(|&id| Some(id) != everyone);
            member.archetypes = everyone.into_iter().chain(others).collect();
        }
        let everywhere = change.display_name.is_some() || change.avatar_url.is_some();
        if let Some(user) = self.users.get_mut(&user) {
            user.display_name = change
                .display_name
                .unwrap_or_else(|| user.display_name.clone());
            user.avatar_url = change.avatar_url.or_else(|| user.avatar_url.take());
        }
        for at in self.space_ids_of(user) {
            if everywhere || at == space {
                let payload = json!({ "spaceId": at, "user": self.wire_user(user) });
                self.tell(at, "memberUpdate", payload);
            }
        }
        self.show(Show::World);
        Ok(())
    }

    /// Somebody's status or activity is another one from now on (control API).
    pub fn set_presence(&mut self, user: Id, presence: Presence) -> Result<(), Fault> {
        let known = self.users.get_mut(&user);
        let known = known.ok_or_else(|| Fault::missing("there is no such person"))?;
        known.presence = presence;
        let presence = wire::presence(&known.presence);
        for space in self.space_ids_of(user) {
            let user = self.wire_user(user);
            let payload = json!({ "presence": presence, "spaceId": space, "user": user });
            self.tell(space, "presenceUpdate", payload);
        }
        self.show(Show::World);
        Ok(())
    }

    fn space_ids_of(&self, user: Id) -> Vec<Id> {
        self.spaces_of(user).map(|space| space.id).collect()
    }

    /// Somebody leaves a space, or every one of them. A bot is uninstalled.
    pub fn leave(&mut self, user: Id, space: Option<Id>) -> Result<(), Fault> {
        let mut spaces = self.space_ids_of(user);
        spaces.retain(|&at| space.is_none_or(|space| space == at));
        if spaces.is_empty() {
            return Err(Fault::missing("nobody with this userId is in a space"));
        }
        for space in spaces {
            let channels = self.space(space).into_iter().flat_map(|at| &at.channels);
            let channels: Vec<Id> = channels.map(|channel| channel.id).collect();
            for channel in channels {
                self.leave_voice_channel(user, channel);
                self.stop_typing(channel, user);
            }
            if self.bot(user).is_some() {
                let payload = json!({ "spaceId": space });
                self.tell_bot(user, "botUninstallingFromSpace", payload);
                self.effects.push(Effect::Uninstalled { bot: user, space });
            }
            if let Some(place) = self.space_mut(space) {
                place.members.retain(|member| member.user != user);
            }
            let payload = json!({ "spaceId": space, "userId": user });
            self.tell(space, "memberLeave", payload);
        }
        if self.spaces_of(user).next().is_none() {
            self.end_calls_of(user);
        }
        self.show(Show::World);
        if self.commands_of(user).next().is_some() {
            // They stay the bot's, but nobody can use them where the bot is not.
            self.show(Show::Commands);
        }
        Ok(())
    }

    /// The user as the platform sends it; null if there is none.
    pub(super) fn wire_user(&self, user: Id) -> Value {
        self.user(user).map_or(Value::Null, wire::user)
    }
}

#[cfg(test)]
mod tests {
    use super::MemberChange;
    use crate::config::Secret;
    use crate::sim::world::entitlements::{SEND, VIEW};
    use crate::sim::world::testing::{events, person, world};

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
        assert!(world.space_for(bot, space, 0).is_ok());
        world.leave(bot, Some(space)).expect("it was there");
        let kinds: Vec<String> = events(&mut world)
            .into_iter()
            .map(|(kind, _)| kind)
            .collect();
        assert_eq!(kinds, ["botUninstallingFromSpace", "memberLeave"]);
        let fault = world.space_for(bot, space, 0).expect_err("not a member");
        assert_eq!(fault.error(), Some("not_a_member"));
        world.install_bot(bot, space, VIEW).expect("not there");
        assert!(world.install_bot(bot, space, VIEW).is_err(), "there");
        let told = events(&mut world);
        let kinds: Vec<&str> = told.iter().map(|(kind, _)| &**kind).collect();
        assert_eq!(
            kinds,
            [
                "botInstallingToSpace",
                "memberJoin",
                "botEntitlementsUpdated"
            ]
        );
    }

    #[test]
    fn a_bot_is_told_when_its_grant_is_not_what_it_requires() {
        let (mut world, bot, _) = world();
        let space = world.default_space().expect("a space");
        world
            .entitle(bot, space, Some(VIEW), Some(VIEW | SEND))
            .expect("there");
        let (kind, payload) = events(&mut world).remove(0);
        assert_eq!(kind, "botEntitlementsUpdated");
        assert_eq!(payload["grantedEntitlements"], VIEW);
        assert_eq!(payload["requiredEntitlements"], VIEW | SEND);
        world
            .entitle(bot, space, Some(VIEW | SEND), None)
            .expect("there");
        assert!(events(&mut world).is_empty(), "they agree");
    }

    #[test]
    fn everybody_keeps_everybodys_archetype() {
        let (mut world, _, _) = world();
        let space = world.default_space().expect("a space");
        let boris = person(&world, "Boris");
        let [everyone, moderator] = &world.spaces()[0].archetypes[..] else {
            panic!("two archetypes");
        };
        let ids = [everyone.id, moderator.id];
        let change = MemberChange {
            archetypes: Some(vec![ids[1]]),
            ..MemberChange::default()
        };
        world.change_member(space, boris, change).expect("there");
        let member = world.spaces()[0].member(boris).expect("there");
        assert_eq!(member.archetypes, ids);
        assert_eq!(events(&mut world)[0].0, "memberUpdate");
    }
}
