//! The contract, compiled for decoding: every word that Luau may see has a number (its place in the
//! VM's table of interned strings), every type is a small `Copy` value.
//!
//! The plan also learns. For each field of a shape it remembers which field followed it last time, and
//! for each container how many entries it had: a server writes the same fields in the same order, so
//! the next key is nearly always found by one comparison and tables get their size at once.

use std::cell::Cell;
use std::collections::HashMap;
use std::os::raw::c_int;

use crate::contract::{Enum, Field, Flags, Shape, Type, Union};

/// The place of a string in the VM's table of words, from 1.
pub(super) type Word = c_int;

/// A shape's place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShapeId(usize);

/// A list's or map's place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ElementId(usize);

/// What to make of a JSON value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Whatever it is, as it is: text, booleans and values without a known type.
    Any,
    /// A number, even where that costs precision.
    Number,
    /// A decimal string.
    Id,
    /// One of the words.
    Choice(usize),
    /// A name.
    Enum(usize),
    /// A set.
    Flags(usize),
    /// An object with known fields.
    Object(ShapeId),
    /// An array.
    List(ElementId),
    /// An object whose keys are data.
    Map(ElementId),
}

/// A field of a shape.
#[derive(Debug)]
pub(super) struct FieldPlan {
    pub name: &'static str,
    /// The name as a document without white space has it, `"name":`.
    token: Box<str>,
    pub word: Word,
    pub kind: Kind,
}

/// An object with known fields.
#[derive(Debug, Default)]
pub(super) struct ShapePlan {
    pub fields: Vec<FieldPlan>,
    /// `next[0]` is the field that came first, `next[i + 1]` the one that came after field `i`.
    next: Vec<Cell<usize>>,
    /// How many entries the last object had.
    pub size: Size,
}

impl ShapePlan {
    /// The field that is likely to come next, and its name as it would stand in the document; `before`
    /// is 0, or one more than the field that came before.
    #[inline]
    pub fn guess(&self, before: usize) -> Option<(usize, &str)> {
        let guess = self.next.get(before)?.get();
        Some((guess, &self.fields.get(guess)?.token))
    }

    /// The field of that name, which becomes the next guess.
    pub fn find(&self, name: &[u8], before: usize) -> Option<usize> {
        let found = self
            .fields
            .iter()
            .position(|field| field.name.as_bytes() == name)?;
        if let Some(next) = self.next.get(before) {
            next.set(found);
        }
        Some(found)
    }
}

/// Elements of one type.
#[derive(Debug)]
pub(super) struct ElementPlan {
    pub kind: Kind,
    /// How many the last container had.
    pub size: Size,
}

/// The number of entries of the last container of its kind.
#[derive(Debug, Default)]
pub(super) struct Size(Cell<c_int>);

impl Size {
    /// The most that is allocated ahead, lest one large payload make every later one large.
    const MOST: c_int = 32;

    pub fn hint(&self) -> c_int {
        self.0.get()
    }

    pub fn learn(&self, entries: c_int) {
        self.0.set(entries.min(Self::MOST));
    }
}

/// An enum with the words of its names.
#[derive(Debug)]
pub(super) struct EnumPlan {
    contract: &'static Enum,
    words: Vec<Word>,
}

impl EnumPlan {
    pub fn by_number(&self, number: f64) -> Option<Word> {
        let values = self.contract.values;
        let is = |at: usize| values.get(at).is_some_and(|&(n, _)| n as f64 == number);
        // Most enums count from 0 without a gap.
        let guess = number as usize;
        let at = if is(guess) {
            guess
        } else {
            (0..values.len()).find(|&at| is(at))?
        };
        self.words.get(at).copied()
    }

    pub fn by_name(&self, name: &[u8]) -> Option<Word> {
        let at = self
            .contract
            .values
            .iter()
            .position(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name))?;
        self.words.get(at).copied()
    }
}

/// A flag enum with a word for each bit.
#[derive(Debug)]
pub(super) struct FlagsPlan {
    pub contract: &'static Flags,
    /// The word of each bit; 0 where the contract has none.
    pub bits: [Word; 64],
}

/// A closed list of words.
#[derive(Debug)]
pub(super) struct ChoicePlan {
    words: &'static [&'static str],
    first: Vec<Word>,
}

impl ChoicePlan {
    pub fn find(&self, name: &[u8]) -> Option<Word> {
        let at = self
            .words
            .iter()
            .position(|known| known.as_bytes().eq_ignore_ascii_case(name))?;
        self.first.get(at).copied()
    }
}

/// Everything that has been compiled so far.
#[derive(Debug)]
pub(super) struct Plan {
    pub shapes: Vec<ShapePlan>,
    pub elements: Vec<ElementPlan>,
    pub enums: Vec<EnumPlan>,
    pub flags: Vec<FlagsPlan>,
    pub choices: Vec<ChoicePlan>,
    words: Vec<&'static str>,
    word_of: HashMap<&'static str, Word>,
    /// Places by the address of the contract's row.
    places: HashMap<usize, usize>,
}

