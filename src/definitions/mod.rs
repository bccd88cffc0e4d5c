//! What editors and people read about the script API, made from the contract, the table of config keys
//! and one table of libraries: the type definitions ([`luau`], [`luaurc`]) and the reference
//! ([`reference`]). Tests load the definitions into Luau's own analyser, and compare the reference with
//! the file in the repository.

pub mod libraries;
mod luau;
mod reference;
pub mod standard;

pub use luau::{Reader, STD_FOLDER, keys_of, luau, luaurc, script_with};
pub use reference::reference;
