//! The parser of label selectors, written after the real server's so that its error texts are the same.

use std::collections::BTreeSet;

use super::{Operator, Requirement};
use crate::object_meta::label_key_messages;
use crate::status_error::FieldError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Error,
    End,
    Closed,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    GreaterThan,
    Identifier,
    In,
    LessThan,
    NotEquals,
    NotIn,
    Open,
}

fn keyword(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::Closed,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::DoubleEquals,
        "=" => Token::Equals,
        ">" => Token::GreaterThan,
        "in" => Token::In,
        "<" => Token::LessThan,
        "!=" => Token::NotEquals,
        "notin" => Token::NotIn,
        "(" => Token::Open,
        _ => return None,
    })
}

fn is_symbol(character: char) -> bool {
    matches!(character, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Splits into tokens with their text; the last one is [`Token::End`].
fn tokens(text: &str) -> Vec<(Token, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_space);
        let Some(first) = rest.chars().next() else {
            found.push((Token::End, String::new()));
            return found;
        };
        if is_symbol(first) {
            // the longest operator: `!=` before `!`, `==` before `=`
            let length = rest.find(|character| !is_symbol(character)).unwrap_or(rest.len());
            let longest = (1..=length.min(2)).rev().find_map(|length| Some((keyword(&rest[..length])?, length)));
            let (token, length) = longest.unwrap_or((Token::Error, length));
            found.push((token, rest[..length].to_owned()));
            rest = &rest[length..];
        } else {
            let length = rest.find(|character| is_symbol(character) || is_space(character)).unwrap_or(rest.len());
            let word = &rest[..length];
            found.push((keyword(word).unwrap_or(Token::Identifier), word.to_owned()));
            rest = &rest[length..];
        }
    }
}

struct Parser {
    tokens: Vec<(Token, String)>,
    position: usize,
}

impl Parser {
    /// The token ahead. Where a value may stand, the words `in` and `notin` are values.
    fn look(&self, values: bool) -> (Token, &str) {
        let (token, text) = self.tokens.get(self.position).map_or((Token::End, ""), |(token, text)| (*token, text));
        match token {
            Token::In | Token::NotIn if values => (Token::Identifier, text),
            _ => (token, text),
        }
    }

    fn take(&mut self, values: bool) -> (Token, String) {
        let (token, text) = self.look(values);
        let text = text.to_owned();
        self.position += 1;
        (token, text)
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.take(true);
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.take(true);
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let messages = label_key_messages(&key);
        if !messages.is_empty() {
            return Err(FieldError::invalid("<nil>", &key.into(), &messages.join("; ")).to_string());
        }
        if negated {
            return Requirement::new(&key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.look(true).0, Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, Vec::new());
        }
        let (token, text) = self.take(false);
        let operator = match token {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::GreaterThan => Operator::GreaterThan,
            Token::LessThan => Operator::LessThan,
            _ => return Err(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.set()?,
            _ => vec![self.exact_value()?],
        };
        Requirement::new(&key, operator, values)
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.look(true).0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.take(true) {
            (Token::Identifier, value) => Ok(value),
            (_, text) => Err(format!("found '{text}', expected: identifier")),
        }
    }

    /// `(a,b)`, where empty places are the empty value.
    fn set(&mut self) -> Result<Vec<String>, String> {
        let (token, text) = self.take(true);
        if token != Token::Open {
            return Err(format!("found '{text}' expected: '('"));
        }
        let mut values = BTreeSet::new();
        match self.look(true) {
            (Token::Closed, _) => {
                self.take(true);
                return Ok(vec![String::new()]);
            }
            (Token::Identifier | Token::Comma, _) => {}
            (_, text) => return Err(format!("found '{text}', expected: ',', ')' or identifier")),
        }
        loop {
            match self.take(true) {
                (Token::Identifier, value) => {
                    values.insert(value);
                    match self.look(true) {
                        (Token::Comma, _) => {}
                        (Token::Closed, _) => break,
                        (_, text) => return Err(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    match self.look(true).0 {
                        Token::Closed => {
                            values.insert(String::new());
                            break;
                        }
                        Token::Comma => {
                            values.insert(String::new());
                        }
                        _ => {}
                    }
                }
                (_, text) => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
        }
        self.take(true);
        Ok(values.into_iter().collect())
    }
}

/// Parses a selector into requirements in the order written.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser { tokens: tokens(text), position: 0 };
    let mut requirements = Vec::new();
    loop {
        match parser.look(true) {
            (Token::Identifier | Token::Not, _) => {
                let requirement = parser.requirement();
                requirements.push(requirement.map_err(|error| format!("unable to parse requirement: {error}"))?);
                match parser.take(true) {
                    (Token::End, _) => return Ok(requirements),
                    (Token::Comma, _) => match parser.look(true) {
                        (Token::Identifier | Token::Not, _) => {}
                        (_, text) => return Err(format!("found '{text}', expected: identifier after ','")),
                    },
                    (_, text) => return Err(format!("found '{text}', expected: ',' or 'end of string'")),
                }
            }
            (Token::End, _) => return Ok(requirements),
            (_, text) => return Err(format!("found '{text}', expected: !, identifier, or 'end of string'")),
        }
    }
}
