//! Which events of a scope came already: the de-duplication window, in memory and on disk.
//!
//! Per scope (a space, or the bot itself) it holds the highest sequence and a bitmap of the [`WINDOW`]
//! sequences up to it, so that an event that comes out of order is new and one that comes twice is not.

/// Sequences remembered per scope: more than the 5,000 events that the platform can replay.
pub const WINDOW: u64 = 8192;

const WORDS: usize = (WINDOW / 64) as usize;

/// Within what sequences grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The space with that id.
    Space(u128),
    /// Events that are sent to the bot itself.
    Direct,
}

impl Scope {
    /// The scope as a key of the database: the id's 16 bytes, or none.
    pub(super) fn to_key(self) -> Vec<u8> {
        match self {
            Scope::Space(id) => id.to_be_bytes().to_vec(),
            Scope::Direct => Vec::new(),
        }
    }

    pub(super) fn of_key(key: &[u8]) -> Option<Self> {
        match key {
            [] => Some(Scope::Direct),
            key => Some(Scope::Space(u128::from_be_bytes(key.try_into().ok()?))),
        }
    }
}

/// What came of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    highest: u64,
    /// One bit for each sequence in (`highest` − [`WINDOW`], `highest`], at its remainder.
    bits: Box<[u64; WORDS]>,
}

impl Window {
    /// The window of a scope of which this sequence came first.
    pub fn starting_with(sequence: u64) -> Self {
        let mut window = Self {
            highest: sequence,
            bits: Box::new([0; WORDS]),
        };
        window.set(sequence);
        window
    }

    /// The highest sequence that came.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Marks a sequence; whether it was new. None when it lies further back than the window reaches, so
    /// that nobody can tell.
    pub fn mark(&mut self, sequence: u64) -> Option<bool> {
        if self.highest.saturating_sub(sequence) >= WINDOW {
            return None;
        }
        if sequence > self.highest {
            self.advance(sequence);
        }
        Some(self.set(sequence))
    }

    fn set(&mut self, sequence: u64) -> bool {
        let bit = sequence % WINDOW;
        let word = &mut self.bits[(bit / 64) as usize];
        let new = *word & (1 << (bit % 64)) == 0;
        *word |= 1 << (bit % 64);
        new
    }

    /// Moves the window up to `sequence`, which is above `highest`.
    fn advance(&mut self, sequence: u64) {
        if sequence - self.highest >= WINDOW {
            self.bits.fill(0);
        } else {
            for passed in self.highest + 1..=sequence {
                let bit = passed % WINDOW;
                self.bits[(bit / 64) as usize] &= !(1 << (bit % 64));
            }
        }
        self.highest = sequence;
    }

    /// The window as the database keeps it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + WORDS * 8);
        bytes.extend_from_slice(&self.highest.to_le_bytes());
        for word in self.bits.iter() {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// None for bytes that are no window.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        if words.len() != 1 + WORDS || !rest.is_empty() {
            return None;
        }
        let mut bits = Box::new([0; WORDS]);
        for (bit, word) in bits.iter_mut().zip(&words[1..]) {
            *bit = u64::from_le_bytes(*word);
        }
        Some(Self {
            highest: u64::from_le_bytes(words[0]),
            bits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_comes_back_from_its_bytes_as_it_was() {
        let mut window = Window::starting_with(5);
        for sequence in [9, 7, 8000, 20_000, 19_999, 15_000] {
            window.mark(sequence);
        }
        assert_eq!(Window::of_bytes(&window.to_bytes()), Some(window));
        assert_eq!(Window::of_bytes(&[0; 16]), None);
    }

    #[test]
    fn a_scope_comes_back_from_its_key() {
        for scope in [Scope::Direct, Scope::Space(7)] {
            assert_eq!(Scope::of_key(&scope.to_key()), Some(scope));
        }
        assert_eq!(Scope::of_key(b"short"), None);
    }

    #[test]
    fn what_lies_too_far_back_cannot_be_told() {
        let mut window = Window::starting_with(WINDOW + 10);
        assert_eq!(window.mark(10), None);
        assert_eq!(window.mark(11), Some(true));
        assert_eq!(window.mark(11), Some(false));
    }
}
