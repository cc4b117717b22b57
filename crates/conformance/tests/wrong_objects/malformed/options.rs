//! Paths, queries and options of deletion that are wrong.

use super::{JSON, MERGE, Requests};

impl Requests<'_> {
    pub(super) fn queries(&mut self) {
        let (text, object) = (self.text(), self.seed.object.to_string());
        for query in [
            "dryRun=None",
            "dryRun=",
            "dryRun=All&dryRun=All",
            "dryRun=All&dryRun=x",
            "dryRun=All&fieldValidation=strict",
            "dryRun=All&fieldValidation=",
            "dryRun=All&fieldManager=a%00",
            "dryRun=All&force=true",
            "dryRun=All&pretty=maybe",
            "dryRun=All&timeout=x",
            "dryRun=All&timeout=-1s",
            "dryRun=All&colour=blue",
            "dryRun=all",
        ] {
            // Refused everywhere, or without an effect: the name is taken.
            let method_paths = [("POST", self.seed.at.clone(), &object), ("PUT", self.seed.path(), &text)];
            for (method, path, body) in method_paths {
                self.add(&format!("with {query}"), method, format!("{path}?{query}"), JSON, body.clone());
            }
            let path = format!("{}?{query}", self.seed.path());
            self.add(&format!("with {query}"), "PATCH", path, MERGE, "{\"metadata\":{\"resourceVersion\":\"1\"}}");
        }
        let path = self.seed.path();
        for (method, path) in [
            ("POST", path.clone()),
            ("PUT", self.seed.at.clone()),
            ("PATCH", self.seed.at.clone()),
            ("PUT", format!("{path}/status/x")),
            ("PUT", format!("{path}/colour")),
            ("POST", format!("{path}/status")),
            ("PUT", format!("{}/missing", self.seed.at)),
            ("PATCH", format!("{}/missing", self.seed.at)),
            ("DELETE", format!("{}/missing", self.seed.at)),
            ("POST", self.seed.at.replace("default", "missing")),
            ("PUT", path.replace("default", "missing")),
            ("OPTIONS", path.clone()),
            ("HEAD", path.clone()),
            ("TRACE", path.clone()),
            ("POST", self.seed.at.replace("/v1/", "/v9/")),
            ("POST", format!("{}/", self.seed.at)),
            ("PUT", format!("{path}/")),
            ("POST", self.seed.at.replace("default", "Bad_Name")),
            ("PUT", format!("{}/Bad_Name", self.seed.at)),
            ("PUT", format!("{}/a%2Fb", self.seed.at)),
            ("PUT", format!("{}/%zz", self.seed.at)),
        ] {
            if path.contains("%zz") {
                continue;
            }
            let content_type = if method == "PATCH" { MERGE } else { JSON };
            let body =
                if ["HEAD", "OPTIONS", "TRACE", "DELETE"].contains(&method) { String::new() } else { self.text() };
            self.add(&format!("at {path}"), method, format!("{path}?dryRun=All"), content_type, body);
        }
    }

    /// Options in the body are the only ones there are, so the dry run is said there.
    pub(super) fn deletes(&mut self) {
        for body in [
            "[]",
            "5",
            "{",
            "\"x\"",
            r#"{"kind":"Other","dryRun":["All"]}"#,
            r#"{"kind":"DeleteOptions","dryRun":["All"]}"#,
            r#"{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"],"colour":1}"#,
            r#"{"apiVersion":"a/b/c","kind":"DeleteOptions","dryRun":["All"]}"#,
            r#"{"dryRun":["All"],"gracePeriodSeconds":-5}"#,
            r#"{"dryRun":["All"],"gracePeriodSeconds":"x"}"#,
            r#"{"dryRun":["All"],"propagationPolicy":"Later"}"#,
            r#"{"dryRun":["All"],"propagationPolicy":"Orphan","orphanDependents":true}"#,
            r#"{"dryRun":["All"],"preconditions":{"uid":"x"}}"#,
            r#"{"dryRun":["All"],"preconditions":{"resourceVersion":"1"}}"#,
            r#"{"dryRun":["All"],"preconditions":5}"#,
            r#"{"dryRun":["x"]}"#,
            r#"{"dryRun":"All"}"#,
            r#"{"dryRun":["All","All"]}"#,
            r#"{"dryRun":["All"],"orphanDependents":"x"}"#,
            r#"{"dryRun":["All"],"ignoreStoreReadErrorWithClusterBreakingPotential":true}"#,
        ] {
            self.add(&format!("of {body}"), "DELETE", format!("{}?dryRun=All", self.seed.path()), JSON, body);
        }
        for query in [
            "gracePeriodSeconds=x",
            "propagationPolicy=x",
            "orphanDependents=x",
            "dryRun=x",
            "gracePeriodSeconds=-1&dryRun=All",
            "fieldSelector=x",
        ] {
            self.add(&format!("with {query}"), "DELETE", format!("{}?dryRun=All&{query}", self.seed.path()), "", "");
            self.add(
                &format!("of all with {query}"),
                "DELETE",
                format!("{}?dryRun=All&{query}&labelSelector=no%3Done", self.seed.at),
                "",
                "",
            );
        }
    }

    pub(super) fn reads(&mut self) {
        for query in [
            "labelSelector=a%20b",
            "labelSelector=%3D",
            "labelSelector=a+in+b",
            "labelSelector=a+in+()",
            "labelSelector=a+notin+(b",
            "labelSelector=!a,",
            "labelSelector=a%3Db%20c",
            "labelSelector=a/b/c",
            "labelSelector=a%3E1",
            "labelSelector=a%3Ex",
            "labelSelector=A_%3DB&limit=1",
            "fieldSelector=x",
            "fieldSelector=spec.colour%3Da",
            "fieldSelector=metadata.name",
            "fieldSelector=metadata.name%3D%5C",
            "limit=x",
            "limit=-1",
            "continue=x",
            "continue=eyJ2Ijoibm8ifQ&limit=1",
            "resourceVersion=x",
            "resourceVersion=-1",
            "resourceVersionMatch=Exact",
            "resourceVersionMatch=x",
            "resourceVersionMatch=Exact&resourceVersion=0",
            "resourceVersionMatch=NotOlderThan",
            "watch=x",
            "timeoutSeconds=x",
            "allowWatchBookmarks=x",
            "watch=true&resourceVersion=x",
            "watch=true&resourceVersionMatch=Exact",
            "sendInitialEvents=true",
            "sendInitialEvents=true&watch=true",
            "watch=true&sendInitialEvents=x",
            "watch=true&limit=x",
            "watch=true&continue=x&limit=1",
            "watch=true&labelSelector=a%20b",
        ] {
            let path = format!("{}?{query}&timeoutSeconds=1", self.seed.at);
            self.add(&format!("with {query}"), "GET", path, "", "");
        }
        for query in ["resourceVersion=x", "pretty=x", "resourceVersion=-1", "resourceVersion=99999999999999999999"] {
            self.add(&format!("one with {query}"), "GET", format!("{}?{query}", self.seed.path()), "", "");
        }
    }
}
