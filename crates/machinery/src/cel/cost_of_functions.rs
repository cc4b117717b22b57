//! What a call of a function may cost at most (`k8s.io/apiserver/pkg/cel/library/cost.go`, cel-go 0.26 `checker/cost.go` and
//! `ext/lists.go`). The numbers are a part of the API: they decide which rules a definition may have.

use kube_cel::cel::common::ast::{Expr, LiteralValue, operators};

use super::{
    cost::{CallEstimate, Node, Sizes},
    estimate::Estimate,
    types::Type,
};

/// Of passing over a character.
const CHARACTER: f64 = 0.1;
/// Of a character of a regular expression.
const PATTERN_CHARACTER: f64 = 0.25;
const NEW_LIST: u64 = 10;
/// A list of values and a requirement.
const REQUIREMENT: f64 = 50.0;
/// The longest regular expression behind a named format.
const FORMAT_PATTERN: f64 = 128.0;
/// The longest named format.
const FORMAT: u64 = 64;
/// An authorization check: two of them are what an expression can afford.
const CHECK: u64 = 350_000;

/// Types that are compared at once.
const COMPARED_AT_ONCE: [&str; 9] = [
    "net.IP",
    "net.CIDR",
    "kubernetes.Quantity",
    "kubernetes.Semver",
    "kubernetes.authorization.Authorizer",
    "kubernetes.authorization.PathCheck",
    "kubernetes.authorization.GroupCheck",
    "kubernetes.authorization.ResourceCheck",
    "kubernetes.authorization.Decision",
];

/// A call of one overload of a function.
pub(super) struct CallCost<'c, 'e> {
    pub(super) name: &'c str,
    /// The types the overload is declared with, first that of the target.
    pub(super) way: &'c [Type],
    /// What it is called on.
    pub(super) target: Option<&'c Node<'e>>,
    pub(super) arguments: &'c [Node<'e>],
}

