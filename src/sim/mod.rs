//! The embedded Argon server: real HTTP on the loopback interface, with a world that tests and people
//! can act in.
//!
//! An independent reading of the platform's protocol: it shares the contract's tables with the client
//! side of the host and nothing else, so that two readings check each other. Where documentation and
//! server of the platform differ, it does what the server does, unless it is told otherwise.
//!
//! | file | owns |
//! |---|---|
//! | `server` | start, stop, and the one lock that makes an act and its events one step |
//! | `world` | spaces, people, messages, commands, interactions: pure state, a method per act |
//! | `world_file` | a world as a file describes it |
//! | `behaviour` | what it does for each route and event, for the reference |
//! | `quirks` | where the platform's server and its documentation disagree |
//! | `events` | per-bot positions, buffers and intents: pure |
//! | `limits` | rate windows and concurrency |
//! | `params` | parameters checked against the contract |
//! | `wire` | the world in the platform's JSON |
//! | `routes` | what each route does, one file per interface |
//! | `stream` | the open event stream |
//! | `faults` | what goes wrong on request |
//! | `http` | authentication, dispatch, the order of the checks, the request log |
//! | `inspect` | what the playground's inspector is shown, and the notices of whoever runs the bots |
//! | `voice` | voice tokens, rooms and the sockets that carry Opus packets |
//! | `control` | `/_sim/*`: the world for the playground and for tests |
//! | `playground` | the page for browsers, embedded in the binary |
//! | `saved` | the world as JSON: snapshots, and a file that outlives the process |
//! | `clock` | time, and how tests move it |

pub mod behaviour;
mod clock;
mod control;
mod events;
mod faults;
mod http;
mod inspect;
mod limits;
mod log;
mod params;
mod playground;
mod quirks;
mod routes;
mod saved;
mod server;
mod stream;
mod voice;
mod walk;
mod wire;
mod world;
mod world_file;

pub use control::table::{ROWS as CONTROL, Row as ControlRow};
pub use faults::{FaultError, FaultSpec, Form, KINDS as FAULTS, KindRow, Target};
pub use inspect::{Gravity, Notice};
pub use limits::LimitScale;
pub use quirks::{DIFFERENCES, Difference, Quirks};
pub use server::{Bot, Error, NoticeBoard, Server, Settings};
pub use voice::VoiceStatus;
pub use world::Plan;
pub use world_file::{keys::SECTIONS as WORLD_SECTIONS, load as load_world, parse as parse_world};
