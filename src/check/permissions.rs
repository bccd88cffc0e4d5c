//! Calls that a script's `allow`, `deny` and `http` refuse.
//!
//! Each file tells which routes and URLs it names and which modules it requires ([`Uses`]). A script answers for
//! its own file and for every module that it reaches: a module may be right for one script and refused
//! for another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::config::{Config, Problem};
use crate::contract::{self, Route};
use crate::modules::Found;

/// What a file does that permissions are about.
#[derive(Default)]
pub struct Uses {
    /// The routes it names, each with a problem that is at the right place and says nothing yet.
    pub routes: Vec<(&'static Route, Problem)>,
    /// The URLs that it gives to `argon.http.request` as they are, each with such a problem.
    pub urls: Vec<(Url, Problem)>,
    /// The modules it requires, canonical.
    pub modules: Vec<PathBuf>,
}

/// What the methods of an event call; `kind` is the event's type, if the text says it.
pub fn of_method(name: &str, kind: Option<&str>) -> Option<&'static Route> {
    let (interface, method) = match name {
        "react" => ("IReactions", "Add"),
        "edit" => ("IInteractions", "EditMessage"),
        "ack" => ("IInteractions", "Ack"),
        "defer" => ("IInteractions", "Defer"),
        "modal" => ("IInteractions", "Modal"),
        "reply" => {
            let event = contract::event(kind?)?;
            match event.payload.field("interactionId") {
                Some(_) => ("IInteractions", "Reply"),
                None => ("IMessages", "Send"),
            }
        }
        _ => return None,
    };
    contract::route(interface, method)
}

/// Every refused call of the bot's scripts. `files` are all files of its scripts folder, canonical.
pub fn refused(config: &Config, found: &[Found], files: &BTreeMap<PathBuf, Uses>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for script in found {
        let section = config.script(&script.name);
        if !section.enabled {
            continue;
        }
        let permissions = section.permissions();
        let mut refuse = |place: &Problem, message: String, remedy: String| {
            let mut problem = place.clone();
            problem.message = message;
            problems.push(problem.help(remedy));
        };
        for file in reached(&script.path, files) {
            let Some(uses) = files.get(&file) else {
                continue;
            };
            for (route, place) in &uses.routes {
                let name = route.permission_name();
                if !permissions.allows(&name) {
                    let message = format!("the script {} may not call {name}", script.name);
                    refuse(place, message, permissions.remedy(&script.name, &name));
                }
            }
            for (url, place) in &uses.urls {
                if let Err(missing) = section.http.permit(&script.name, url) {
                    refuse(place, missing.message, missing.remedy);
                }
            }
        }
    }
    problems
}

/// A script's file and all modules that it requires, directly or through others.
fn reached(script: &Path, files: &BTreeMap<PathBuf, Uses>) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut next = vec![script.to_owned()];
    while let Some(file) = next.pop() {
        if let Some(uses) = files.get(&file)
            && !reached.contains(&file)
        {
            next.extend(uses.modules.iter().cloned());
        }
        reached.insert(file);
    }
    reached
}