impl CallCost<'_, '_> {
    /// What the call costs without its arguments, if the libraries say so.
    pub(super) fn estimate(&self, sizes: &dyn Sizes) -> Option<CallEstimate> {
        if let Some(estimate) = self.of_lists() {
            return Some(estimate);
        }
        let first = self.arguments.first();
        let cost = |cost: Estimate| Some(CallEstimate { cost, size: None });
        let with_size = |cost: Estimate, size: Estimate| Some(CallEstimate { cost, size: Some(size) });
        let passed = |node: &Node<'_>| node.size().times_factor(CHARACTER);
        match self.name {
            "check" => cost(Estimate::fixed(CHECK)),
            "serviceAccount"
            | "path"
            | "group"
            | "resource"
            | "subresource"
            | "namespace"
            | "name"
            | "allowed"
            | "reason"
            | "error"
            | "errored"
            | "masked"
            | "prefixLength"
            | "family"
            | "isUnspecified"
            | "isLoopback"
            | "isLinkLocalMulticast"
            | "isLinkLocalUnicast"
            | "isGlobalUnicast"
            | "format.named"
            | "sign"
            | "asInteger"
            | "isInteger"
            | "asApproximateFloat"
            | "isGreaterThan"
            | "isLessThan"
            | "compareTo"
            | "add"
            | "sub"
            | "major"
            | "minor"
            | "patch"
            | "getScheme"
            | "getHostname"
            | "getHost"
            | "getPort"
            | "getEscapedPath"
            | "getQuery" => cost(Estimate::fixed(1)),
            "fieldSelector" | "labelSelector" => cost(selector(first?.size())),
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
                let target = self.target?;
                match target.item(sizes) {
                    Some(item) => {
                        let mut of_item = Estimate::fixed(1);
                        if matches!(item.of, Type::String | Type::Bytes) {
                            of_item = of_item.plus(passed(&item));
                        }
                        cost(target.size().times(of_item))
                    }
                    None => cost(passed(target)),
                }
            }
            "url" | "jsonpatch.escapeKey" => with_size(passed(first?), first?.size()),
            "lowerAscii" | "upperAscii" | "substring" | "trim" => with_size(passed(self.target?), self.target?.size()),
            "replace" => {
                let (target, [from, to, ..]) = (self.target?, self.arguments) else { return None };
                with_size(target.size().times_factor(2.0 * CHARACTER), replaced(target.size(), from.size(), to.size()))
            }
            "split" => {
                let size = self.target?.size();
                let most = self.arguments.get(1).and_then(number).map_or(size.max, i64::cast_unsigned);
                with_size(size.times_factor(2.0 * CHARACTER), Estimate { min: 0, max: most })
            }
            "join" => {
                let target = self.target?;
                let items = target.size();
                let mut size = target.item(sizes).map_or(Estimate::NOTHING, |item| items.times(item.size()));
                if let Some(separator) = first {
                    let separators = Estimate { min: items.min.saturating_sub(1), max: items.max.saturating_sub(1) };
                    size = size.plus(separator.size().times(separators));
                }
                with_size(size.times_factor(CHARACTER), size)
            }
            "find" | "findAll" => {
                let size = self.target?.size();
                let of_text = size.plus(Estimate::fixed(1)).times_factor(CHARACTER);
                let of_pattern = first?.size().times_factor(PATTERN_CHARACTER);
                with_size(of_text.times(of_pattern), Estimate { min: 0, max: size.max })
            }
            "ip" if self.way.first() != Some(&Type::String) => cost(Estimate::fixed(1)),
            "ip" | "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                cost(passed(first?))
            }
            "ip.isCanonical" => cost(first?.size().times_factor(2.0 * CHARACTER)),
            "containsIP" | "containsCIDR" => {
                let address = Estimate { min: 4, max: 16 };
                let mut compared = address.plus(address).times_factor(CHARACTER);
                if self.name == "containsCIDR" {
                    compared = compared.plus(address.times_factor(CHARACTER)).plus(Estimate::fixed(1));
                }
                if self.way.get(1) == Some(&Type::String) {
                    compared = compared.plus(passed(first?));
                }
                cost(compared)
            }
            "validate" => cost(passed(first?).times_factor(FORMAT_PATTERN * PATTERN_CHARACTER)),
            operators::EQUALS => self.equality(),
            _ => None,
        }
    }

    /// Functions on lists and sets.
    fn of_lists(&self) -> Option<CallEstimate> {
        let made = |factor: f64, size: Estimate| {
            let cost = size.times_factor(factor).plus(Estimate::fixed(1 + NEW_LIST));
            Some(CallEstimate { cost, size: Some(size) })
        };
        let first = self.arguments.first();
        let literal = |node: &Node<'_>, otherwise: u64| {
            number(node).and_then(|number| u64::try_from(number).ok()).unwrap_or(otherwise)
        };
        let squared = |size: Estimate| size.times(size);
        match (self.name, self.arguments.len()) {
            ("sets.contains" | "sets.intersects" | "sets.equivalent", 2) => {
                let factor = if self.name == "sets.equivalent" { 2.0 } else { 1.0 };
                let pairs = self.arguments[0].size().times(self.arguments[1].size());
                Some(CallEstimate { cost: pairs.times_factor(factor).plus(Estimate::fixed(1)), size: None })
            }
            ("slice", 2) => {
                let start = literal(&self.arguments[0], 0);
                let end = literal(&self.arguments[1], self.target?.size().max);
                made(1.0, Estimate::fixed(end.wrapping_sub(start)))
            }
            ("lists.range", 1) => made(1.0, Estimate::fixed(literal(first?, u64::MAX))),
            ("reverse", 0) => made(1.0, self.target?.size()),
            ("flatten", _) => {
                let depth = first.map_or(1, |depth| literal(depth, u64::MAX));
                #[expect(clippy::cast_precision_loss, reason = "as in the real server")]
                made(depth as f64, self.target?.size())
            }
            ("distinct", 0) => made(2.0, squared(self.target?.size())),
            ("sort", 0) => made(sort_factor(self.way.first()), squared(self.target?.size())),
            ("@sortByAssociatedKeys", 1) => made(sort_factor(self.way.get(1)), squared(first?.size())),
            _ => None,
        }
    }

    fn equality(&self) -> Option<CallEstimate> {
        let [left, right] = self.arguments else { return None };
        if left.of != right.of {
            return None;
        }
        let (Type::Object(name) | Type::Opaque(name, _)) = &left.of else { return None };
        let cost = match &**name {
            "kubernetes.NamedFormat" => Estimate { min: 1, max: FORMAT }.times_factor(CHARACTER),
            "kubernetes.URL" => {
                let most = right.known_size().map_or(1, |size| size.max);
                Estimate { min: 1, max: most }.times_factor(CHARACTER)
            }
            name if COMPARED_AT_ONCE.contains(&name) => Estimate::fixed(1),
            _ => return None,
        };
        Some(CallEstimate { cost, size: None })
    }

    /// Whether this puts two values together.
    pub(super) fn adds_sizes(&self) -> bool {
        matches!(self.way.first(), Some(Type::String | Type::Bytes | Type::List(_)))
    }

    /// What it costs to put two values together to one of this size. Lists are only chained.
    pub(super) fn addition(&self, result: Estimate) -> Estimate {
        match self.way.first() {
            Some(Type::List(_)) => Estimate::fixed(1),
            _ => result.times_factor(CHARACTER),
        }
    }

    /// What the other operators and functions of the language cost, without their arguments.
    pub(super) fn of_operator(&self) -> Estimate {
        let size = |at: usize| self.arguments.get(at).map_or(Estimate::UNKNOWN, Node::size);
        match (self.name, self.target, self.way) {
            ("format", Some(target), _) => target.size().times_factor(CHARACTER),
            ("bytes", None, [Type::String]) | ("string", None, [Type::Bytes]) | ("strings.quote", None, _) => {
                size(0).times_factor(CHARACTER)
            }
            ("startsWith" | "endsWith", Some(_), _) => size(0).times_factor(CHARACTER),
            (operators::IN, None, [_, Type::List(_)]) => size(1),
            ("matches", Some(target), _) => {
                let of_text = target.size().plus(Estimate::fixed(1)).times_factor(CHARACTER);
                of_text.times(size(0).times_factor(PATTERN_CHARACTER))
            }
            ("contains", Some(target), _) => {
                target.size().times_factor(CHARACTER).times(size(0).times_factor(CHARACTER))
            }
            (operators::EQUALS | operators::NOT_EQUALS, ..)
            | (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                _,
                [Type::String | Type::Bytes, _],
            ) => compared(size(0), size(1)),
            _ => Estimate::fixed(1),
        }
    }

    /// The size of the result of a conversion.
    pub(super) fn converted_size(&self) -> Option<Estimate> {
        let size = self.arguments.first()?.size();
        match (self.name, self.target, self.way) {
            ("bytes", None, [Type::String]) => Some(Estimate { min: size.min, max: size.max.wrapping_mul(4) }),
            ("string", None, [Type::Bytes]) => Some(Estimate { min: size.min / 4, max: size.max }),
            ("strings.quote", None, _) => {
                Some(Estimate { min: size.min.wrapping_add(2), max: size.max.wrapping_mul(2).wrapping_add(2) })
            }
            _ => None,
        }
    }
}

