//! Which parts of an object the cells of its row look at. All else is passed over.

use serde_json::{Map, Value};

use crate::compact_json::Reader;
use crate::json_path::JsonPath;
use crate::resource::ResourceType;

/// A part of an object, as a row sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    /// Which members there are.
    Names,
    /// These members so, and all others or none.
    Members {
        named: Vec<(String, Shown)>,
        others: bool,
    },
    Whole,
}

impl Shown {
    /// What computed cells may look at, see [`ResourceType::cells`].
    pub(super) fn by_computed_cells(resource: &ResourceType) -> Self {
        let metadata = ["annotations", "creationTimestamp", "deletionTimestamp", "labels", "name", "ownerReferences"];
        let metadata = metadata.map(|name| (name.to_owned(), Self::Whole)).to_vec();
        let mut named = vec![
            ("kind".to_owned(), Self::Nothing),
            ("metadata".to_owned(), Self::Members { named: metadata, others: false }),
        ];
        named.extend(resource.counted.iter().map(|name| ((*name).to_owned(), Self::Names)));
        Self::Members { named, others: true }
    }

    /// What the name and cells with these paths look at.
    pub(super) fn by_paths<'p>(paths: impl Iterator<Item = &'p JsonPath>) -> Self {
        let mut shown = Self::Nothing;
        shown.add(["metadata", "name"].into_iter());
        for path in paths {
            shown.add(path.leading_fields());
        }
        shown
    }

    /// Adds what is below these fields.
    fn add<'f>(&mut self, mut fields: impl Iterator<Item = &'f str>) {
        let Some(field) = fields.next() else {
            *self = Self::Whole;
            return;
        };
        if matches!(self, Self::Nothing | Self::Names) {
            *self = Self::Members { named: Vec::new(), others: false };
        }
        let Self::Members { named, .. } = self else { return };
        let place = named.iter().position(|(name, _)| name == field).unwrap_or_else(|| {
            named.push((field.to_owned(), Self::Nothing));
            named.len() - 1
        });
        named[place].1.add(fields);
    }

    /// Reads a value; absent if nothing of it is looked at.
    ///
    /// # Errors
    /// Where the JSON is damaged, as far as it is looked at.
    pub(super) fn read(&self, reader: &mut Reader<'_>) -> serde_json::Result<Option<Value>> {
        match self {
            Self::Nothing => reader.value().map(|_| None),
            Self::Names if reader.is_at_object() => {
                let mut names = Map::new();
                reader.object(|name, reader| {
                    reader.value()?;
                    names.insert(name.text()?.into_owned(), Value::Null);
                    Ok(())
                })?;
                Ok(Some(names.into()))
            }
            Self::Members { .. } if reader.is_at_object() => {
                let mut members = Map::new();
                reader.object(|name, reader| {
                    if let Some(value) = self.member(name.0).read(reader)? {
                        members.insert(name.text()?.into_owned(), value);
                    }
                    Ok(())
                })?;
                Ok(Some(members.into()))
            }
            _ => serde_json::from_slice(reader.value()?).map(Some),
        }
    }

    /// What is looked at of a member of an object. A name with escapes is none of those that are named.
    pub(super) fn member(&self, name: &[u8]) -> &Self {
        match self {
            Self::Nothing | Self::Names => &Self::Nothing,
            Self::Whole => &Self::Whole,
            Self::Members { named, others } => {
                let found = named.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, shown)| shown);
                found.unwrap_or(if *others { &Self::Whole } else { &Self::Nothing })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), (0..3).prop_map(Value::from), "[ab\"]".prop_map(Value::from)];
        leaf.prop_recursive(5, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[abc\"]|metadata|name", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn paths() -> impl Strategy<Value = JsonPath> {
        let step = prop::sample::select(vec![
            ".a",
            ".b",
            ".metadata",
            ".name",
            "['a','b']",
            "[0]",
            "[*]",
            ".*",
            "..a",
            "[?(@.a==1)]",
            "[?(@.b)]",
            "[-1:]",
        ]);
        proptest::collection::vec(step, 1..5).prop_map(|steps| JsonPath::parse(&steps.concat()).unwrap())
    }

    proptest! {
        #[test]
        fn a_path_leads_to_the_same_in_what_is_shown(
            object in proptest::collection::btree_map("[abc\"]|metadata|name", values(), 0..5),
            paths in proptest::collection::vec(paths(), 0..4),
        ) {
            let object = Value::Object(object.into_iter().collect());
            let json = object.to_string();
            let shown = Shown::by_paths(paths.iter()).read(&mut Reader::new(json.as_bytes())).unwrap().unwrap();
            for path in &paths {
                prop_assert_eq!(path.find(&shown), path.find(&object), "{:?} in {}", path, shown);
            }
            prop_assert_eq!(shown.pointer("/metadata/name"), object.pointer("/metadata/name"));
        }
    }

    #[test]
    fn only_what_is_looked_at_is_read() {
        let json =
            br#"{"kind":"A","metadata":{"managedFields":[1],"name":"a"},"spec":{"a":{"b":1,"c":2},"d":3},"status":4}"#;
        let read = |shown: &Shown| shown.read(&mut Reader::new(json)).unwrap().unwrap().to_string();
        let by_paths = |paths: &[&str]| {
            let paths: Vec<JsonPath> = paths.iter().map(|path| JsonPath::parse(path).unwrap()).collect();
            read(&Shown::by_paths(paths.iter()))
        };
        assert_eq!(by_paths(&[]), r#"{"metadata":{"name":"a"}}"#);
        assert_eq!(
            by_paths(&[".spec.a.b", ".status.c"]),
            r#"{"metadata":{"name":"a"},"spec":{"a":{"b":1}},"status":4}"#
        );
        assert_eq!(
            by_paths(&[".spec.a", ".spec.a.b", ".x"]),
            r#"{"metadata":{"name":"a"},"spec":{"a":{"b":1,"c":2}}}"#
        );
        let mut resource = crate::object_meta::test_resource("", "A", false);
        resource.counted = &["spec"];
        let computed = read(&Shown::by_computed_cells(&resource));
        assert_eq!(computed, r#"{"metadata":{"name":"a"},"spec":{"a":null,"d":null},"status":4}"#);
    }
}
