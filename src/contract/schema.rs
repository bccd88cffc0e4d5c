//! The vocabulary in which the contract's tables are written: types, fields, shapes, routes, events.
//!
//! Everything here is `const`-constructible, so that a table is a `static` without a constructor at
//! run time, and a row reads as a row.

/// The type of a value on the wire, with what the host makes of it on the Luau side.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// Text.
    String,
    /// A 128-bit id as text (space, channel, user, …). Opaque: only emptiness is refused.
    Guid,
    /// An ISO 8601 instant as text.
    Time,
    /// A 32-bit signed integer.
    Int32,
    /// A 32-bit unsigned integer.
    Uint32,
    /// A 64-bit integer that counts something (a file size, a timestamp): a number in Luau.
    Int64,
    /// A 64-bit integer that names something (a message): a string in Luau, because ids exceed 2^53.
    Id64,
    /// `true` or `false`.
    Bool,
    /// A floating point number.
    Float,
    /// Any JSON value.
    Any,
    /// One of a closed list of words that the wire carries as a word (upper-case in events).
    Choice(&'static [&'static str]),
    /// An enum: an integer in requests, an integer or a name in what comes back.
    Enum(&'static Enum),
    /// A set of bits: an integer on the wire (or names in one string), a set in Luau.
    Flags(&'static Flags),
    /// An object with known fields.
    Object(&'static Shape),
    /// An array.
    List(&'static Type),
    /// An object whose keys are data.
    Map(&'static Type),
    /// An object whose fields depend on a tag.
    Union(&'static Union),
}

/// A wire enum: a name for each number.
#[derive(Debug)]
pub struct Enum {
    /// The enum's name in the reference and in the Luau type definitions.
    pub name: &'static str,
    /// `(number, camelCase name)`, ascending by number.
    pub values: &'static [(i64, &'static str)],
}

impl Enum {
    /// The number of a name; letter case is ignored, because the wire knows `text`, `Text` and `TEXT`.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.values
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|&(number, _)| number)
    }

    /// The camelCase name of a number.
    pub fn name_of(&self, number: i64) -> Option<&'static str> {
        match self.values.get(usize::try_from(number).ok()?) {
            // Most enums count from 0 without a gap.
            Some(&(at, name)) if at == number => Some(name),
            _ => self
                .values
                .iter()
                .find(|&&(at, _)| at == number)
                .map(|&(_, name)| name),
        }
    }

    /// Every name, in the order of the numbers.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.values.iter().map(|&(_, name)| name)
    }
}

/// A wire bit set: a name for each mask.
#[derive(Debug)]
pub struct Flags {
    /// The set's name in the reference and in the Luau type definitions.
    pub name: &'static str,
    /// `(mask with one bit, camelCase name)`, ascending.
    pub values: &'static [(u64, &'static str)],
}

impl Flags {
    /// The mask of a name; letter case is ignored. `none` is the empty set.
    pub fn mask(&self, name: &str) -> Option<u64> {
        if name.eq_ignore_ascii_case("none") {
            return Some(0);
        }
        self.values
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|&(mask, _)| mask)
    }
}

/// An object type: its fields by name.
#[derive(Debug)]
pub struct Shape {
    /// The platform's name of the type.
    pub name: &'static str,
    /// The fields that are documented; others may appear over time and are passed through.
    pub fields: &'static [Field],
}

impl Shape {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// An object type whose fields depend on a tag field.
#[derive(Debug)]
pub struct Union {
    /// The platform's name of the type.
    pub name: &'static str,
    /// The field that says which variant it is.
    pub tag: &'static str,
    /// The tag's values.
    pub tags: &'static Enum,
    /// Fields of every variant, the tag among them.
    pub common: &'static [Field],
    /// The variants; a tag without one has the common fields only.
    pub variants: &'static [Variant],
}

impl Union {
    /// The fields that only this tag value has.
    pub fn own_fields(&self, tag: &str) -> &'static [Field] {
        self.variants
            .iter()
            .find(|variant| variant.tag == tag)
            .map_or(&[], |variant| variant.fields)
    }

    /// A field by name, whatever the variant (variants never give one name two types).
    pub fn any_field(&self, name: &str) -> Option<&'static Field> {
        self.common
            .iter()
            .chain(self.variants.iter().flat_map(|variant| variant.fields))
            .find(|field| field.name == name)
    }
}

/// One variant of a [`Union`].
#[derive(Debug)]
pub struct Variant {
    /// The tag's value.
    pub tag: &'static str,
    /// The platform's name of the variant.
    pub name: &'static str,
    /// The fields beside the common ones.
    pub fields: &'static [Field],
}

/// What a value may be beyond its type. Text is measured in UTF-16 code units, as the platform does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// No limit is documented.
    None,
    /// Text length in UTF-16 code units, inclusive.
    Length(usize, usize),
    /// Number of elements, inclusive.
    Count(usize, usize),
    /// Numeric range, inclusive.
    Range(f64, f64),
    /// Numeric range, the upper end excluded.
    Below(f64, f64),
}

