//! Secrets are encrypted before they reach the file, if the store is given a key.
//!
//! AES-256-GCM with a random nonce for each version of an object; what is authenticated beside it is the object's place
//! (plane, revision, key), so that nobody with access to the file can put one Secret into the place of another. Before
//! the ciphertext stands the id of its key: with several keys all are read and the first one writes, which is how keys
//! are changed. The file remembers the id of the key that wrote last and is not opened without it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::{ObjectKey, key};

/// What is encrypted, as group and resource: the default of those who turn it on in a real cluster.
const ENCRYPTED: [(&str, &str); 1] = [("", "secrets")];

/// Why a text gives no keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionKeyError {
    /// There is no line with a key.
    #[error(
        "there is no key in it; write 32 random bytes in base64, for example with `head -c 32 /dev/urandom | base64`"
    )]
    Empty,
    /// A line is not a key.
    #[error("line {line} is not 32 bytes in base64; make one with `head -c 32 /dev/urandom | base64`")]
    Line {
        /// Counted from 1.
        line: usize,
    },
}

/// Keys to encrypt with (the first) and to decrypt with (all).
pub struct EncryptionKeys {
    keys: Vec<(u64, RandomizedNonceKey)>,
}

impl std::fmt::Debug for EncryptionKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<String> = self.keys.iter().map(|(id, _)| format!("{id:016x}")).collect();
        formatter.debug_struct("EncryptionKeys").field("ids", &ids).finish_non_exhaustive()
    }
}

impl EncryptionKeys {
    /// Reads keys, one a line in base64; empty lines and those that begin with `#` do not count.
    ///
    /// # Errors
    /// See [`EncryptionKeyError`].
    pub fn parse(text: &str) -> Result<Self, EncryptionKeyError> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = EncryptionKeyError::Line { line: index + 1 };
            let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(line) else { return Err(wrong) };
            let Ok(key) = RandomizedNonceKey::new(&AES_256_GCM, &bytes) else { return Err(wrong) };
            let digest = Sha256::digest(&bytes);
            let id = digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte));
            keys.push((id, key));
        }
        if keys.is_empty() { Err(EncryptionKeyError::Empty) } else { Ok(Self { keys }) }
    }

    /// The id of the key that encrypts.
    pub(super) fn id(&self) -> u64 {
        self.keys[0].0
    }

    /// Whether a key is among them.
    pub(super) fn has(&self, id: u64) -> bool {
        self.keys.iter().any(|(known, _)| *known == id)
    }

    /// Encrypts the JSON of a place; absent only if the system gives no random numbers.
    pub(super) fn seal(&self, place: &[u8], json: &[u8]) -> Option<Vec<u8>> {
        let (id, key) = &self.keys[0];
        let mut text = json.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(place), &mut text).ok()?;
        let mut sealed = Vec::with_capacity(8 + NONCE_LEN + text.len());
        sealed.extend_from_slice(&id.to_be_bytes());
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Some(sealed)
    }

    /// Decrypts what was sealed for this place.
    pub(super) fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = sealed.split_first_chunk::<8>()?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
        let id = u64::from_be_bytes(*id);
        let (_, key) = self.keys.iter().find(|(known, _)| *known == id)?;
        let mut text = text.to_vec();
        let length = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

/// Whether objects with this key are encrypted.
pub(super) fn is_encrypted(object: &ObjectKey) -> bool {
    ENCRYPTED.contains(&(object.resource.group.as_str(), object.resource.resource.as_str()))
}

/// As [`is_encrypted`], for a key without the plane as it is stored.
pub(super) fn is_encrypted_key(local_key: &[u8]) -> bool {
    key::decode_local(local_key).is_some_and(|object| is_encrypted(&object))
}

/// What a ciphertext belongs to.
pub(super) fn place(plane: u64, revision: u64, local_key: &[u8]) -> Vec<u8> {
    [plane.to_be_bytes().as_slice(), &revision.to_be_bytes(), local_key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_and_texts_kept_to_their_place() {
        let text = |byte: u8| base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        let old = EncryptionKeys::parse(&text(1)).unwrap();
        let both = EncryptionKeys::parse(&format!("# new\n{}\n\n{}\n", text(2), text(1))).unwrap();
        let sealed = old.seal(b"place", b"{}").unwrap();
        assert_eq!(both.open(b"place", &sealed).as_deref(), Some(&b"{}"[..]));
        assert_eq!(both.open(b"other", &sealed), None);
        assert_eq!(old.open(b"place", &both.seal(b"place", b"{}").unwrap()), None);
        assert_eq!(old.open(b"place", &sealed[..20]), None);
        assert_eq!((both.has(old.id()), old.has(both.id())), (true, false));
        assert_eq!(EncryptionKeys::parse("# nothing\n").unwrap_err(), EncryptionKeyError::Empty);
        assert_eq!(EncryptionKeys::parse("\nabc").unwrap_err(), EncryptionKeyError::Line { line: 2 });
    }
}
