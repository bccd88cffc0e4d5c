//! Random documents, held against serde_json.

use serde_json::{Map, Number};

use super::*;

/// xorshift64*: the same documents on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % end
    }

    fn value(&mut self, depth: u64) -> Json {
        match self.below(if depth < 6 { 10 } else { 7 }) {
            0 => Json::Null,
            1 => Json::Bool(self.below(2) == 0),
            2 => Json::from(self.below(1000) as i64 - 500),
            3 => Json::from(((self.below(1 << 32) << 32) | self.below(1 << 32)) as i64),
            4 => {
                let float = f64::from_bits((self.below(1 << 32) << 32) | self.below(1 << 32));
                Number::from_f64(float).map_or(Json::Null, Json::Number)
            }
            5 | 6 => Json::String(self.text()),
            7 => (0..self.below(8)).map(|_| self.value(depth + 1)).collect(),
            _ => {
                let fields = self.below(8);
                let fields = (0..fields).map(|_| (self.text(), self.value(depth + 1)));
                Json::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    fn text(&mut self) -> String {
        const CHARACTERS: &[char] = &[
            'a', 'b', 'Z', '0', ' ', '"', '\\', '/', '\n', '\0', '\u{7f}', 'é', '—', '字', '🎲',
        ];
        let length = self.below(20);
        (0..length)
            .map(|_| CHARACTERS[self.below(CHARACTERS.len() as u64) as usize])
            .collect()
    }
}

/// The same document with every character of its strings beyond ASCII escaped.
fn ascii(json: &str) -> String {
    let mut out = String::new();
    for character in json.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04X}"));
            }
        }
    }
    out
}

#[test]
fn random_documents_mean_what_serde_json_says() {
    let (lua, codec) = vm();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..3000 {
        let json = random.value(0);
        let compact = json.to_string();
        for text in [compact.clone(), format!(" {json:#}\r\n\t"), ascii(&compact)] {
            let value = codec.decode_any(&lua, text.as_bytes()).unwrap();
            assert_means(&value, &json, &format!("round {round}"));
        }
    }
}

#[test]
fn damaged_documents_are_refused_exactly_when_serde_json_refuses_them() {
    const SPLINTERS: &[u8] = b"\"\\{}[]:,0123456789.eE+-truefalsn u\n\x01x";
    let (lua, codec) = vm();
    let mut random = Random(0x0123_4567_89ab_cdef);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = random.value(2).to_string().into_bytes();
        for _ in 0..=random.below(2) {
            let at = random.below(bytes.len() as u64 + 1) as usize;
            let splinter = SPLINTERS[random.below(SPLINTERS.len() as u64) as usize];
            match random.below(3) {
                0 => bytes.insert(at, splinter),
                1 if at < bytes.len() => bytes[at] = splinter,
                _ => bytes.truncate(at.max(1)),
            }
        }
        let theirs = serde_json::from_slice::<Json>(&bytes).is_ok();
        let ours = codec.decode_any(&lua, &bytes);
        let text = String::from_utf8_lossy(&bytes);
        // Lone surrogates are the one thing that we accept and they do not.
        if !text.to_ascii_lowercase().contains("\\ud") {
            assert_eq!(ours.is_ok(), theirs, "{text}: {ours:?}");
        }
        *(if theirs { &mut accepted } else { &mut refused }) += 1;
    }
    assert!(
        accepted > 1000 && refused > 1000,
        "{accepted} and {refused}"
    );
}

#[test]
fn random_data_survives_the_way_out_and_back() {
    let (lua, codec) = vm();
    let mut random = Random(0xfeed_beef_dead_cafe);
    let mut survived = 0;
    for _ in 0..2000 {
        let json = random.value(0);
        let value = codec.decode_any(&lua, json.to_string().as_bytes()).unwrap();
        // Arrays with nulls inside have holes, which are refused.
        if let Ok(text) = codec.encode_any(&value) {
            let again = codec.decode_any(&lua, text.as_bytes()).unwrap();
            assert_eq!(codec.encode_any(&again).unwrap(), text);
            survived += 1;
        }
    }
    assert!(survived > 1000);
}
