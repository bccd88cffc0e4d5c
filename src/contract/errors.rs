//! The platform's documented failures.

use super::schema::ErrorCode;

const fn code(status: u16, code: &'static str, doc: &'static str) -> ErrorCode {
    ErrorCode { code, status, doc }
}

/// Every error code, by status. One code always comes with the same status.
pub static ERROR_CODES: &[ErrorCode] = &[
    code(400, "accept_failed", "The call could not be accepted."),
    code(400, "command_limit", "The scope already has 50 commands."),
    code(
        400,
        "invalid_description",
        "The description is longer than 100 characters.",
    ),
    code(
        400,
        "invalid_name",
        "A command name is 1 to 32 lower-case letters, digits, - or _.",
    ),
    code(
        400,
        "kick_failed",
        "The person could not be removed; perhaps they are not in the channel.",
    ),
    code(
        400,
        "missing_space_id",
        "The route wants spaceId in the query, too.",
    ),
    code(400, "not_ringing", "The call does not ring any more."),
    code(
        400,
        "not_voice_channel",
        "The channel is not a voice channel.",
    ),
    code(400, "validation_error", "The modal is not valid."),
    code(
        403,
        "insufficient_permissions",
        "The bot lacks the entitlement for this.",
    ),
    code(
        403,
        "missing_intents",
        "The intents of the stream are empty or not allowed for this bot.",
    ),
    code(403, "not_a_member", "The bot is not in this space."),
    code(403, "not_callee", "The call is not for this bot."),
    code(403, "not_verified", "Only verified bots may do this."),
    code(
        404,
        "channel_not_found",
        "There is no such channel in the space.",
    ),
    code(
        404,
        "interaction_not_found",
        "The interaction does not exist, was used up, or is older than 60 seconds.",
    ),
    code(
        404,
        "message_not_found",
        "There is no such message in the channel, or it is not the bot's.",
    ),
    code(
        404,
        "not_found",
        "There is no such thing, or it is not the bot's.",
    ),
    code(
        404,
        "reaction_not_found",
        "The bot has not reacted with this emoji.",
    ),
    code(
        409,
        "already_reacted",
        "The bot has already reacted with this emoji.",
    ),
    code(
        422,
        "reaction_limit_reached",
        "The message already has 20 different emoji.",
    ),
    code(
        429,
        "rate_limited",
        "Too many requests; the host waits for its turn before this can happen.",
    ),
];
