//! What is wrong with a text that should be a JSON object, in the words of Go's `encoding/json`.

/// The problem of a document that is not an object or null; none where it is.
pub(super) fn object_problem(document: &[u8]) -> Option<String> {
    let mut scanner = Scanner { document, at: 0, depth: 0 };
    if let Err(problem) = scanner.document() {
        return Some(problem);
    }
    let first = document.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    let kind = match first {
        Some(b'{' | b'n') => return None,
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        _ => "number",
    };
    Some(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
}

struct Scanner<'d> {
    document: &'d [u8],
    at: usize,
    depth: usize,
}

const ENDED: &str = "unexpected end of JSON input";
const MAX_DEPTH: usize = 10_000;

fn unexpected(byte: u8, context: &str) -> String {
    let shown = match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => format!("'{}'", char::from(byte).escape_default()),
    };
    format!("invalid character {shown} {context}")
}

impl Scanner<'_> {
    fn peek(&self) -> Result<u8, String> {
        self.document.get(self.at).copied().ok_or_else(|| ENDED.to_owned())
    }

    fn skip_space(&mut self) {
        while self.document.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn document(&mut self) -> Result<(), String> {
        self.value("looking for beginning of value")?;
        self.skip_space();
        match self.document.get(self.at) {
            None => Ok(()),
            Some(byte) => Err(unexpected(*byte, "after top-level value")),
        }
    }

    fn value(&mut self, context: &str) -> Result<(), String> {
        self.skip_space();
        match self.peek()? {
            b'{' => self.nested(Self::members),
            b'[' => self.nested(Self::items),
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number(),
            byte => Err(unexpected(byte, context)),
        }
    }

    fn nested(&mut self, inside: fn(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("exceeded max depth".to_owned());
        }
        self.at += 1;
        inside(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn members(&mut self) -> Result<(), String> {
        self.skip_space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.skip_space();
            match self.peek()? {
                b'"' => self.string()?,
                byte => return Err(unexpected(byte, "looking for beginning of object key string")),
            }
            self.skip_space();
            match self.peek()? {
                b':' => self.at += 1,
                byte => return Err(unexpected(byte, "after object key")),
            }
            self.value("looking for beginning of value")?;
            self.skip_space();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                byte => return Err(unexpected(byte, "after object key:value pair")),
            }
        }
    }

    fn items(&mut self) -> Result<(), String> {
        self.skip_space();
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value("looking for beginning of value")?;
            self.skip_space();
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(());
                }
                byte => return Err(unexpected(byte, "after array element")),
            }
        }
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => self.at += 1,
                        b'u' => {
                            self.at += 1;
                            for _ in 0..4 {
                                match self.peek()? {
                                    byte if byte.is_ascii_hexdigit() => self.at += 1,
                                    byte => return Err(unexpected(byte, "in \\u hexadecimal character escape")),
                                }
                            }
                        }
                        byte => return Err(unexpected(byte, "in string escape code")),
                    }
                }
                byte if byte < 0x20 => return Err(unexpected(byte, "in string literal")),
                _ => self.at += 1,
            }
        }
    }

    fn literal(&mut self, text: &str) -> Result<(), String> {
        for expected in text.bytes() {
            match self.peek()? {
                byte if byte == expected => self.at += 1,
                byte => {
                    let context = format!("in literal {text} (expecting '{}')", char::from(expected));
                    return Err(unexpected(byte, &context));
                }
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            byte => return Err(unexpected(byte, "in numeric literal")),
        }
        if self.document.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.document.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.document.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, context: &str) -> Result<(), String> {
        match self.peek()? {
            byte if byte.is_ascii_digit() => {
                self.digits();
                Ok(())
            }
            byte => Err(unexpected(byte, context)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::object_problem;

    #[test]
    fn documents_are_judged_in_the_words_of_go() {
        let documents = [
            "{}",
            " {\"auths\": {\"a\": [1, -2.5e3, true, null, \"\\u00e9\\n\"]}} ",
            "null",
            "nonsense",
            "",
            "[]",
            "1",
            "\"a\"",
            "{",
            "{a",
            "{\"a\" 1}",
            "{\"a\":1 \"b\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":01}",
            "{} x",
            "'a'",
        ];
        let judged: Vec<String> = documents
            .iter()
            .map(|document| format!("{document:?}: {}", object_problem(document.as_bytes()).unwrap_or_default()))
            .collect();
        insta::assert_snapshot!(judged.join("\n"));
    }
}
