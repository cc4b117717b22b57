//! What the functions and operators of expressions take and give (cel-go's standard library and the libraries
//! kube-apiserver 1.36 adds to it, `k8s.io/apiserver/pkg/cel/environment/base.go`).

use std::{collections::HashMap, sync::LazyLock};

use super::types::Type;

/// One way to call a function.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    /// Whether it is called on its first argument.
    pub(crate) is_member: bool,
    /// With the value it is called on, if any.
    pub(crate) arguments: Vec<Type>,
    pub(crate) result: Type,
}

/// The ways to call a function, none of one that does not exist.
pub(crate) fn signatures(function: &str) -> Option<&'static [Signature]> {
    FUNCTIONS.get(function).map(Vec::as_slice)
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<Signature>>> = LazyLock::new(|| {
    let mut functions: HashMap<&'static str, Vec<Signature>> = HashMap::new();
    for line in DECLARATIONS.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((name, ways)) = line.split_once(": ") else { continue };
        for way in ways.split("; ") {
            functions.entry(name).or_default().extend(expand(way).iter().filter_map(|way| read(way)));
        }
    }
    functions
});

/// One line a function, its ways to be called separated by semicolons. Single capitals are variables; `{comparable}` and
/// `{summable}` stand for each of several types, `[Z]` for an optional name of a time zone.
const DECLARATIONS: &str = "
    _?_:_: (bool, A, A) -> A
    _&&_: (bool, bool) -> bool
    _||_: (bool, bool) -> bool
    !_: (bool) -> bool
    @not_strictly_false: (bool) -> bool
    _==_: (A, A) -> bool
    _!=_: (A, A) -> bool
    _+_: (bytes, bytes) -> bytes; (double, double) -> double; (duration, duration) -> duration; (duration, timestamp) -> timestamp; (timestamp, duration) -> timestamp; (int, int) -> int; (list(A), list(A)) -> list(A); (string, string) -> string; (uint, uint) -> uint
    _/_: (double, double) -> double; (int, int) -> int; (uint, uint) -> uint
    _%_: (int, int) -> int; (uint, uint) -> uint
    _*_: (double, double) -> double; (int, int) -> int; (uint, uint) -> uint
    -_: (double) -> double; (int) -> int
    _-_: (double, double) -> double; (duration, duration) -> duration; (int, int) -> int; (timestamp, duration) -> timestamp; (timestamp, timestamp) -> duration; (uint, uint) -> uint
    _<_: ({comparable}, {comparable}) -> bool; (int, double) -> bool; (int, uint) -> bool; (uint, double) -> bool; (uint, int) -> bool; (double, int) -> bool; (double, uint) -> bool
    _<=_: ({comparable}, {comparable}) -> bool; (int, double) -> bool; (int, uint) -> bool; (uint, double) -> bool; (uint, int) -> bool; (double, int) -> bool; (double, uint) -> bool
    _>_: ({comparable}, {comparable}) -> bool; (int, double) -> bool; (int, uint) -> bool; (uint, double) -> bool; (uint, int) -> bool; (double, int) -> bool; (double, uint) -> bool
    _>=_: ({comparable}, {comparable}) -> bool; (int, double) -> bool; (int, uint) -> bool; (uint, double) -> bool; (uint, int) -> bool; (double, int) -> bool; (double, uint) -> bool
    _[_]: (list(A), int) -> A; (map(A, B), A) -> B; (optional_type(list(V)), int) -> optional_type(V); (optional_type(map(K, V)), K) -> optional_type(V)
    _[?_]: (list(V), int) -> optional_type(V); (optional_type(list(V)), int) -> optional_type(V); (map(K, V), K) -> optional_type(V); (optional_type(map(K, V)), K) -> optional_type(V)
    @in: (A, list(A)) -> bool; (A, map(A, B)) -> bool
    size: (bytes) -> int; bytes.() -> int; (list(A)) -> int; list(A).() -> int; (map(A, B)) -> int; map(A, B).() -> int; (string) -> int; string.() -> int
    type: (A) -> type(A)
    bool: (bool) -> bool; (string) -> bool
    bytes: (bytes) -> bytes; (string) -> bytes
    double: (double) -> double; (int) -> double; (string) -> double; (uint) -> double
    duration: (duration) -> duration; (int) -> duration; (string) -> duration
    dyn: (A) -> dyn
    int: (int) -> int; (double) -> int; (duration) -> int; (string) -> int; (timestamp) -> int; (uint) -> int
    string: (string) -> string; (bool) -> string; (bytes) -> string; (double) -> string; (duration) -> string; (int) -> string; (timestamp) -> string; (uint) -> string; (net.IP) -> string; (net.CIDR) -> string
    timestamp: (timestamp) -> timestamp; (int) -> timestamp; (string) -> timestamp
    uint: (uint) -> uint; (double) -> uint; (int) -> uint; (string) -> uint
    contains: string.(string) -> bool
    endsWith: string.(string) -> bool
    startsWith: string.(string) -> bool
    matches: (string, string) -> bool; string.(string) -> bool
    getFullYear: timestamp.([Z]) -> int
    getMonth: timestamp.([Z]) -> int
    getDayOfYear: timestamp.([Z]) -> int
    getDayOfMonth: timestamp.([Z]) -> int
    getDate: timestamp.([Z]) -> int
    getDayOfWeek: timestamp.([Z]) -> int
    getHours: timestamp.([Z]) -> int; duration.() -> int
    getMinutes: timestamp.([Z]) -> int; duration.() -> int
    getSeconds: timestamp.([Z]) -> int; duration.() -> int
    getMilliseconds: timestamp.([Z]) -> int; duration.() -> int
    optional.of: (V) -> optional_type(V)
    optional.ofNonZeroValue: (V) -> optional_type(V)
    optional.none: () -> optional_type(V)
    optional.unwrap: (list(optional_type(V))) -> list(V)
    unwrapOpt: list(optional_type(V)).() -> list(V)
    value: optional_type(V).() -> V
    hasValue: optional_type(V).() -> bool
    or: optional_type(V).(optional_type(V)) -> optional_type(V)
    orValue: optional_type(V).(V) -> V
    first: list(V).() -> optional_type(V)
    last: list(V).() -> optional_type(V)
    charAt: string.(int) -> string
    indexOf: string.(string) -> int; string.(string, int) -> int; list(A).(A) -> int
    lastIndexOf: string.(string) -> int; string.(string, int) -> int; list(A).(A) -> int
    lowerAscii: string.() -> string
    upperAscii: string.() -> string
    replace: string.(string, string) -> string; string.(string, string, int) -> string
    split: string.(string) -> list(string); string.(string, int) -> list(string)
    substring: string.(int) -> string; string.(int, int) -> string
    trim: string.() -> string
    format: string.(list(dyn)) -> string
    strings.quote: (string) -> string
    join: list(string).() -> string; list(string).(string) -> string
    sets.contains: (list(T), list(T)) -> bool
    sets.equivalent: (list(T), list(T)) -> bool
    sets.intersects: (list(T), list(T)) -> bool
    slice: list(T).(int, int) -> list(T)
    flatten: list(list(T)).() -> list(T); list(dyn).(int) -> list(dyn)
    sort: list({comparable}).() -> list({comparable})
    lists.range: (int) -> list(int)
    reverse: list(T).() -> list(T)
    distinct: list(T).() -> list(T)
    isSorted: list({comparable}).() -> bool
    sum: list({summable}).() -> {summable}
    max: list({comparable}).() -> {comparable}
    min: list({comparable}).() -> {comparable}
    find: string.(string) -> string
    findAll: string.(string) -> list(string); string.(string, int) -> list(string)
    url: (string) -> kubernetes.URL
    isURL: (string) -> bool
    getScheme: kubernetes.URL.() -> string
    getHost: kubernetes.URL.() -> string
    getHostname: kubernetes.URL.() -> string
    getPort: kubernetes.URL.() -> string
    getEscapedPath: kubernetes.URL.() -> string
    getQuery: kubernetes.URL.() -> map(string, list(string))
    quantity: (string) -> kubernetes.Quantity
    isQuantity: (string) -> bool
    sign: (kubernetes.Quantity) -> int
    isGreaterThan: kubernetes.Quantity.(kubernetes.Quantity) -> bool; kubernetes.Semver.(kubernetes.Semver) -> bool
    isLessThan: kubernetes.Quantity.(kubernetes.Quantity) -> bool; kubernetes.Semver.(kubernetes.Semver) -> bool
    compareTo: kubernetes.Quantity.(kubernetes.Quantity) -> int; kubernetes.Semver.(kubernetes.Semver) -> int
    asApproximateFloat: kubernetes.Quantity.() -> double
    asInteger: kubernetes.Quantity.() -> int
    isInteger: kubernetes.Quantity.() -> bool
    add: kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity; kubernetes.Quantity.(int) -> kubernetes.Quantity
    sub: kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity; kubernetes.Quantity.(int) -> kubernetes.Quantity
    semver: (string) -> kubernetes.Semver; (string, bool) -> kubernetes.Semver
    isSemver: (string) -> bool; (string, bool) -> bool
    major: kubernetes.Semver.() -> int
    minor: kubernetes.Semver.() -> int
    patch: kubernetes.Semver.() -> int
    ip: (string) -> net.IP; net.CIDR.() -> net.IP
    isIP: (string) -> bool
    ip.isCanonical: (string) -> bool
    family: net.IP.() -> int
    isUnspecified: net.IP.() -> bool
    isLoopback: net.IP.() -> bool
    isLinkLocalMulticast: net.IP.() -> bool
    isLinkLocalUnicast: net.IP.() -> bool
    isGlobalUnicast: net.IP.() -> bool
    cidr: (string) -> net.CIDR
    isCIDR: (string) -> bool
    containsIP: net.CIDR.(string) -> bool; net.CIDR.(net.IP) -> bool
    containsCIDR: net.CIDR.(string) -> bool; net.CIDR.(net.CIDR) -> bool
    prefixLength: net.CIDR.() -> int
    masked: net.CIDR.() -> net.CIDR
    validate: kubernetes.NamedFormat.(string) -> optional_type(list(string))
    format.named: (string) -> optional_type(kubernetes.NamedFormat)
    format.dns1123Label: () -> kubernetes.NamedFormat
    format.dns1123Subdomain: () -> kubernetes.NamedFormat
    format.dns1035Label: () -> kubernetes.NamedFormat
    format.qualifiedName: () -> kubernetes.NamedFormat
    format.dns1123LabelPrefix: () -> kubernetes.NamedFormat
    format.dns1123SubdomainPrefix: () -> kubernetes.NamedFormat
    format.dns1035LabelPrefix: () -> kubernetes.NamedFormat
    format.labelValue: () -> kubernetes.NamedFormat
    format.uri: () -> kubernetes.NamedFormat
    format.uuid: () -> kubernetes.NamedFormat
    format.byte: () -> kubernetes.NamedFormat
    format.date: () -> kubernetes.NamedFormat
    format.datetime: () -> kubernetes.NamedFormat
    path: kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.PathCheck
    group: kubernetes.authorization.Authorizer.(string) -> kubernetes.authorization.GroupCheck
    serviceAccount: kubernetes.authorization.Authorizer.(string, string) -> kubernetes.authorization.Authorizer
    resource: kubernetes.authorization.GroupCheck.(string) -> kubernetes.authorization.ResourceCheck
    subresource: kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck
    namespace: kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck
    name: kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck
    fieldSelector: kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck
    labelSelector: kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.ResourceCheck
    check: kubernetes.authorization.PathCheck.(string) -> kubernetes.authorization.Decision; kubernetes.authorization.ResourceCheck.(string) -> kubernetes.authorization.Decision
    errored: kubernetes.authorization.Decision.() -> bool
    error: kubernetes.authorization.Decision.() -> string
    allowed: kubernetes.authorization.Decision.() -> bool
    reason: kubernetes.authorization.Decision.() -> string
    jsonpatch.escapeKey: (string) -> string
    cel.@mapInsert: (map(K, V), K, V) -> map(K, V); (map(K, V), map(K, V)) -> map(K, V)
    @sortByAssociatedKeys: list(T).(list({comparable})) -> list(T)
