//! Many objects as one text. They are written as they lie in the file, by several threads, and put into the order of their
//! keys afterwards: no object is copied by itself, and none has its key read.

use std::ops::Range;

/// A list whose objects are written already, see [`super::PlaneStore::write_list`].
#[derive(Debug)]
pub struct WrittenList {
    /// The revision of the snapshot: a watch from here sees every later change.
    pub revision: u64,
    parts: Vec<WrittenPart>,
}

/// What one thread has written.
#[derive(Debug, Default)]
pub(super) struct WrittenPart {
    bytes: Vec<u8>,
    /// Of each object: its place in the list, and where it is in `bytes`.
    objects: Vec<(usize, Range<usize>)>,
}

impl WrittenPart {
    pub(super) fn add<E>(&mut self, place: usize, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let begin = self.bytes.len();
        write(&mut self.bytes)?;
        self.objects.push((place, begin..self.bytes.len()));
        Ok(())
    }
}

impl WrittenList {
    /// The parts have each place once, from 0.
    pub(super) fn new(revision: u64, parts: Vec<WrittenPart>) -> Self {
        Self { revision, parts }
    }

    /// What was written, in the order of the list, between `head` and `tail` and with commas between.
    pub fn join(self, head: &str, tail: &str) -> Vec<u8> {
        let count = self.parts.iter().map(|part| part.objects.len()).sum();
        let mut objects: Vec<&[u8]> = vec![&[]; count];
        for part in &self.parts {
            for (place, range) in &part.objects {
                objects[*place] = &part.bytes[range.clone()];
            }
        }
        let length = objects.iter().map(|object| object.len() + 1).sum::<usize>();
        let mut joined = Vec::with_capacity(head.len() + length + tail.len());
        joined.extend_from_slice(head.as_bytes());
        for (place, object) in objects.into_iter().enumerate() {
            if place > 0 {
                joined.push(b',');
            }
            joined.extend_from_slice(object);
        }
        joined.extend_from_slice(tail.as_bytes());
        joined
    }
}
