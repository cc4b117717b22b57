//! Amounts by the name of what they are amounts of (`v1.ResourceList`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::quantity::Amount;

/// Amounts of resources, ordered by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceList(BTreeMap<String, Amount>);

impl ResourceList {
    /// The amounts in a map of an object. What is no quantity is left out.
    pub fn of(value: &Value) -> Self {
        let entries = value.as_object().into_iter().flatten();
        Self(entries.filter_map(|(name, amount)| Some((name.clone(), Amount::of(amount)?))).collect())
    }

    /// The map of an object.
    pub fn to_value(&self) -> Value {
        let entries = self.0.iter().map(|(name, amount)| (name.clone(), amount.to_string().into()));
        Value::Object(entries.collect::<Map<_, _>>())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The amount of a resource.
    pub fn get(&self, name: &str) -> Option<&Amount> {
        self.0.get(name)
    }

    /// Sets the amount of a resource.
    pub fn set(&mut self, name: impl Into<String>, amount: Amount) {
        self.0.insert(name.into(), amount);
    }

    /// The names and amounts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Amount)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), amount))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Adds the amounts of another list to these.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let sum = self.get(name).map_or_else(|| amount.clone(), |known| known.plus(amount));
            self.set(name, sum);
        }
    }

    /// Raises each amount to that of another list.
    pub fn raise(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            if self.get(name).is_none_or(|known| amount > known) {
                self.set(name, amount.clone());
            }
        }
    }

    /// Sets all amounts of another list.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How much more these are than others: nothing where they are less.
    #[must_use]
    pub fn more_than(&self, others: &Self) -> Self {
        let more = self.iter().filter_map(|(name, amount)| {
            let more = others.get(name).map_or_else(|| amount.clone(), |other| amount.minus(other));
            more.quantity().is_positive().then(|| (name.to_owned(), more))
        });
        Self(more.collect())
    }

    /// Only those whose name and amount are wanted.
    #[must_use]
    pub fn only(&self, mut is_wanted: impl FnMut(&str, &Amount) -> bool) -> Self {
        let wanted = self.iter().filter(|(name, amount)| is_wanted(name, amount));
        Self(wanted.map(|(name, amount)| (name.to_owned(), amount.clone())).collect())
    }
}

impl std::fmt::Display for ResourceList {
    /// `cpu=1,pods=2`, as messages have it.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (name, amount)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(formatter, "{separator}{name}={amount}")?;
        }
        Ok(())
    }
}
