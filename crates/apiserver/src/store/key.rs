//! Object keys as bytes, so that byte order is the order of lists.
//!
//! `plane id (8 bytes, big endian) group NUL resource NUL namespace NUL name`; in indices the plane id is followed by a
//! uid and NUL. No part may have a NUL, so two keys are never confused.

use kogge_machinery::resource::GroupResource;

use super::{ObjectKey, Scope};

/// Parts longer than this are refused; Kubernetes names are at most 253 bytes.
const LONGEST_PART: usize = 1024;

/// Whether the key can be stored.
pub(super) fn is_valid(key: &ObjectKey) -> bool {
    [&key.resource.group, &key.resource.resource, &key.namespace, &key.name]
        .iter()
        .all(|part| part.len() <= LONGEST_PART && !part.as_bytes().contains(&0))
        && !key.name.is_empty()
}

/// The key without the plane, as in records and the uid index.
pub(super) fn encode_local(key: &ObjectKey) -> Vec<u8> {
    encode_after(&[], key)
}

/// The key in the objects table.
pub(super) fn encode(plane: u64, key: &ObjectKey) -> Vec<u8> {
    encode_after(&plane.to_be_bytes(), key)
}

fn encode_after(prefix: &[u8], key: &ObjectKey) -> Vec<u8> {
    let ObjectKey { resource: GroupResource { group, resource }, namespace, name } = key;
    let mut bytes = Vec::with_capacity(prefix.len() + group.len() + resource.len() + namespace.len() + name.len() + 3);
    bytes.extend_from_slice(prefix);
    for part in [group, resource, namespace] {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0);
    }
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

/// The plane id followed by these bytes.
pub(super) fn in_plane(plane: u64, rest: &[u8]) -> Vec<u8> {
    let mut bytes = plane.to_be_bytes().to_vec();
    bytes.extend_from_slice(rest);
    bytes
}

/// The key of an entry in the dependents index.
pub(super) fn dependent(plane: u64, owner_uid: &str, local_key: &[u8]) -> Vec<u8> {
    let mut bytes = dependents_of(plane, owner_uid);
    bytes.extend_from_slice(local_key);
    bytes
}

/// The prefix of all entries of an owner in the dependents index.
pub(super) fn dependents_of(plane: u64, owner_uid: &str) -> Vec<u8> {
    let mut bytes = in_plane(plane, owner_uid.as_bytes());
    bytes.push(0);
    bytes
}

/// Reads a key that was encoded without the plane; absent only if the file is damaged.
pub(super) fn decode_local(bytes: &[u8]) -> Option<ObjectKey> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut parts = text.splitn(4, '\0');
    let mut next = || parts.next().map(ToOwned::to_owned);
    Some(ObjectKey { resource: GroupResource { group: next()?, resource: next()? }, namespace: next()?, name: next()? })
}

/// Whether a key without the plane is of an object of the scope.
pub(super) fn is_within(local_key: &[u8], scope: &Scope) -> bool {
    let part = |key: &mut &[u8], expected: &str| {
        let rest = key.strip_prefix(expected.as_bytes()).and_then(|rest| rest.strip_prefix(&[0]));
        rest.map(|rest| *key = rest).is_some()
    };
    let mut key = local_key;
    match scope {
        Scope::Plane => true,
        Scope::Resource(resource) => part(&mut key, &resource.group) && part(&mut key, &resource.resource),
        Scope::Namespace(resource, namespace) => {
            part(&mut key, &resource.group) && part(&mut key, &resource.resource) && part(&mut key, namespace)
        }
    }
}

/// First key and first key after the keys of a scope.
pub(super) fn bounds(plane: u64, scope: &Scope) -> (Vec<u8>, Vec<u8>) {
    let mut first = plane.to_be_bytes().to_vec();
    match scope {
        Scope::Plane => return (first, (plane + 1).to_be_bytes().to_vec()),
        Scope::Resource(resource) => push_resource(&mut first, resource),
        Scope::Namespace(resource, namespace) => {
            push_resource(&mut first, resource);
            first.extend_from_slice(namespace.as_bytes());
            first.push(0);
        }
    }
    let last = end_of_prefix(&first);
    (first, last)
}

fn push_resource(bytes: &mut Vec<u8>, resource: &GroupResource) {
    bytes.extend_from_slice(resource.group.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(resource.resource.as_bytes());
    bytes.push(0);
}

/// The first key after all keys with a prefix that ends in NUL.
pub(super) fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> impl Strategy<Value = ObjectKey> {
        ("[a-c.]{0,3}", "[a-c]{1,2}", "[a-c-]{0,3}", "[a-c.]{1,3}").prop_map(|(group, resource, namespace, name)| {
            ObjectKey { resource: GroupResource { group, resource }, namespace, name }
        })
    }

    proptest! {
        #[test]
        fn keys_survive_encoding_and_keep_their_order(left in keys(), right in keys()) {
            prop_assert_eq!(decode_local(&encode_local(&left)), Some(left.clone()));
            prop_assert_eq!(encode(7, &left).cmp(&encode(7, &right)), left.cmp(&right));
        }

        #[test]
        fn bounds_hold_exactly_the_keys_of_the_scope(key in keys(), other in keys(), plane in 0_u64..2) {
            let encoded = encode(plane, &key);
            for scope in [
                Scope::Plane,
                Scope::Resource(other.resource.clone()),
                Scope::Namespace(other.resource.clone(), other.namespace.clone()),
            ] {
                let (first, last) = bounds(1, &scope);
                let inside = first.as_slice() <= encoded.as_slice() && encoded.as_slice() < last.as_slice();
                prop_assert_eq!(inside, plane == 1 && scope.contains(&key));
                prop_assert_eq!(is_within(&encode_local(&key), &scope), scope.contains(&key));
            }
        }
    }
}
