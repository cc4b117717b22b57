//! How a value is reached from a variable.

use std::{cell::RefCell, rc::Rc};

/// The variable, then names of fields or one of the steps below. Empty for a value that is not reached from a variable.
///
/// Paths are Go slices: one that was made longer shares its names with what it was made of as long as there is room, so that
/// of two paths `a.b.c` and `a.b.d` the first may become the second. cel-go estimates by what it reads then, and so do we.
#[derive(Clone, Debug, Default)]
pub(super) struct ValuePath {
    names: Rc<RefCell<Vec<Rc<str>>>>,
    room: usize,
    length: usize,
}

/// An item of a list.
pub(crate) const ITEMS: &str = "@items";
/// A key of a map.
pub(crate) const KEYS: &str = "@keys";
/// A value of a map.
pub(crate) const VALUES: &str = "@values";
/// An index of a list.
pub(super) const INDICES: &str = "@indices";

impl ValuePath {
    pub(super) fn of_variable(name: &str) -> Self {
        Self { names: Rc::new(RefCell::new(vec![name.into()])), room: 1, length: 1 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// One step further (`append`).
    pub(super) fn below(&self, step: &str) -> Self {
        let length = self.length + 1;
        if length <= self.room {
            let mut names = self.names.borrow_mut();
            match names.get_mut(self.length) {
                Some(name) => *name = step.into(),
                None => names.push(step.into()),
            }
            return Self { names: Rc::clone(&self.names), room: self.room, length };
        }
        Self { names: Rc::new(RefCell::new(self.names_below(step))), room: (2 * self.room).max(1), length }
    }

    /// The names with one more, which no other path shares.
    pub(super) fn names_below(&self, step: &str) -> Vec<Rc<str>> {
        let mut names = self.names();
        names.push(step.into());
        names
    }

    pub(super) fn names(&self) -> Vec<Rc<str>> {
        self.names.borrow()[..self.length].to_vec()
    }
}
