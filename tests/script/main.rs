//! What scripts can do, seen from outside: real scripts in a folder, events through a real inbox, calls
//! through the real client to a local server. Scripts tell what they see with `print`; each test uses
//! script names of its own, because all share the process's log.

mod bounds;
mod budget;
mod coroutines;
mod cron;
mod events;
mod http;
mod kv;
mod lifecycle;
mod modules;
mod natives;
mod permissions;
mod platform;
mod support;