/// Two texts are compared as far as the shorter reaches.
fn compared(one: Estimate, other: Estimate) -> Estimate {
    let most = one.max.min(other.max);
    Estimate { min: most.min(1), max: most }.times_factor(CHARACTER)
}

fn selector(length: Estimate) -> Estimate {
    let requirements = length.times_factor(0.5).times_factor(REQUIREMENT);
    Estimate::fixed(NEW_LIST).plus(length.times_factor(CHARACTER)).plus(requirements)
}

fn sort_factor(list: Option<&Type>) -> f64 {
    match list {
        Some(Type::List(item)) if matches!(**item, Type::String | Type::Bytes) => 2.0 + CHARACTER,
        _ => 2.0,
    }
}

/// The size of a text in which one part is replaced by another, wherever it is.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the real server calculates with the same loss"
)]
fn replaced(text: Estimate, from: Estimate, to: Estimate) -> Estimate {
    let parts = |length: u64, part: u64| (length as f64 / part as f64).ceil() as u64;
    let (mut count, mut kept) = (Estimate::NOTHING, Estimate::NOTHING);
    if from.min == 0 {
        (count.max, kept.max) = (text.max.saturating_add(1), text.max);
    } else if to.max <= from.min {
        kept.max = text.max;
    } else {
        count.max = parts(text.max, from.min);
    }
    if from.max == 0 {
        (count.min, kept.min) = (text.min.saturating_add(1), text.min);
    } else if from.max <= to.min {
        kept.min = text.min;
    } else {
        count.min = parts(text.min, from.max);
    }
    count.times(to).plus(kept)
}

/// A whole number that is written out.
fn number(node: &Node<'_>) -> Option<i64> {
    match &node.expression?.expr {
        Expr::Literal(LiteralValue::Int(number)) => Some(*number.inner()),
        _ => None,
    }
}
