//! The format `email`: an address as Go's `net/mail` reads it, which is RFC 5322 with some tolerance.

use super::format::is_ip_address;

/// Whether a text is one address, with or without a name: `a@b.c`, `Bob <a@b.c>`, `"x y"@[1.2.3.4]`.
pub(super) fn is_email(text: &str) -> bool {
    let mut reader = Reader { rest: text };
    reader.addresses(true) == Some(1) && reader.skip_comments() && reader.rest.is_empty()
}

/// What is left to read. A method that returns none or false has met something that does not belong there.
#[derive(Clone, Copy)]
struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    /// The number of addresses in a mailbox or, at the outermost level, a group of them.
    fn addresses(&mut self, groups: bool) -> Option<usize> {
        self.skip_space();
        if self.rest.is_empty() {
            return None;
        }
        if self.address().is_some() {
            self.skip_space();
            return if self.rest.starts_with('(') { self.skip_comment().then_some(1) } else { Some(1) };
        }
        if !self.rest.starts_with('<') {
            self.phrase()?;
        }
        self.skip_space();
        if groups && self.consume(':') {
            return self.group();
        }
        self.consume('<').then_some(())?;
        self.address()?;
        self.consume('>').then_some(1)
    }

    fn group(&mut self) -> Option<usize> {
        let mut count = 0;
        self.skip_space();
        if self.consume(';') {
            return self.skip_comments().then_some(count);
        }
        loop {
            count += self.addresses(false)?;
            self.skip_comments().then_some(())?;
            if self.consume(';') {
                return self.skip_comments().then_some(count);
            }
            self.consume(',').then_some(())?;
        }
    }

    /// `local@domain`; nothing is consumed where there is none.
    fn address(&mut self) -> Option<()> {
        let mut reader = *self;
        reader.skip_space();
        if reader.rest.starts_with('"') {
            reader.quoted().filter(|text| !text.is_empty())?;
        } else {
            reader.strict_atom()?;
        }
        reader.consume('@').then_some(())?;
        reader.skip_space();
        if reader.consume('[') {
            let (literal, rest) = reader.rest.split_once(']')?;
            is_ip_address(literal).then_some(())?;
            reader.rest = rest;
        } else {
            reader.strict_atom()?;
        }
        *self = reader;
        Some(())
    }

    /// Words before an address in angle brackets.
    fn phrase(&mut self) -> Option<()> {
        let mut words = 0;
        loop {
            if words > 0 {
                self.skip_comments().then_some(())?;
            }
            self.skip_space();
            let word = match self.rest.chars().next() {
                None => break,
                Some('"') => self.quoted(),
                Some(_) => self.atom(),
            };
            if word.is_none() {
                break;
            }
            words += 1;
        }
        // A name that is empty has no words, but that is not what is wrong with it.
        (words > 0 || self.rest.is_empty()).then_some(())
    }

    /// A text in quotes, as it stands there.
    fn quoted(&mut self) -> Option<&'t str> {
        let text = self.rest.strip_prefix('"')?;
        let mut escaped = false;
        for (place, character) in text.char_indices() {
            let allowed = is_visible(character) || matches!(character, ' ' | '\t');
            match character {
                _ if escaped && allowed => escaped = false,
                '"' => {
                    self.rest = &text[place + 1..];
                    return Some(&text[..place]);
                }
                '\\' => escaped = true,
                _ if allowed && !escaped => {}
                _ => return None,
            }
        }
        None
    }

    fn atom(&mut self) -> Option<&'t str> {
        let special =
            |character| matches!(character, '(' | ')' | '<' | '>' | '[' | ']' | ':' | ';' | '@' | '\\' | ',' | '"');
        let outside = |character| special(character) || !is_visible(character);
        let end = self.rest.find(outside).unwrap_or(self.rest.len());
        let (atom, rest) = self.rest.split_at(end);
        (!atom.is_empty()).then(|| {
            self.rest = rest;
            atom
        })
    }

    /// One whose dots stand between other characters.
    fn strict_atom(&mut self) -> Option<&'t str> {
        self.atom().filter(|atom| !atom.starts_with('.') && !atom.ends_with('.') && !atom.contains(".."))
    }

    fn skip_comments(&mut self) -> bool {
        self.skip_space();
        while self.rest.starts_with('(') {
            if !self.skip_comment() {
                return false;
            }
            self.skip_space();
        }
        true
    }

    /// A comment in parentheses, with others in it.
    fn skip_comment(&mut self) -> bool {
        let (mut depth, mut escaped) = (0_usize, false);
        for (place, character) in self.rest.char_indices() {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '(' => depth += 1,
                ')' if depth == 1 => {
                    self.rest = &self.rest[place + 1..];
                    return true;
                }
                ')' => depth -= 1,
                _ => {}
            }
        }
        false
    }

    fn consume(&mut self, character: char) -> bool {
        self.rest.strip_prefix(character).map(|rest| self.rest = rest).is_some()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }
}

fn is_visible(character: char) -> bool {
    matches!(character, '!'..='~') || !character.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        for good in [
            "a@b",
            " a.b@c.d (me)",
            "Bob <a@b.c>",
            "Bob B. \"x\" <a@b.c> (it (is) me)",
            "<a@b>",
            "a@[1.2.3.4]",
            "a@[::1]",
            "\"x y\"@b.c",
            "\"x\\\"y\"@b.c",
            "g: a@b;",
            "ü@é",
        ] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "a",
            "a@",
            "@b",
            "a@b@c",
            ".a@b",
            "a..b@c",
            "a@b.",
            "a b@c",
            "Bob a@b",
            "Bob <a@b",
            "<>",
            "a@[x]",
            "\"\"@b",
            "\"x@b",
            "a@b, c@d",
            "g: a@b, c@d;",
            "g:;",
            "a@b (",
            "a\u{7f}@b",
            "(",
            "\\",
            "\"a\" ",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
