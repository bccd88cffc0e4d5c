//! The Argon Bot API as data: the one place where routes, parameters, types, enums, events, intents,
//! limits and error codes stand. Lua bindings, request validation, the rate limiter, the embedded
//! server's routes, the type definitions and the reference are derived from these tables.
//!
//! Facts are those of API 1.9.0 with what its server does through 1.10.0. This room depends on nothing.

mod entities;
mod enums;
mod errors;
mod events;
pub mod limits;
mod routes;
pub mod schema;
pub mod shapes;

pub use entities::MESSAGE_ENTITY;
pub use enums::*;
pub use errors::ERROR_CODES;
pub use events::{EVENTS, INTENTS};
pub use routes::{INTERFACES, ROUTES};
pub use schema::{
    Enum, ErrorCode, Event, Field, Flags, Intent, Interface, Limit, Method, Retry, Route, Shape,
    Type, Union, Variant,
};

/// The two public addresses of the platform's API (protocol.md, "REST").
pub const BASE_URLS: &[&str] = &["https://gateway.argon.zone", "https://api.argon.gl/api/bot"];

/// Events that belong to the connection rather than to a space.
pub const CONNECTION_EVENTS: &[&str] = &["ready", "heartbeat", "resumed"];

/// The route with that interface (`IMessages`) and name (`Send`).
pub fn route(interface: &str, name: &str) -> Option<&'static Route> {
    ROUTES
        .iter()
        .find(|route| route.interface.name == interface && route.name == name)
}

/// The route that scripts call `interface.name` (`messages`, `send`).
pub fn luau_route(interface: &str, name: &str) -> Option<&'static Route> {
    ROUTES
        .iter()
        .find(|route| route.interface.luau_name() == interface && route.luau_name() == name)
}

/// The event with that name.
pub fn event(name: &str) -> Option<&'static Event> {
    EVENTS.iter().find(|event| event.name == name)
}

/// The intent with that name.
pub fn intent(name: &str) -> Option<&'static Intent> {
    INTENTS.iter().find(|intent| intent.name == name)
}

/// What a documented error code means.
pub fn error_code(code: &str) -> Option<&'static ErrorCode> {
    ERROR_CODES.iter().find(|known| known.code == code)
}