";

/// The signatures that a pattern stands for.
fn expand(way: &str) -> Vec<String> {
    const SUMMABLE: [&str; 4] = ["int", "uint", "double", "duration"];
    const COMPARABLE: [&str; 8] = ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"];
    if way.contains("{comparable}") {
        COMPARABLE.iter().map(|name| way.replace("{comparable}", name)).collect()
    } else if way.contains("{summable}") {
        SUMMABLE.iter().map(|name| way.replace("{summable}", name)).collect()
    } else if way.contains("[Z]") {
        vec![way.replace("[Z]", ""), way.replace("[Z]", "string")]
    } else {
        vec![way.to_owned()]
    }
}

/// Reads `target.(arguments) -> result`.
fn read(way: &str) -> Option<Signature> {
    let (call, result) = way.rsplit_once(" -> ")?;
    let (result, _) = read_type(result)?;
    let (target, list) = if call.starts_with('(') {
        (None, call)
    } else {
        let (target, rest) = read_type(call)?;
        (Some(target), rest.strip_prefix('.')?)
    };
    let is_member = target.is_some();
    let mut arguments: Vec<Type> = target.into_iter().collect();
    arguments.extend(read_types(list)?.0);
    Some(Signature { is_member, arguments, result })
}

/// Reads `(type, type)` and gives what follows.
fn read_types(text: &str) -> Option<(Vec<Type>, &str)> {
    let mut rest = text.strip_prefix('(')?;
    let mut types = Vec::new();
    loop {
        if let Some(rest) = rest.strip_prefix(')') {
            return Some((types, rest));
        }
        let (one, after) = read_type(rest)?;
        types.push(one);
        rest = after.strip_prefix(", ").unwrap_or(after);
    }
}

