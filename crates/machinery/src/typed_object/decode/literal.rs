//! The leaves of a JSON document: strings as leniently as Go reads them, numbers as they stand in the text.

use serde_json::Value;

use super::Reader;

/// What a literal is in Go's errors.
pub(super) enum Literal {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
}

impl Reader<'_> {
    pub(super) fn next_literal(&mut self) -> Literal {
        match self.peek() {
            b'"' => Literal::Text(self.text()),
            b't' => {
                self.at += 4;
                Literal::Bool(true)
            }
            b'f' => {
                self.at += 5;
                Literal::Bool(false)
            }
            b'n' => {
                self.at += 4;
                Literal::Null
            }
            _ => {
                let start = self.at;
                while matches!(self.data.get(self.at), Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
                    self.at += 1;
                }
                if self.at == start {
                    // cannot be in valid JSON; go on so that the reading ends
                    self.at = self.data.len();
                }
                Literal::Number(String::from_utf8_lossy(self.data.get(start..self.at).unwrap_or_default()).into_owned())
            }
        }
    }

    /// A string, read as leniently as Go does: what is no UTF-8 becomes U+FFFD.
    pub(super) fn text(&mut self) -> String {
        self.peek();
        self.at += 1;
        let mut raw = Vec::new();
        while let Some(byte) = self.data.get(self.at).copied() {
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    let escape = self.data.get(self.at).copied().unwrap_or_default();
                    self.at += 1;
                    let character = match escape {
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        b'u' => self.escaped_character(),
                        other => char::from(other),
                    };
                    raw.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                other => raw.push(other),
            }
        }
        String::from_utf8_lossy(&raw).into_owned()
    }

    fn hexadecimal(&self, at: usize) -> Option<u32> {
        let digits = std::str::from_utf8(self.data.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    }

    /// What follows `\u`, with the second half of a surrogate pair.
    fn escaped_character(&mut self) -> char {
        let first = self.hexadecimal(self.at).unwrap_or(0xfffd);
        self.at += 4;
        if (0xd800..0xdc00).contains(&first)
            && self.data.get(self.at..self.at + 2) == Some(b"\\u")
            && let Some(second @ 0xdc00..0xe000) = self.hexadecimal(self.at + 2)
        {
            self.at += 6;
            return char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).unwrap_or('\u{fffd}');
        }
        char::from_u32(first).unwrap_or('\u{fffd}')
    }
}

/// A literal as it is, whatever the type.
pub(super) fn generic(literal: Literal) -> Value {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(flag) => flag.into(),
        Literal::Text(text) => text.into(),
        Literal::Number(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
    }
}
