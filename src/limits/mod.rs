//! What every script is held to, as data: the bounds that no configuration changes, and the natives of
//! Luau that differ here because of them. The script room enforces them; the reference is generated
//! from them.

mod natives;

pub use natives::{NATIVES, Native};

/// Longest text that a pattern may be, in bytes.
pub const PATTERN_BYTES: usize = 10_000;
/// The most work between two safepoints of a pattern: bytes of the text times bytes of the pattern's
/// longest item (a class like `[a-z_]`), or times its captures, if they are more.
pub const PATTERN_WORK: usize = 1 << 25;
/// Longest text to look for literally (`string.find` with `plain`, `string.split`), in bytes.
pub const NEEDLE_BYTES: usize = 1 << 20;
/// Longest replacement text of `string.gsub`, in bytes.
pub const REPLACEMENT_BYTES: usize = 1 << 20;
/// The most values that one `string.format` takes.
pub const FORMAT_VALUES: usize = 10_000;
/// The most text that one `string.format` takes, its format included, in bytes.
pub const FORMAT_BYTES: usize = 16 << 20;
/// Longest format of `string.pack`, `unpack` and `packsize`, in bytes.
pub const PACK_FORMAT_BYTES: usize = 100_000;
/// Longest fixed-size text (`c10`) that such a format may name, in bytes.
pub const PACK_TEXT_BYTES: usize = 1 << 20;
/// Longest numeral of `tonumber`, in bytes.
pub const NUMERAL_BYTES: usize = 10_000;
/// Longest format of `os.date`, in bytes.
pub const DATE_FORMAT_BYTES: usize = 1_000;
