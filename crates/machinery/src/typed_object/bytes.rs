//! base64 as Go's standard encoding reads it.

/// What Go makes of base64 text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is written as it was read.
    Canonical,
    /// It is read, but written otherwise: line breaks, or set bits after the last byte.
    Other,
}

/// Whether text is base64 with padding. Line breaks do not count. The error is the position of the first byte that is
/// wrong, as Go's `CorruptInputError` has it.
pub(super) fn check(text: &str) -> Result<Checked, usize> {
    let bytes = text.as_bytes();
    let mut canonical = true;
    let (mut in_quantum, mut last, mut index) = (0_usize, 0_u8, 0_usize);
    while index < bytes.len() {
        let byte = bytes[index];
        let position = index;
        index += 1;
        match byte {
            b'\n' | b'\r' => canonical = false,
            b'=' => return padding(bytes, position, in_quantum, last, canonical),
            _ => {
                last = sextet(byte).ok_or(position)?;
                in_quantum = (in_quantum + 1) % 4;
            }
        }
    }
    if in_quantum != 0 {
        // Go names the beginning of the unfinished group
        return Err(index - in_quantum);
    }
    Ok(if canonical { Checked::Canonical } else { Checked::Other })
}

/// The end of the text, from the first `=`.
fn padding(bytes: &[u8], at: usize, in_quantum: usize, last: u8, canonical: bool) -> Result<Checked, usize> {
    let mut canonical = canonical;
    let mut rest = bytes.iter().enumerate().skip(at + 1);
    let mut next = || {
        for (index, byte) in rest.by_ref() {
            if matches!(byte, b'\n' | b'\r') {
                canonical = false;
            } else {
                return Some((index, *byte));
            }
        }
        None
    };
    match in_quantum {
        2 => match next() {
            None => return Err(bytes.len()),
            Some((_, b'=')) => {}
            // Go names the byte before
            Some((index, _)) => return Err(index - 1),
        },
        3 => {}
        _ => return Err(at),
    }
    if let Some((index, _)) = next() {
        return Err(index);
    }
    let unused = if in_quantum == 2 { last & 0x0f } else { last & 0x03 };
    Ok(if canonical && unused == 0 { Checked::Canonical } else { Checked::Other })
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// The text Go writes for what [`check`] takes.
pub(super) fn canonical(text: &str) -> String {
    use base64::Engine as _;
    use base64::alphabet::STANDARD;
    use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
    let lenient = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let stripped: String = text.chars().filter(|character| !matches!(character, '\n' | '\r')).collect();
    lenient.decode(&stripped).map_or(stripped, |bytes| lenient.encode(bytes))
}
