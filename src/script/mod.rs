//! Everything that knows Luau.

pub mod json;
