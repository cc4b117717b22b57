//! What ResourceQuotas allow: how much of what an object uses, whether that still fits, and what a quota's status says
//! (the admission plugin `ResourceQuota`, `pkg/quota/v1` and the resource quota controller of Kubernetes).

mod evaluator;
mod pods;
mod scopes;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use self::evaluator::{Evaluator, resources_counted_by};
pub use self::pods::frees;
use crate::{quantity::Amount, resource_list::ResourceList};

/// One write, as quotas see it.
#[derive(Clone, Debug)]
pub struct Request {
    /// How objects of the kind are counted.
    pub evaluator: Evaluator,
    /// Name of the endpoint; empty for the object itself.
    pub subresource: &'static str,
    /// The object before, absent for a create.
    pub old: Option<Value>,
    /// The object as it is to be stored.
    pub new: Value,
}

impl Request {
    /// The write, if it is of a kind that changes what quotas count; without looking at its objects.
    pub fn may_concern(evaluator: &Evaluator, subresource: &str, is_create: bool) -> bool {
        match (evaluator, subresource) {
            (Evaluator::Objects(_), "") => is_create,
            (_, "") => true,
            (Evaluator::PersistentVolumeClaims, "status") => !is_create,
            _ => false,
        }
    }

    fn concerns(&self) -> bool {
        let Some(old) = &self.old else { return true };
        self.evaluator != Evaluator::Pods || pods::is_terminating(old) != pods::is_terminating(&self.new)
    }
}

/// The new `status.used` of each quota that a write changes, by its index.
///
/// # Errors
/// Why the write is forbidden, as the text after `is forbidden: `.
pub fn charge(quotas: &[Value], request: &Request, now: Timestamp) -> Result<Vec<(usize, ResourceList)>, String> {
    if !request.concerns() {
        return Ok(Vec::new());
    }
    let evaluator = &request.evaluator;
    let mut matching = Vec::new();
    for (index, quota) in quotas.iter().enumerate() {
        let hard = ResourceList::of(&quota["status"]["hard"]);
        if !matches(quota, &hard, evaluator, &request.new) {
            continue;
        }
        let tracked: Vec<&str> = hard.names().filter(|name| evaluator.tracks(name)).collect();
        let name = quota["metadata"]["name"].as_str().unwrap_or_default();
        if let Some(missing) = evaluator.missing(&tracked, &request.new) {
            return Err(format!("failed quota: {name}: {missing}"));
        }
        let used = ResourceList::of(&quota["status"]["used"]);
        if tracked.iter().any(|name| used.get(name).is_none()) {
            return Err(format!("status unknown for quota: {name}, resources: {}", tracked.join(",")));
        }
        matching.push((index, name, hard, used));
    }
    let usage = evaluator.usage(&request.new, now);
    let negative = usage.only(|_, amount| amount.quantity().is_negative());
    if !negative.is_empty() {
        let names: Vec<&str> = negative.names().collect();
        return Err(format!("quota usage is negative for resource(s): {}", names.join(",")));
    }
    let mut charged = Vec::new();
    for (index, name, hard, used) in matching {
        // What did not count before counts as a whole.
        let before = request.old.as_ref().filter(|old| matches(&quotas[index], &hard, evaluator, old));
        let more = match before {
            Some(old) => usage.more_than(&evaluator.usage(old, now)),
            None => usage.clone(),
        };
        let requested = more.only(|name, amount| !amount.is_zero() && hard.get(name).is_some());
        let mut sum = used.clone();
        sum.add(&requested);
        if request.subresource != "status" {
            let is_exceeded = |name: &str| {
                requested.get(name).is_some() && sum.get(name).zip(hard.get(name)).is_some_and(|(sum, hard)| sum > hard)
            };
            let of = |list: &ResourceList| list.only(|name, _| is_exceeded(name));
            let exceeded = of(&requested);
            if !exceeded.is_empty() {
                let (used, limited) = (of(&used), of(&hard));
                return Err(format!("exceeded quota: {name}, requested: {exceeded}, used: {used}, limited: {limited}"));
            }
        }
        if sum != used {
            charged.push((index, sum));
        }
    }
    Ok(charged)
}

fn matches(quota: &Value, hard: &ResourceList, evaluator: &Evaluator, object: &Value) -> bool {
    hard.names().any(|name| evaluator.tracks(name)) && scopes::match_all(quota, evaluator, object)
}

/// What objects of one kind use of a quota: also nothing, where it counts something that none of them uses.
pub fn usage<'o>(
    quota: &Value,
    evaluator: &Evaluator,
    objects: impl Iterator<Item = &'o Value>,
    now: Timestamp,
) -> ResourceList {
    let mut total = tracked(quota, evaluator);
    for object in objects.filter(|object| scopes::match_all(quota, evaluator, object)) {
        total.add(&evaluator.usage(object, now));
    }
    total.only(|name, _| !quota["spec"]["hard"][name].is_null())
}

/// As [`usage`], of objects of which only their number counts.
pub fn usage_of_number(quota: &Value, evaluator: &Evaluator, number: u64) -> ResourceList {
    let counts = scopes::match_all(quota, evaluator, &Value::Null);
    let number = if counts { i64::try_from(number).unwrap_or(i64::MAX) } else { 0 };
    let mut total = tracked(quota, evaluator);
    let names: Vec<String> = total.names().map(str::to_owned).collect();
    for name in names {
        total.set(name, Amount::count(number));
    }
    total
}

fn tracked(quota: &Value, evaluator: &Evaluator) -> ResourceList {
    let mut tracked = ResourceList::default();
    for name in names(&quota["spec"]["hard"]).filter(|name| evaluator.tracks(name)) {
        tracked.set(name, Amount::count(0));
    }
    tracked
}

/// The names in a map of amounts.
pub fn names(amounts: &Value) -> impl Iterator<Item = &str> {
    amounts.as_object().into_iter().flat_map(|amounts| amounts.keys().map(String::as_str))
}

/// The status of a quota of which so much is used; none where it says so already. What could not be counted stays.
pub fn refreshed_status(quota: &Value, counted: ResourceList) -> Option<Value> {
    let (spec, status) = (&quota["spec"], &quota["status"]);
    let (hard, known_hard) = (ResourceList::of(&spec["hard"]), ResourceList::of(&status["hard"]));
    let known_used = ResourceList::of(&status["used"]);
    let mut used = known_used.clone();
    used.extend(counted);
    let used = used.only(|name, _| hard.get(name).is_some());
    let is_complete = status["hard"].is_object() && status["used"].is_object();
    let is_known = is_complete && hard == known_hard && used == known_used;
    (!is_known).then(|| json!({"hard": hard.to_value(), "used": used.to_value()}))
}
