//! Takes the protobuf of `/openapi/v2` apart.

use std::collections::BTreeMap;

/// Field numbers of gnostic's `Document` whose values are maps, with the number of their entries.
const MAPS: [(u64, u64); 3] = [(8, 2), (9, 1), (10, 1)];

/// The paths, definitions and parameters of a document by their names; what else there is by its number.
pub(crate) fn entries(document: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut entries = BTreeMap::new();
    for (number, bytes) in fields(document) {
        if !MAPS.iter().any(|(map, _)| *map == number) {
            entries.insert(format!("field {number}"), bytes.to_vec());
            continue;
        }
        for (entry, bytes) in fields(bytes) {
            assert!(MAPS.contains(&(number, entry)), "field {entry} in {number}");
            let (_, name) = fields(bytes).next().unwrap();
            entries.insert(String::from_utf8(name.to_vec()).unwrap(), bytes.to_vec());
        }
    }
    entries
}

/// The fields of a message that has only texts and messages.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let tag = varint(&mut rest);
        assert_eq!(tag & 7, 2, "field {} is no text or message", tag >> 3);
        let length = usize::try_from(varint(&mut rest)).unwrap();
        let (bytes, after) = rest.split_at(length);
        rest = after;
        Some((tag >> 3, bytes))
    })
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().unwrap();
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}