/// One field of a shape or one parameter of a route.
#[derive(Debug)]
pub struct Field {
    /// The name on the wire, camelCase.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// Whether it may be absent or null.
    pub optional: bool,
    /// Its documented limit.
    pub limit: Limit,
}

/// A required field without a limit.
pub const fn field(name: &'static str, ty: Type) -> Field {
    Field {
        name,
        ty,
        optional: false,
        limit: Limit::None,
    }
}

impl Field {
    /// The same field, allowed to be absent or null.
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The same field with a limit.
    pub const fn limit(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }
}

/// The HTTP method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or triggers.
    Post,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// The method's token in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// When a request may be sent again although the first one may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Asking twice is the same as asking once.
    Idempotent,
    /// The platform de-duplicates by the request's `randomId` (2 minutes, per channel).
    RandomId,
    /// A second request is refused with `code` when the first one took effect; that refusal then
    /// means success, and `body` is the answer that was lost.
    Settles {
        /// The refusal's error code.
        code: &'static str,
        /// The JSON answer of the request whose response was lost.
        body: &'static str,
    },
    /// It might act twice: never again by itself.
    Never,
}

/// The part of the platform's API that one route belongs to.
#[derive(Debug)]
pub struct Interface {
    /// The platform's name, `IMessages`.
    pub name: &'static str,
    /// The version in the path.
    pub version: u32,
    /// Requests a minute that an unverified bot may make (protocol.md, "Rate limits").
    pub per_minute: u32,
    /// One line for the reference.
    pub doc: &'static str,
}

impl Interface {
    /// The name of the interface's table in Luau: without `I`, first letter lowered.
    pub fn luau_name(&self) -> String {
        lower_first(&self.name[1..])
    }
}

/// One route of the platform.
#[derive(Debug)]
pub struct Route {
    /// The interface it belongs to.
    pub interface: &'static Interface,
    /// The method's name, the last part of the path: `Send`.
    pub name: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// Parameters in the query string.
    pub query: &'static [Field],
    /// Parameters in the JSON body, with the platform's name of the body's type.
    pub body: Option<&'static Shape>,
    /// The shape of the answer; `None` for an empty one.
    pub response: Option<&'static Shape>,
    /// The codes of the documented failures; [`super::error_code`] explains them.
    pub errors: &'static [&'static str],
    /// The permission that the bot needs in the space or channel.
    pub permission: Option<&'static str>,
    /// For verified bots only.
    pub privileged: bool,
    /// Whether it may be sent twice.
    pub retry: Retry,
    /// One line for the reference.
    pub doc: &'static str,
}

impl Route {
    /// The path below the base address, `/IMessages/v1/Send`.
    pub fn path(&self) -> String {
        format!(
            "/{}/v{}/{}",
            self.interface.name, self.interface.version, self.name
        )
    }

    /// How errors and logs name the route: `IMessages/Send`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.interface.name, self.name)
    }

    /// The name of the function in Luau: `send`.
    pub fn luau_name(&self) -> String {
        lower_first(self.name)
    }

    /// How scripts, permissions and docs name the route: `messages.send`.
    pub fn permission_name(&self) -> String {
        format!("{}.{}", self.interface.luau_name(), self.luau_name())
    }

    /// Every parameter, those of the query first.
    pub fn params(&self) -> impl Iterator<Item = &'static Field> {
        let body = self.body.map_or(&[][..], |shape| shape.fields);
        self.query.iter().chain(body)
    }

    /// The parameter of that name.
    pub fn param(&self, name: &str) -> Option<&'static Field> {
        self.params().find(|field| field.name == name)
    }
}

/// A failure that the platform documents.
#[derive(Debug)]
pub struct ErrorCode {
    /// The `error` of the body.
    pub code: &'static str,
    /// The HTTP status it comes with.
    pub status: u16,
    /// What it means, for the reference.
    pub doc: &'static str,
}

/// A group of events that a bot asks for when it opens the stream.
#[derive(Debug)]
pub struct Intent {
    /// The name in `bot.toml`, camelCase.
    pub name: &'static str,
    /// The bit in the stream's `intents` mask.
    pub bit: u32,
    /// For verified bots only.
    pub privileged: bool,
}

impl Intent {
    /// The intent's mask.
    pub const fn mask(&self) -> u64 {
        1 << self.bit
    }
}

/// One event of the stream.
#[derive(Debug)]
pub struct Event {
    /// The SSE event name, camelCase.
    pub name: &'static str,
    /// The payload.
    pub payload: &'static Shape,
    /// The intent that asks for it; `None` comes whatever the intents.
    pub intent: Option<&'static str>,
    /// One line for the reference.
    pub doc: &'static str,
}

/// `Send` becomes `send`.
fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_ascii_lowercase().to_string() + chars.as_str()
    })
}