/// Objects and arrays that the contract does not know.
pub(super) const ANY_OBJECT: ShapeId = ShapeId(0);
pub(super) const ANY_LIST: ElementId = ElementId(0);

impl Plan {
    pub fn new() -> Self {
        Plan {
            shapes: vec![ShapePlan::default()],
            elements: vec![ElementPlan {
                kind: Kind::Any,
                size: Size::default(),
            }],
            enums: Vec::new(),
            flags: Vec::new(),
            choices: Vec::new(),
            words: Vec::new(),
            word_of: HashMap::new(),
            places: HashMap::new(),
        }
    }

    /// Every word so far, in the order of their numbers.
    pub fn words(&self) -> &[&'static str] {
        &self.words
    }

    pub fn shape(&self, id: ShapeId) -> &ShapePlan {
        // Ids are made by `compile` alone, and shapes are never removed.
        &self.shapes[id.0]
    }

    pub fn element(&self, id: ElementId) -> &ElementPlan {
        // As for shapes.
        &self.elements[id.0]
    }

    /// The place of a shape that has been compiled.
    pub fn find(&self, shape: &'static Shape) -> Option<ShapeId> {
        self.places.get(&address(shape)).copied().map(ShapeId)
    }

    /// Adds a shape and all that it refers to.
    pub fn compile(&mut self, shape: &'static Shape) -> ShapeId {
        self.object(address(shape), shape.fields.iter())
    }

    fn union(&mut self, union: &'static Union) -> ShapeId {
        // What comes back may have the fields of any variant side by side.
        let variants = union.variants.iter().flat_map(|variant| variant.fields);
        self.object(address(union), union.common.iter().chain(variants))
    }

    fn object(&mut self, at: usize, fields: impl Iterator<Item = &'static Field>) -> ShapeId {
        if let Some(&place) = self.places.get(&at) {
            return ShapeId(place);
        }
        // The place is taken before the fields are looked at: a shape may contain itself.
        let id = self.shapes.len();
        self.places.insert(at, id);
        self.shapes.push(ShapePlan::default());
        let mut plan: Vec<FieldPlan> = Vec::new();
        for field in fields {
            if plan.iter().all(|known| known.name != field.name) {
                plan.push(FieldPlan {
                    name: field.name,
                    token: format!("\"{}\":", field.name).into(),
                    word: self.word(field.name),
                    kind: self.kind(&field.ty),
                });
            }
        }
        self.shapes[id].next = (0..=plan.len()).map(Cell::new).collect();
        self.shapes[id].fields = plan;
        ShapeId(id)
    }

    fn kind(&mut self, ty: &'static Type) -> Kind {
        match ty {
            Type::String | Type::Guid | Type::Time | Type::Bool | Type::Any => Kind::Any,
            Type::Int32 | Type::Uint32 | Type::Int64 | Type::Float => Kind::Number,
            Type::Id64 => Kind::Id,
            Type::Choice(words) => {
                let first = words.iter().map(|&word| self.word(word)).collect();
                self.choices.push(ChoicePlan { words, first });
                Kind::Choice(self.choices.len() - 1)
            }
            Type::Enum(contract) => {
                if let Some(&place) = self.places.get(&address(*contract)) {
                    return Kind::Enum(place);
                }
                let words = contract.names().map(|name| self.word(name)).collect();
                self.enums.push(EnumPlan { contract, words });
                let place = self.enums.len() - 1;
                self.places.insert(address(*contract), place);
                Kind::Enum(place)
            }
            Type::Flags(contract) => {
                if let Some(&place) = self.places.get(&address(*contract)) {
                    return Kind::Flags(place);
                }
                let mut bits = [0; 64];
                for &(mask, name) in contract.values {
                    bits[mask.trailing_zeros() as usize % 64] = self.word(name);
                }
                self.flags.push(FlagsPlan { contract, bits });
                let place = self.flags.len() - 1;
                self.places.insert(address(*contract), place);
                Kind::Flags(place)
            }
            Type::Object(shape) => Kind::Object(self.compile(shape)),
            Type::Union(union) => Kind::Object(self.union(union)),
            Type::List(element) => Kind::List(self.elements_of(element)),
            Type::Map(element) => Kind::Map(self.elements_of(element)),
        }
    }

    fn elements_of(&mut self, element: &'static Type) -> ElementId {
        let kind = self.kind(element);
        self.elements.push(ElementPlan {
            kind,
            size: Size::default(),
        });
        ElementId(self.elements.len() - 1)
    }

    fn word(&mut self, text: &'static str) -> Word {
        if let Some(&word) = self.word_of.get(text) {
            return word;
        }
        self.words.push(text);
        // The contract has some hundred words.
        let word = self.words.len() as Word;
        self.word_of.insert(text, word);
        word
    }
}

/// A row of the contract by its address. Two kinds of row never share one, because none is empty.
fn address<T>(row: &'static T) -> usize {
    std::ptr::from_ref(row) as usize
}