/// Reads one type and gives what follows.
fn read_type(text: &str) -> Option<(Type, &str)> {
    let ends = text.find(['(', ')', ',']).unwrap_or(text.len());
    // The target of a call ends with the dot before its arguments.
    let name = text[..ends].strip_suffix('.').unwrap_or(&text[..ends]);
    let rest = &text[name.len()..];
    let (mut parameters, rest) = if rest.starts_with('(') { read_types(rest)? } else { (Vec::new(), rest) };
    let read = match name {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "duration" => Type::Duration,
        "int" => Type::Int,
        "string" => Type::String,
        "timestamp" => Type::Timestamp,
        "uint" => Type::Uint,
        "list" => Type::list(parameters.pop()?),
        "type" => Type::Named(Box::new(parameters.pop()?)),
        "map" => {
            let value = parameters.pop()?;
            Type::map(parameters.pop()?, value)
        }
        "net.IP" | "net.CIDR" | "optional_type" => Type::Opaque(name.into(), parameters),
        _ if name.len() == 1 => Type::Parameter(name.into()),
        _ => Type::object(name),
    };
    Some((read, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declaration_can_be_read() {
        for line in DECLARATIONS.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, ways) = line.split_once(": ").unwrap();
            let expanded: usize = ways.split("; ").map(|way| expand(way).len()).sum();
            assert_eq!(signatures(name).map(<[Signature]>::len), Some(expanded), "{line}");
        }
    }
}
