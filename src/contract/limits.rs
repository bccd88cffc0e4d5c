//! Numbers that the platform sets: rate limits, lifetimes and sizes (protocol.md).

use std::time::Duration;

/// Length of a rate limit window (protocol.md, "Rate limits").
pub const RATE_WINDOW: Duration = Duration::from_secs(60);
/// Segments in a window; permits come back when their segment leaves it.
pub const RATE_SEGMENTS: u32 = 6;
/// Requests of one bot that may run at the same time, the open event stream included.
pub const CONCURRENT_REQUESTS: usize = 10;
/// How long an interaction can be answered.
pub const INTERACTION_LIFETIME: Duration = Duration::from_secs(60);
/// How long the platform remembers a `randomId`.
pub const RANDOM_ID_LIFETIME: Duration = Duration::from_secs(120);
/// When a typing indicator ends by itself.
pub const TYPING_LIFETIME: Duration = Duration::from_secs(8);
/// Distance of the stream's heartbeats when nothing else happens.
pub const HEARTBEAT: Duration = Duration::from_secs(30);

/// Rows of controls on a message.
pub const CONTROL_ROWS: usize = 5;
/// Buttons in one row; a row with a select holds nothing else.
pub const BUTTONS_PER_ROW: usize = 5;
/// Text of a button, UTF-16 code units.
pub const BUTTON_LABEL: usize = 80;
/// Identifier of a button, select, modal or component, UTF-16 code units.
pub const CUSTOM_ID: usize = 100;
/// Address of a link button, UTF-16 code units.
pub const BUTTON_URL: usize = 512;
/// Hint in an empty select, UTF-16 code units.
pub const SELECT_PLACEHOLDER: usize = 150;
/// Options of a string select.
pub const SELECT_OPTIONS: usize = 25;
/// Lightness of a control's colour (OKLCH).
pub const COLOUR_LIGHTNESS: (f64, f64) = (0.40, 0.80);
/// Chroma of a control's colour (OKLCH).
pub const COLOUR_CHROMA: (f64, f64) = (0.0, 0.37);
/// Hue of a control's colour in degrees (OKLCH), the end excluded.
pub const COLOUR_HUE: (f64, f64) = (0.0, 360.0);
/// Title of a modal and label of a component, UTF-16 code units.
pub const MODAL_TITLE: usize = 45;
/// Components of a modal.
pub const MODAL_COMPONENTS: usize = 5;
/// Text in a modal's text input, UTF-16 code units.
pub const MODAL_TEXT: i32 = 4000;
/// Name of a command, UTF-16 code units.
pub const COMMAND_NAME: usize = 32;
/// Description of a command or option, UTF-16 code units.
pub const COMMAND_DESCRIPTION: usize = 100;
/// Commands in one scope (global, or one space).
pub const COMMANDS_PER_SCOPE: usize = 50;
/// Distinct emoji on one message.
pub const REACTIONS_PER_MESSAGE: usize = 20;
/// Messages in one `IReactions/BatchGet`.
pub const REACTION_BATCH: usize = 50;
/// Messages in one page of history, and the number that comes when none is asked for.
pub const HISTORY_PAGE: (i32, i32) = (100, 50);
