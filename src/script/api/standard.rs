//! What the modules of `@std` get from the host, and scripts do not.
//!
//! * `problem(route, params)`: what the platform's contract has against these parameters of a route
//!   (`"messages.send"`), as one text that names each field, or nil. Nothing is sent, and parameters
//!   that are missing altogether are no problem: a message is judged before it has a channel.
//! * `buttonsPerRow`: the platform's limit.

use mlua::{Table, Value};

use super::{Kit, text};
use crate::contract::{self, Field, Type, limits};
use crate::rest;
use crate::script::errors::Fault;

pub(super) fn install(kit: &Kit) -> mlua::Result<()> {
    let std = kit.lua.create_table()?;
    let problem = kit.function(|guest, _, (route, params): (Value, Table)| {
        let name = text(&route, "the route")?;
        let route = name
            .split_once('.')
            .and_then(|(interface, method)| contract::luau_route(interface, method))
            .ok_or_else(|| Fault::text(format!("there is no route {name}")))?;
        let mut params = match guest.codec.encode_params(&params, route) {
            Ok(params) => params,
            Err(error) => return Ok(Some(error.to_string())),
        };
        for field in route.params().filter(|field| !field.optional) {
            params
                .entry(field.name)
                .or_insert_with(|| placeholder(field));
        }
        Ok(rest::Call::new(route, params)
            .err()
            .map(|error| error.message.unwrap_or(error.code)))
    })?;
    std.raw_set("problem", problem)?;
    std.raw_set("buttonsPerRow", limits::BUTTONS_PER_ROW)?;
    std.set_readonly(true);
    kit.host.raw_set("std", std)
}

/// Something that fits a parameter that is not there yet.
fn placeholder(field: &Field) -> serde_json::Value {
    match field.ty {
        Type::Guid => "00000000-0000-0000-0000-000000000001".into(),
        Type::String => "x".into(),
        _ => 1.into(),
    }
}
