//! The subject of a certificate as Go reads it (`crypto/x509/pkix.Name`), which is who Kubernetes takes its bearer for.
//!
//! Of a common name that is there several times the last one counts, here as there: who judges a request, who signs it
//! and who reads the certificate later must not see different names. What is signed is written anew from what was read,
//! so that nothing nobody looked at gets into a certificate.

use x509_parser::{
    der_parser::asn1_rs::{Any, Tag},
    x509::X509Name,
};

use super::certificate::{OBJECT_IDENTIFIER, SEQUENCE, element};

const SET: u8 = 0x31;
const PRINTABLE_STRING: u8 = 0x13;
const UTF8_STRING: u8 = 0x0c;
/// Attributes below 2.5.4 (X.520) that may be there several times, in the order they are written: country,
/// organization, organizational unit, locality, province, street, postal code.
const LISTS: [u8; 7] = [6, ORGANIZATION, 11, 7, 8, 9, 17];
const ORGANIZATION: u8 = 10;
const COMMON_NAME: u8 = 3;
const SERIAL_NUMBER: u8 = 5;
/// The attribute Kubernetes reads a uid from.
const UID: &str = "1.3.6.1.4.1.57683.2";

/// The subject of a certificate or of a request for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The user.
    pub(crate) common_name: String,
    /// Values of [`LISTS`], each in the order they were found.
    lists: [Vec<String>; 7],
    serial_number: String,
    /// Every uid that was found.
    pub(crate) uids: Vec<String>,
}

impl Subject {
    /// Reads a name; none where Go would not read the certificate at all, as a value is no text.
    pub(crate) fn of(name: &X509Name<'_>) -> Option<Self> {
        let mut subject = Self::default();
        for attribute in name.iter_attributes() {
            let value = text(attribute.attr_value())?;
            match attribute.attr_type().as_bytes() {
                [0x55, 4, COMMON_NAME] => subject.common_name = value,
                [0x55, 4, SERIAL_NUMBER] => subject.serial_number = value,
                [0x55, 4, other] => {
                    if let Some(index) = LISTS.iter().position(|known| known == other) {
                        subject.lists[index].push(value);
                    }
                }
                _ if attribute.attr_type().to_id_string() == UID => subject.uids.push(value),
                _ => {}
            }
        }
        Some(subject)
    }

    /// The groups.
    pub(crate) fn organizations(&self) -> &[String] {
        let index = LISTS.iter().position(|known| *known == ORGANIZATION).unwrap_or_default();
        &self.lists[index]
    }

    /// The name in DER: the values of each attribute together in a set, as Go writes it.
    pub(super) fn to_der(&self) -> Vec<u8> {
        let single =
            |attribute, value: &String| (attribute, if value.is_empty() { vec![] } else { vec![value.clone()] });
        let lists = LISTS.into_iter().zip(self.lists.iter().cloned());
        let all = lists.chain([single(COMMON_NAME, &self.common_name), single(SERIAL_NUMBER, &self.serial_number)]);
        let sets = all.filter(|(_, values)| !values.is_empty()).map(|(attribute, values)| {
            let identifier = element(OBJECT_IDENTIFIER, &[vec![0x55, 4, attribute]]);
            let mut members: Vec<Vec<u8>> =
                values.iter().map(|value| element(SEQUENCE, &[identifier.clone(), string(value)])).collect();
            // The order DER demands of a set.
            members.sort_unstable();
            element(SET, &members)
        });
        element(SEQUENCE, &sets.collect::<Vec<_>>())
    }
}

/// The text of a value of one of the string types Go knows.
fn text(value: &Any<'_>) -> Option<String> {
    let bytes = value.data;
    let valid = |valid: bool| valid.then(|| String::from_utf8_lossy(bytes).into_owned());
    match value.tag() {
        Tag::Utf8String => String::from_utf8(bytes.to_vec()).ok(),
        // Go reads `*` and `&` too, as other libraries write them.
        Tag::PrintableString => valid(bytes.iter().all(|byte| is_printable(*byte) || b"*&".contains(byte))),
        Tag::Ia5String => valid(bytes.is_ascii()),
        Tag::NumericString => valid(bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b' ')),
        // Taken for Latin-1, as nearly everybody does.
        Tag::T61String => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let (units, rest) = bytes.as_chunks::<2>();
            let units = units.strip_suffix(&[[0, 0]]).unwrap_or(units);
            let characters = units.iter().map(|unit| match u16::from_be_bytes(*unit) {
                0xfffe | 0xffff | 0xfdd0..=0xfdef => None,
                unit => char::from_u32(unit.into()),
            });
            characters.collect::<Option<String>>().filter(|_| rest.is_empty())
        }
        _ => None,
    }
}

/// A text in the type Go chooses for it.
fn string(text: &str) -> Vec<u8> {
    let tag = if text.bytes().all(is_printable) { PRINTABLE_STRING } else { UTF8_STRING };
    element(tag, &[text.as_bytes().to_vec()])
}

fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}
