//! Health, status, metrics and reload over local HTTP, for people and programs that run the host.
//!
//! It knows bots only as [`Bot`]s that are entered into a [`Roll`]; the composition root makes them. It has
//! no password: `guard` keeps foreign pages away, and whoever makes it listen on an address that others
//! reach lets them in (the config warns).
//!
//! Status and metrics are made of the same [`Facts`], so that they cannot disagree.

pub mod facts;
mod http;
pub mod metrics;
mod roll;
mod server;

pub use facts::Facts;
pub use http::{AdminRoute, ROUTES};
pub use roll::{Bot, BoxFuture, Refusal, Roll};
pub use server::{Error, Server};
