//! Reactions: who used which emoji on a message.
//!
//! History shows them late, up to [`HISTORY_LAG`].

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::entitlements::REACT;
use super::{Fault, Id, Message, Show, World};
use crate::contract::limits::REACTIONS_PER_MESSAGE;
use crate::sim::clock::Now;

/// How far behind the reactions in history may be.
pub const HISTORY_LAG: Duration = Duration::from_secs(3);

/// One emoji on a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// Who used it, in order; never empty.
    pub users: Vec<Id>,
}

impl Message {
    /// The reactions as history shows them: up to [`HISTORY_LAG`] old.
    pub fn shown_reactions(&self, now: Now) -> &[Reaction] {
        match &self.shown {
            Some((until, before)) if now.wall < *until => before,
            _ => &self.reactions,
        }
    }

    /// To be called before the reactions change.
    fn keep_shown(&mut self, now: Now) {
        if self
            .shown
            .as_ref()
            .is_none_or(|(until, _)| *until <= now.wall)
        {
            self.shown = Some((now.wall + HISTORY_LAG, self.reactions.clone()));
        }
    }

    fn react(&mut self, user: Id, emoji: &str) -> Result<(), Fault> {
        let distinct = self.reactions.len();
        match self.reactions.iter_mut().find(|r| r.emoji == emoji) {
            Some(reaction) if reaction.users.contains(&user) => {
                return Err(Fault::code("already_reacted"));
            }
            Some(reaction) => reaction.users.push(user),
            None if distinct >= REACTIONS_PER_MESSAGE => {
                return Err(Fault::code("reaction_limit_reached"));
            }
            None => self.reactions.push(Reaction {
                emoji: emoji.to_owned(),
                users: vec![user],
            }),
        }
        Ok(())
    }

    fn unreact(&mut self, user: Id, emoji: &str) -> Result<(), Fault> {
        let reaction = self
            .reactions
            .iter_mut()
            .find(|reaction| reaction.emoji == emoji && reaction.users.contains(&user))
            .ok_or_else(|| Fault::code("reaction_not_found"))?;
        reaction.users.retain(|&known| known != user);
        self.reactions.retain(|reaction| !reaction.users.is_empty());
        Ok(())
    }
}

impl World {
    /// A bot reacts to a message.
    pub fn add_reaction(
        &mut self,
        bot: Id,
        channel: Id,
        message: i64,
        emoji: &str,
        now: Now,
    ) -> Result<(), Fault> {
        self.channel_for(bot, channel, REACT)?;
        self.change_reaction(bot, channel, message, emoji, false, now)
    }

    /// A bot takes its reaction back.
    pub fn remove_reaction(
        &mut self,
        bot: Id,
        channel: Id,
        message: i64,
        emoji: &str,
        now: Now,
    ) -> Result<(), Fault> {
        self.channel_for(bot, channel, 0)?;
        self.change_reaction(bot, channel, message, emoji, true, now)
    }

    /// A person reacts, or takes the reaction back (control API).
    pub fn react_as(
        &mut self,
        user: Id,
        channel: Id,
        message: i64,
        emoji: &str,
        remove: bool,
        now: Now,
    ) -> Result<(), Fault> {
        self.member_channel(user, channel, if remove { 0 } else { REACT })?;
        if emoji.is_empty() {
            return Err(Fault::bad("emoji must not be empty"));
        }
        self.change_reaction(user, channel, message, emoji, remove, now)
    }

    /// Whoever it is may do it: the reaction comes, or goes.
    fn change_reaction(
        &mut self,
        user: Id,
        channel: Id,
        message: i64,
        emoji: &str,
        remove: bool,
        now: Now,
    ) -> Result<(), Fault> {
        let known = self
            .channel_mut(channel)
            .and_then(|place| place.message_mut(message))
            .ok_or_else(|| Fault::code("message_not_found"))?;
        known.keep_shown(now);
        let kind = if remove {
            known.unreact(user, emoji)?;
            "reactionRemove"
        } else {
            known.react(user, emoji)?;
            "reactionAdd"
        };
        let space = self.channel(channel).map(|(space, _)| space.id);
        let payload = json!({
            "channelId": channel,
            "emoji": emoji,
            "messageId": message,
            "spaceId": space,
            "userId": user,
        });
        self.tell_in(channel, kind, payload);
        self.show(Show::Reactions(channel, message));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::world::Draft;
    use crate::sim::world::testing::{channel, world};

    #[test]
    fn a_reaction_is_once_per_user_and_emoji_and_twenty_emoji_a_message() {
        let (mut world, bot, now) = world();
        let general = channel(&world, "general");
        let id = world
            .send(bot, general, Draft::default(), Some(1), now)
            .expect("sent");
        let mut add = |emoji: &str| world.add_reaction(bot, general, id, emoji, now);
        add("0").expect("new");
        assert_eq!(
            add("0").expect_err("twice").error(),
            Some("already_reacted")
        );
        for n in 1..20 {
            add(&n.to_string()).expect("new");
        }
        let full = add("20").expect_err("full");
        assert_eq!(full.error(), Some("reaction_limit_reached"));
        world
            .remove_reaction(bot, general, id, "0", now)
            .expect("there");
        let gone = world.remove_reaction(bot, general, id, "0", now);
        assert_eq!(gone.expect_err("gone").error(), Some("reaction_not_found"));
    }
}
