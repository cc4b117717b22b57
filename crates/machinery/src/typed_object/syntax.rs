//! Whether bytes are JSON, in the words of Go's `encoding/json`.

/// Deeper values are refused.
const MAXIMUM_DEPTH: usize = 10_000;

/// What the scanner is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Object,
    Array,
}

/// Checks that `data` is one JSON value.
///
/// # Errors
/// The text of Go's `SyntaxError`.
pub(super) fn check(data: &[u8]) -> Result<(), String> {
    let mut scanner = Scanner { data, at: 0, open: Vec::new() };
    scanner.value()?;
    scanner.skip_space();
    match scanner.peek() {
        None => Ok(()),
        Some(byte) => Err(invalid(byte, "after top-level value")),
    }
}

fn invalid(byte: u8, context: &str) -> String {
    let shown = match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => {
            let quoted = crate::status_error::quote(&char::from(byte).to_string());
            format!("'{}'", quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default())
        }
    };
    format!("invalid character {shown} {context}")
}

struct Scanner<'d> {
    data: &'d [u8],
    at: usize,
    open: Vec<Open>,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek().ok_or("unexpected end of JSON input")?;
        self.at += 1;
        Ok(byte)
    }

    /// Within literals the end reads as a space, which does not belong there.
    fn next_or_space(&mut self) -> u8 {
        self.next().unwrap_or(b' ')
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn next_token(&mut self) -> Result<u8, String> {
        self.skip_space();
        self.next()
    }

    fn push(&mut self, open: Open, byte: u8) -> Result<(), String> {
        self.open.push(open);
        if self.open.len() > MAXIMUM_DEPTH { Err(invalid(byte, "exceeded max depth")) } else { Ok(()) }
    }

    /// A value and everything in it, without recursion.
    fn value(&mut self) -> Result<(), String> {
        let mut byte = self.next_token()?;
        loop {
            // here a value begins
            match byte {
                b'{' => {
                    self.push(Open::Object, byte)?;
                    match self.next_token()? {
                        b'}' => _ = self.open.pop(),
                        key => {
                            self.key(key)?;
                            byte = self.next_token()?;
                            continue;
                        }
                    }
                }
                b'[' => {
                    self.push(Open::Array, byte)?;
                    match self.next_token()? {
                        b']' => _ = self.open.pop(),
                        first => {
                            byte = first;
                            continue;
                        }
                    }
                }
                _ => self.literal(byte)?,
            }
            // here a value has ended
            loop {
                let Some(open) = self.open.last().copied() else { return Ok(()) };
                let after = self.next_token()?;
                match (open, after) {
                    (Open::Object, b',') => {
                        let key = self.next_token()?;
                        self.key(key)?;
                        byte = self.next_token()?;
                        break;
                    }
                    (Open::Array, b',') => {
                        byte = self.next_token()?;
                        break;
                    }
                    (Open::Object, b'}') | (Open::Array, b']') => _ = self.open.pop(),
                    (Open::Object, other) => return Err(invalid(other, "after object key:value pair")),
                    (Open::Array, other) => return Err(invalid(other, "after array element")),
                }
            }
        }
    }

    /// An object key from its first byte, and the colon after it.
    fn key(&mut self, first: u8) -> Result<(), String> {
        if first != b'"' {
            return Err(invalid(first, "looking for beginning of object key string"));
        }
        self.string()?;
        match self.next_token()? {
            b':' => Ok(()),
            other => Err(invalid(other, "after object key")),
        }
    }

    fn literal(&mut self, first: u8) -> Result<(), String> {
        match first {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(first),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            other => Err(invalid(other, "looking for beginning of value")),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        for expected in word.bytes().skip(1) {
            let byte = self.next_or_space();
            if byte != expected {
                return Err(invalid(byte, &format!("in literal {word} (expecting '{}')", char::from(expected))));
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let byte = self.next()?;
                            if !byte.is_ascii_hexdigit() {
                                return Err(invalid(byte, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    other => return Err(invalid(other, "in string escape code")),
                },
                control @ ..0x20 => return Err(invalid(control, "in string literal")),
                _ => {}
            }
        }
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn number(&mut self, first: u8) -> Result<(), String> {
        let leading = if first == b'-' { self.next_or_space() } else { first };
        match leading {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            other => return Err(invalid(other, "in numeric literal")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            match self.next_or_space() {
                b'0'..=b'9' => self.digits(),
                other => return Err(invalid(other, "after decimal point in numeric literal")),
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            let mut digit = self.next_or_space();
            if matches!(digit, b'+' | b'-') {
                digit = self.next_or_space();
            }
            match digit {
                b'0'..=b'9' => self.digits(),
                other => return Err(invalid(other, "in exponent of numeric literal")),
            }
        }
        Ok(())
    }
}
