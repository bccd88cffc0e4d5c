//! When to reload: the watch on the scripts folder, and how long a change is left to settle.

mod poll;
pub(super) mod settle;
pub(super) mod watch;

pub use watch::Watch;
