//! Every parameter of a query, with every odd value, at every endpoint.

use super::super::case::Case;
use super::{APPLY, JSON, MERGE, TARGETS, Target, request};

/// Names and values, percent-encoded.
const PARAMETERS: &[(&str, &[&str])] = &[
    ("limit", &["-1", "x", "0", "1", "99999999999999999999", "1.5", ""]),
    // The last is a real one for "a\0", of a revision long gone.
    ("continue", &["x", "e30", "", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0"]),
    ("timeoutSeconds", &["x", "-1", "0", "", "1.5", "99999999999999999999"]),
    ("timeout", &["x", "-1s", "5", "1s", "34s", ""]),
    ("resourceVersion", &["x", "-1", "0", "1", "999999999", "", "1.0"]),
    ("resourceVersionMatch", &["Exact", "NotOlderThan", "x", ""]),
    ("resourceVersion=0&resourceVersionMatch", &["Exact", "NotOlderThan", "x"]),
    ("resourceVersion=1&resourceVersionMatch", &["Exact", "x"]),
    ("allowWatchBookmarks", &["x", "1", "", "true"]),
    ("sendInitialEvents", &["x", "true", "false", ""]),
    ("sendInitialEvents=true&resourceVersionMatch", &["NotOlderThan", "Exact"]),
    ("watch", &["x", "0", "false", ""]),
    (
        "labelSelector",
        &[
            "a=",
            "=a",
            "a%20in",
            "a%20in%20(",
            "a%20in%20(b",
            "!",
            "a%20b",
            "a==b=c",
            "l%20in%20(a,b)",
            "!l",
            "l%20notin%20(a)",
            "a%3E1",
            "a%3Ex",
            "a%3C=1",
            "-a",
            "a=-b",
            "a/b/c=d",
            "%C3%A9",
            "%20",
            "a=b,",
        ],
    ),
    (
        "fieldSelector",
        &[
            "metadata.name=a",
            "metadata.name!=a",
            "x=y",
            "metadata.name",
            "metadata.name=a,metadata.name=b",
            "=",
            "metadata.name==a",
            "metadata.labels=x",
            "metadata.namespace=matrix",
            "metadata.name=a%5C,b",
            "metadata.name%20in%20(a)",
            "",
        ],
    ),
    (
        "fieldManager",
        &[
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "a%01b",
            "",
            "ok",
        ],
    ),
    ("fieldValidation", &["x", "strict", "Strict", "Ignore", "Warn", ""]),
    ("dryRun", &["x", "All", "all", "", "All&dryRun=All"]),
    ("force", &["x", "true", ""]),
    ("pretty", &["x", "true", "1", "0", ""]),
    ("gracePeriodSeconds", &["x", "-1", "0", ""]),
    ("propagationPolicy", &["x", "background", "Foreground", ""]),
    ("orphanDependents", &["x", "true", ""]),
    ("orphanDependents=true&propagationPolicy", &["Orphan"]),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", &["true", "x"]),
    ("includeObject", &["x", "None", "Object", "Metadata"]),
    ("nonsense", &["x"]),
    ("limit=1&limit", &["2", "x"]),
    ("%zz", &["1"]),
    ("a%zz", &["1"]),
    (";a", &["b"]),
];

/// Queries that a watch does not end with within its second, having no time of its own or waiting in silence, and one that asks
/// how far back a server remembers, which is its own matter.
const NO_WATCHES: [&str; 5] =
    ["timeoutSeconds=-1", "timeoutSeconds=0", "timeoutSeconds=", "resourceVersion=1", "resourceVersion=999999999"];

pub(super) fn all() -> Vec<Case> {
    let queries =
        PARAMETERS.iter().flat_map(|(name, values)| values.iter().map(move |value| format!("{name}={value}")));
    let queries: Vec<String> = queries.collect();
    // What is deep about the third has nothing to do with parameters.
    TARGETS[..2].iter().flat_map(|target| queries.iter().flat_map(|query| cases(target, query))).collect()
}

fn cases(target: &Target, query: &str) -> Vec<Case> {
    let (at, path) = (target.at, target.path());
    let stored = target.named("a").to_string();
    // A list with `watch=x` is a watch.
    let second = if query.starts_with("timeoutSeconds") { "" } else { "timeoutSeconds=1&" };
    let endpoints: [(&str, &'static str, String, &str, String); 9] = [
        ("get", "GET", format!("{path}?"), "", String::new()),
        ("list", "GET", format!("{at}?{second}"), "", String::new()),
        ("watch", "GET", format!("{at}?watch=1&{second}"), "", String::new()),
        ("create", "POST", format!("{at}?dryRun=All&"), JSON, target.named("new").to_string()),
        ("update", "PUT", format!("{path}?dryRun=All&"), JSON, stored.clone()),
        ("patch", "PATCH", format!("{path}?dryRun=All&"), MERGE, r#"{"metadata":{"labels":{"x":"y"}}}"#.to_owned()),
        ("apply", "PATCH", format!("{path}?dryRun=All&{}", manager(query)), APPLY, stored),
        ("delete", "DELETE", format!("{path}?dryRun=All&"), "", String::new()),
        ("delete all", "DELETE", format!("{at}?dryRun=All&"), "", String::new()),
    ];
    let wanted = endpoints.into_iter().filter(|(endpoint, ..)| *endpoint != "watch" || !NO_WATCHES.contains(&query));
    wanted
        .map(|(endpoint, method, path, content_type, body)| {
            let name = format!("matrix of parameters: {} {endpoint} {query}", target.title);
            request(name, method, format!("{path}{query}"), content_type, body)
        })
        .collect()
}

/// Who applies has to say who it is.
fn manager(query: &str) -> &'static str {
    if query.starts_with("fieldManager") { "" } else { "fieldManager=matrix&" }
}
