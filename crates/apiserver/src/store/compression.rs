//! Large objects are compressed before they reach the file. Few are large, but those that are (definitions first of all) repeat
//! themselves: they come to a seventh, and so does what a commit writes and the page cache holds of them.
//!
//! LZ4 blocks, with the length of what was compressed (4 bytes, little endian) before them.

/// What is shorter than this, in bytes, is left as it is: it fits a few pages, and reading it is to cost nothing.
const LARGE: usize = 16 << 10;
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
        }
    }
}
