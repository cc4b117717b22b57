//! Large objects are compressed before they reach the file. Few are large, but those that are (definitions first of all) repeat
//! themselves: they come to a seventh, and so does what a commit writes and the page cache holds of them.
//!
//! LZ4 blocks, with the length of what was compressed (4 bytes, little endian) before them. What is large in an object is mostly
//! one field, its `spec`: that is compressed alone, before the object's revision is known, so that the thread of the caller can
//! do it, and once for all states of the object in a transaction.

use std::ops::Range;

/// What is shorter than this, in bytes, is left as it is: it fits a few pages, and reading it is to cost nothing.
pub(super) const LARGE: usize = 16 << 10;
/// Nothing longer is ever compressed, so that a damaged length takes no memory.
const LONGEST: usize = 256 << 20;

/// The JSON compressed, if it is large and gets smaller.
pub(super) fn compress(json: &[u8]) -> Option<Vec<u8>> {
    if !(LARGE..=LONGEST).contains(&json.len()) {
        return None;
    }
    Some(lz4_flex::compress_prepend_size(json)).filter(|compressed| compressed.len() < json.len())
}

/// What was compressed; absent only if the file is damaged.
pub(super) fn decompress(compressed: &[u8]) -> Option<Vec<u8>> {
    length(compressed).filter(|length| *length <= LONGEST)?;
    lz4_flex::decompress_size_prepended(compressed).ok()
}

/// The JSON with a part of it replaced by what that was compressed to.
///
/// Layout: length of what stands before the block, length of the block (4 bytes each, little endian), and then those two and
/// the rest.
pub(super) fn with_block(json: &[u8], part: Range<usize>, block: &[u8]) -> Option<Vec<u8>> {
    let (before, after) = (json.get(..part.start)?, json.get(part.end..)?);
    let mut bytes = Vec::with_capacity(8 + before.len() + block.len() + after.len());
    for length in [before.len(), block.len()] {
        bytes.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    }
    bytes.extend_from_slice(before);
    bytes.extend_from_slice(block);
    bytes.extend_from_slice(after);
    Some(bytes)
}

/// The JSON of which a part was compressed; absent only if the file is damaged.
pub(super) fn without_block(bytes: &[u8]) -> Option<Vec<u8>> {
    let (before, block, after) = parts(bytes)?;
    let length = length(block).filter(|length| *length <= LONGEST)?;
    let mut json = vec![0; before.len() + length + after.len()];
    let (to_before, to) = json.split_at_mut(before.len());
    let (to_part, to_after) = to.split_at_mut(length);
    to_before.copy_from_slice(before);
    let decompressed = lz4_flex::block::decompress_into(block.get(4..)?, to_part).ok()?;
    to_after.copy_from_slice(after);
    (decompressed == length).then_some(json)
}

/// How long the JSON is of which a part was compressed.
pub(super) fn length_without_block(bytes: &[u8]) -> Option<usize> {
    let (before, block, after) = parts(bytes)?;
    Some(before.len() + length(block)? + after.len())
}

/// What stands before the block, the block, and the rest.
fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (before, rest) = bytes.split_first_chunk()?;
    let (block, rest) = rest.split_first_chunk()?;
    let (before, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*before)).ok()?)?;
    let (block, after) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*block)).ok()?)?;
    Some((before, block, after))
}

/// How long it was before.
pub(super) fn length(compressed: &[u8]) -> Option<usize> {
    let (length, _) = compressed.split_first_chunk()?;
    usize::try_from(u32::from_le_bytes(*length)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_large_and_gets_smaller_is_compressed() {
        assert_eq!(compress(&vec![b'a'; LARGE - 1]), None);
        let compressed = compress(&vec![b'a'; LARGE]).unwrap();
        assert!(compressed.len() < LARGE / 10);
        assert_eq!((length(&compressed), decompress(&compressed)), (Some(LARGE), Some(vec![b'a'; LARGE])));
        let mut state = 1_u64;
        let random = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        });
        assert_eq!(compress(&random.take(LARGE).collect::<Vec<u8>>()), None);
    }

    proptest! {
        #[test]
        fn damaged_blocks_are_refused_without_panic(bytes: Vec<u8>) {
            let _ = decompress(&bytes);
            let _ = without_block(&bytes);
        }

        #[test]
        fn what_has_a_compressed_part_is_read_whole(before: Vec<u8>, after: Vec<u8>, byte: u8) {
            let part = vec![byte; LARGE];
            let json = [before.as_slice(), &part, &after].concat();
            let block = compress(&part).unwrap();
            let bytes = with_block(&json, before.len()..before.len() + LARGE, &block).unwrap();
            prop_assert!(bytes.len() < json.len() - LARGE / 2);
            prop_assert_eq!(length_without_block(&bytes), Some(json.len()));
            prop_assert_eq!(without_block(&bytes), Some(json));
        }
    }
}
