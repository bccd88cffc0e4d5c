//! What scripts have: libraries, modules, and the bounds within which they run.

use std::fmt::Write as _;

use super::{code, row, table};
use crate::definitions::libraries::{LIBRARIES, Library};
use crate::definitions::standard::{STD_DOCS, StdDoc};
use crate::limits::{BOUNDS, NATIVES};

pub(super) fn libraries(out: &mut String) {
    out.push_str("\n## Libraries\n");
    for library in LIBRARIES {
        self::library(out, library);
    }
}

pub(super) fn modules(out: &mut String) {
    out.push_str(
        "\n## Modules\n\n`require(\"@std/NAME\")` gives a module that is built in. Their types are theirs: \
         `argon-host types` puts them beside your scripts, where editors find them.\n",
    );
    for module in STD_DOCS {
        self::module(out, module);
    }
}

fn library(out: &mut String, library: &Library) {
    let _ = write!(out, "\n### {}\n\n{}\n\n", library.name, library.doc);
    for member in library.members {
        let _ = writeln!(
            out,
            "- `{}{}`: {}",
            member.path, member.signature, member.doc
        );
    }
    code(out, library.example);
}

fn module(out: &mut String, module: &StdDoc) {
    let _ = write!(out, "\n### @std/{}\n\n{}\n\n", module.name, module.doc);
    for (signature, doc) in module.members {
        let _ = writeln!(out, "- `{signature}`: {doc}");
    }
    code(out, module.example);
}

pub(super) fn bounds(out: &mut String) {
    out.push_str(
        "\n### Limits of a script\n\nBeside what `[limits]` sets. A script that is over one of them harms nobody else.\n\n",
    );
    table(out, &["What", "At most", "Beyond that"]);
    for bound in BOUNDS {
        row(out, &[bound.what, &bound.most.to_string(), bound.beyond]);
    }
    out.push_str(
        "\nA handler that computes for longer than two milliseconds lets the other handlers of its script run in \
         between, unless it is inside a coroutine of its own, a sort comparator, a `gsub` callback or a metamethod; \
         the top level is never interrupted before its first wait. CPU time counts for a handler and what it starts \
         together; what goes on in the background after the handler has ended has `cpu_per_event` between two \
         waits. Past it, every safepoint raises until nothing of the run is left.\n\n\
         ### Luau's functions with bounds\n\nThese differ from Luau's own, because a function that cannot be ended \
         could hold a script, its reload and the shutdown for as long as it runs. `getfenv`, `setfenv`, `loadstring` \
         and most of `os` and `debug` are not there; `collectgarbage` knows `\"count\"` only. Luau's own \
         conformance scripts pass otherwise (`tests/luau/conformance/upstream` lists the lines that do not apply).\n\n",
    );
    table(out, &["Function", "Here", "Why"]);
    for native in NATIVES {
        let name = match native.library {
            "" => format!("`{}`", native.name),
            library => format!("`{library}.{}`", native.name),
        };
        row(out, &[&name, native.rule, native.reason]);
    }
}
