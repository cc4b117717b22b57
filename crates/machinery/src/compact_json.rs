//! A reader of JSON that was serialised here: compact, and valid unless the file it comes from is damaged. It passes over
//! values by their ends only, so that what nobody reads costs next to nothing, however long it is.

use std::borrow::Cow;

use serde::de::Error as _;

/// Reads from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'j> {
    rest: &'j [u8],
}

/// A member's name as it stands between its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'j>(pub(crate) &'j [u8]);

impl<'j> Name<'j> {
    /// Whether this is a name, one without escapes.
    pub(crate) fn is(self, name: &str) -> bool {
        self.0 == name.as_bytes()
    }

    /// The name, copied only where it has escapes.
    pub(crate) fn text(self) -> serde_json::Result<Cow<'j, str>> {
        match str::from_utf8(self.0) {
            Ok(text) if !self.0.contains(&b'\\') => Ok(Cow::Borrowed(text)),
            _ => serde_json::from_slice(&[b"\"", self.0, b"\""].concat()).map(Cow::Owned),
        }
    }
}

/// The JSON of the member of an object, if it is an object and has it. The last one, should there be several.
///
/// # Errors
/// Where the JSON is damaged.
pub(crate) fn member<'j>(json: &'j [u8], wanted: &str) -> serde_json::Result<Option<&'j [u8]>> {
    let (mut reader, mut found) = (Reader::new(json), None);
    if !reader.is_at_object() {
        return Ok(None);
    }
    reader.object(|name, reader| {
        let value = reader.value()?;
        if name.is(wanted) {
            found = Some(value);
        }
        Ok(())
    })?;
    Ok(found)
}

impl<'j> Reader<'j> {
    pub(crate) fn new(json: &'j [u8]) -> Self {
        Self { rest: json }
    }

    /// Reads an object. `read` is called with the name of each member, and reads its value.
    ///
    /// # Errors
    /// Where there is no object, and what `read` refuses.
    pub(crate) fn object(
        &mut self,
        mut read: impl FnMut(Name<'j>, &mut Self) -> serde_json::Result<()>,
    ) -> serde_json::Result<()> {
        self.byte(b'{')?;
        if self.rest.first() == Some(&b'}') {
            return self.byte(b'}');
        }
        loop {
            let quoted = string_length(self.rest).ok_or_else(damaged)?;
            let name = Name(&self.take(quoted)[1..quoted - 1]);
            self.byte(b':')?;
            read(name, self)?;
            if self.rest.first() == Some(&b'}') {
                return self.byte(b'}');
            }
            self.byte(b',')?;
        }
    }

    /// Reads an array. `read` is called for each item, and reads it.
    ///
    /// # Errors
    /// Where there is no array, and what `read` refuses.
    pub(crate) fn array(
        &mut self,
        mut read: impl FnMut(&mut Self) -> serde_json::Result<()>,
    ) -> serde_json::Result<()> {
        self.byte(b'[')?;
        if self.rest.first() == Some(&b']') {
            return self.byte(b']');
        }
        loop {
            read(self)?;
            if self.rest.first() == Some(&b']') {
                return self.byte(b']');
            }
            self.byte(b',')?;
        }
    }

    /// Whether the next value is an object.
    pub(crate) fn is_at_object(&self) -> bool {
        self.rest.first() == Some(&b'{')
    }

    /// Passes over a value and returns its JSON. That it is valid is not looked at.
    ///
    /// # Errors
    /// Where there is none, or it has no end.
    pub(crate) fn value(&mut self) -> serde_json::Result<&'j [u8]> {
        let length = value_length(self.rest).filter(|length| *length > 0).ok_or_else(damaged)?;
        Ok(self.take(length))
    }

    /// What was read since another reader was copied from this one.
    pub(crate) fn since(&self, begin: Self) -> &'j [u8] {
        &begin.rest[..begin.rest.len() - self.rest.len()]
    }

    /// # Errors
    /// Where something follows.
    pub(crate) fn end(self) -> serde_json::Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(damaged()) }
    }

    fn byte(&mut self, byte: u8) -> serde_json::Result<()> {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(damaged()),
        }
    }

    /// So many bytes, which are there.
    fn take(&mut self, length: usize) -> &'j [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }
}

/// What is read is not what it must be.
pub(crate) fn damaged() -> serde_json::Error {
    serde_json::Error::custom("a stored object is no compact JSON object")
}

/// To search for the end of a string pays only where it is far.
const SHORT: usize = 24;

/// The length of a string with its quotes.
fn string_length(json: &[u8]) -> Option<usize> {
    let inner = json.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        match *inner.get(at)? {
            b'"' => return Some(at + 2),
            b'\\' => at += 2,
            _ if at < SHORT => at += 1,
            _ => at += memchr::memchr2(b'"', b'\\', &inner[at..])?,
        }
    }
}

/// The length of a value. Brackets are counted, not matched.
fn value_length(json: &[u8]) -> Option<usize> {
    match json.first()? {
        b'"' => string_length(json),
        b'{' | b'[' => {
            let (mut at, mut depth) = (0, 0_usize);
            loop {
                match json.get(at)? {
                    b'"' => {
                        at += string_length(&json[at..])?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => Some(json.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).unwrap_or(json.len())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "(\\PC|[\"\\\\{}\\[\\],:\n]){0,40}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z\"\\\\ü,}]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// A value, the members of objects and the items of arrays in it read one by one.
    fn read(reader: &mut Reader<'_>) -> serde_json::Result<Value> {
        let begin = *reader;
        let value = match reader.rest.first() {
            Some(b'{') => {
                let mut object = serde_json::Map::new();
                reader.object(|name, reader| {
                    object.insert(name.text()?.into_owned(), read(reader)?);
                    Ok(())
                })?;
                object.into()
            }
            Some(b'[') => {
                let mut array = Vec::new();
                reader.array(|reader| {
                    array.push(read(reader)?);
                    Ok(())
                })?;
                array.into()
            }
            _ => serde_json::from_slice(reader.value()?)?,
        };
        assert_eq!(Reader::new(begin.rest).value()?, reader.since(begin));
        Ok(value)
    }

    proptest! {
        #[test]
        fn the_members_are_those_of_the_object(
            object in proptest::collection::btree_map("[a-z\"\\\\ü:{]{0,4}", values(), 0..5),
        ) {
            let json = serde_json::to_vec(&object).unwrap();
            let mut reader = Reader::new(&json);
            prop_assert_eq!(read(&mut reader).unwrap(), Value::Object(object.into_iter().collect()));
            prop_assert!(reader.end().is_ok());
        }

        #[test]
        fn damaged_objects_end_without_panic(bytes: Vec<u8>, object in values(), at: prop::sample::Index) {
            let _ = read(&mut Reader::new(&bytes));
            let mut json = serde_json::to_vec(&object).unwrap();
            let place = at.index(json.len());
            json[place] = bytes.first().copied().unwrap_or(b'"');
            let _ = read(&mut Reader::new(&json));
        }
    }
}
