//! bot.toml and the environment as plain structs, one per section.

mod secret;

pub use secret::Secret;
