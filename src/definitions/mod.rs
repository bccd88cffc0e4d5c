//! What editors and people read about the script API, made from the contract and one table of
//! libraries.

pub mod libraries;
