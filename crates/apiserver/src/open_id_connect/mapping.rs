//! From verified claims to a user, as the configuration says: claims with prefixes, or expressions.

use std::collections::BTreeMap;

use kogge_machinery::cel::{Bindings, Outcome, Program};
use serde_json::{Map, Number, Value, json};

use crate::{
    authentication::{AUTHENTICATED, CREDENTIAL_ID, User},
    authentication_configuration::{JwtAuthenticator, PrefixedMapping},
};

/// The claim mappings and rules of one issuer, compiled.
#[derive(Debug)]
pub(super) struct UserMapping {
    username: Source,
    groups: Source,
    uid: Source,
    extra: Vec<(String, Program)>,
    required_claims: Vec<(String, String)>,
    claim_rules: Vec<(Program, String)>,
    user_rules: Vec<(Program, String)>,
}

#[derive(Debug)]
enum Source {
    Nothing,
    Claim { name: String, prefix: String },
    Expression(Program),
}

impl Source {
    fn new(claim: &str, prefix: Option<&str>, expression: &str) -> Result<Self, String> {
        Ok(match (claim, expression) {
            ("", "") => Self::Nothing,
            ("", expression) => Self::Expression(Program::compile(expression)?),
            (claim, _) => Self::Claim { name: claim.to_owned(), prefix: prefix.unwrap_or_default().to_owned() },
        })
    }

    fn prefixed(mapping: &PrefixedMapping) -> Result<Self, String> {
        Self::new(&mapping.claim, mapping.prefix.as_deref(), &mapping.expression)
    }
}

impl UserMapping {
    /// # Errors
    /// If an expression does not compile, which a validated configuration rules out.
    pub(super) fn new(configuration: &JwtAuthenticator) -> Result<Self, String> {
        let mappings = &configuration.claim_mappings;
        let rules = &configuration.claim_validation_rules;
        let compiled = |(expression, message): (&String, &String)| Ok((Program::compile(expression)?, message.clone()));
        Ok(Self {
            username: Source::prefixed(&mappings.username)?,
            groups: Source::prefixed(&mappings.groups)?,
            uid: Source::new(&mappings.uid.claim, None, &mappings.uid.expression)?,
            extra: mappings
                .extra
                .iter()
                .map(|mapping| Ok((mapping.key.clone(), Program::compile(&mapping.value_expression)?)))
                .collect::<Result<_, String>>()?,
            required_claims: rules
                .iter()
                .filter(|rule| !rule.claim.is_empty())
                .map(|rule| (rule.claim.clone(), rule.required_value.clone()))
                .collect(),
            claim_rules: rules
                .iter()
                .filter(|rule| !rule.expression.is_empty())
                .map(|rule| (&rule.expression, &rule.message))
                .map(compiled)
                .collect::<Result<_, String>>()?,
            user_rules: configuration
                .user_validation_rules
                .iter()
                .map(|rule| (&rule.expression, &rule.message))
                .map(compiled)
                .collect::<Result<_, String>>()?,
        })
    }

    /// The user of these claims, in `system:authenticated`.
    ///
    /// # Errors
    /// Which claim or rule refuses them, in the real server's words.
    pub(super) fn user(&self, claims: &Map<String, Value>) -> Result<User, String> {
        let whole = Value::Object(claims.clone());
        let bindings = Bindings::default().with("claims", &as_expressions_see(&whole));
        let mut user = User::new(self.username(claims, &bindings)?, self.groups(claims, &bindings)?);
        user.uid = match &self.uid {
            Source::Nothing => String::new(),
            Source::Claim { name, .. } => {
                string_claim(claims, name).map_err(|error| format!("oidc: parse uid claim \"{name}\": {error}"))?
            }
            Source::Expression(program) => text(program, &bindings, "uid")?,
        };
        user.extra = self.extra(claims, &bindings)?;
        for (name, wanted) in &self.required_claims {
            let found = match claims.get(name) {
                None => return Err(format!("oidc: required claim {name} not present in ID token")),
                Some(_) => string_claim(claims, name).map_err(|error| format!("oidc: parse claim {name}: {error}"))?,
            };
            if found != *wanted {
                return Err(format!(
                    "oidc: required claim {name} value does not match. Got = {found}, want = {wanted}"
                ));
            }
        }
        check(&self.claim_rules, &bindings)
            .map_err(|error| format!("oidc: error evaluating claim validation expression: {error}"))?;
        if !self.user_rules.is_empty() {
            let info = json!({"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra});
            let bindings = Bindings::default().with("user", &as_expressions_see(&info));
            check(&self.user_rules, &bindings)
                .map_err(|error| format!("oidc: error evaluating user info validation rule: {error}"))?;
        }
        if !user.groups.iter().any(|group| group == AUTHENTICATED) {
            user.groups.push(AUTHENTICATED.to_owned());
        }
        Ok(user)
    }

    fn username(&self, claims: &Map<String, Value>, bindings: &Bindings) -> Result<String, String> {
        match &self.username {
            Source::Nothing => Err("oidc: no username mapping".to_owned()),
            Source::Expression(program) => {
                let name = text(program, bindings, "username")?;
                if name.is_empty() {
                    return Err("oidc: empty username via CEL expression is not allowed".to_owned());
                }
                Ok(name)
            }
            Source::Claim { name, prefix } => {
                let found = string_claim(claims, name)
                    .map_err(|error| format!("oidc: parse username claims \"{name}\": {error}"))?;
                if name == "email" {
                    match claims.get("email_verified") {
                        None | Some(Value::Bool(true)) => {}
                        Some(Value::Bool(false) | Value::Null) => return Err("oidc: email not verified".to_owned()),
                        Some(_) => return Err("oidc: parse 'email_verified' claim: it is no boolean".to_owned()),
                    }
                }
                Ok(format!("{prefix}{found}"))
            }
        }
    }

    fn groups(&self, claims: &Map<String, Value>, bindings: &Bindings) -> Result<Vec<String>, String> {
        match &self.groups {
            Source::Nothing => Ok(Vec::new()),
            Source::Expression(program) => texts(program, bindings)
                .map_err(|error| format!("oidc: error evaluating group claim expression: {error}")),
            Source::Claim { name, prefix } => {
                let found = match claims.get(name) {
                    None | Some(Value::Null) => return Ok(Vec::new()),
                    Some(Value::String(group)) => vec![group.as_str()],
                    Some(Value::Array(groups)) if groups.iter().all(Value::is_string) => {
                        groups.iter().filter_map(Value::as_str).collect()
                    }
                    Some(_) => {
                        return Err(format!(
                            "oidc: parse groups claim \"{name}\": it is neither a string nor a list of strings"
                        ));
                    }
                };
                Ok(found.into_iter().map(|group| format!("{prefix}{group}")).collect())
            }
        }
    }

    fn extra(&self, claims: &Map<String, Value>, bindings: &Bindings) -> Result<BTreeMap<String, Vec<String>>, String> {
        let mut extra = BTreeMap::new();
        if let Some(id) = claims.get("jti").and_then(Value::as_str).filter(|id| !id.is_empty()) {
            extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]);
        }
        for (key, program) in &self.extra {
            let values = texts(program, bindings).map_err(|error| {
                format!("oidc: error evaluating extra claim expression: {}: {error}", program.source())
            })?;
            if !values.is_empty() {
                extra.insert(key.clone(), values);
            }
        }
        Ok(extra)
    }
}

/// The text of a claim, empty for null.
fn string_claim(claims: &Map<String, Value>, name: &str) -> Result<String, &'static str> {
    match claims.get(name) {
        None => Err("claim not present"),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Null) => Ok(String::new()),
        Some(_) => Err("it is no string"),
    }
}

fn evaluate(program: &Program, bindings: &Bindings) -> Result<Outcome, String> {
    program.evaluate(bindings).map_err(|error| format!("expression '{}' resulted in error: {error}", program.source()))
}

fn text(program: &Program, bindings: &Bindings, what: &str) -> Result<String, String> {
    evaluate(program, bindings)
        .and_then(|outcome| outcome.as_text().ok_or_else(|| format!("{what} claim expression must return a string")))
        .map_err(|error| format!("oidc: error evaluating {what} claim expression: {error}"))
}

/// A string or a list of strings, without empty ones.
fn texts(program: &Program, bindings: &Bindings) -> Result<Vec<String>, String> {
    let outcome = evaluate(program, bindings)?;
    let mut texts = outcome.as_texts().ok_or("expression must return a string or a list of strings")?;
    texts.retain(|text| !text.is_empty());
    Ok(texts)
}

fn check(rules: &[(Program, String)], bindings: &Bindings) -> Result<(), String> {
    for (program, message) in rules {
        match evaluate(program, bindings)?.as_bool() {
            Some(true) => {}
            Some(false) => return Err(format!("validation expression '{}' failed: {message}", program.source())),
            None => return Err("validation expression must return a boolean".to_owned()),
        }
    }
    Ok(())
}

/// Expressions cannot select every name: `a.b` is also there as `a__dot__b`, and so on. They see all numbers as doubles.
fn as_expressions_see(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut all = Map::new();
            for (name, field) in fields {
                let field = as_expressions_see(field);
                let escaped = name
                    .replace("__", "__underscores__")
                    .replace('.', "__dot__")
                    .replace('-', "__dash__")
                    .replace('/', "__slash__");
                if escaped != *name {
                    all.insert(escaped, field.clone());
                }
                all.insert(name.clone(), field);
            }
            Value::Object(all)
        }
        Value::Array(items) => items.iter().map(as_expressions_see).collect(),
        Value::Number(number) => number.as_f64().and_then(Number::from_f64).map_or(Value::Null, Value::Number),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication_configuration::AuthenticationConfiguration;

    fn mapping(fields: &str) -> UserMapping {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer: {{url: https://i.example, audiences: [a]}}\n{fields}"
        );
        UserMapping::new(&AuthenticationConfiguration::from_yaml(&text).unwrap().jwt[0]).unwrap()
    }

    #[test]
    fn claims_become_users() {
        let claims = json!({
            "sub": "1", "email": "anna@example.com", "email_verified": true, "groups": ["a", "b"], "role": "c", "jti": "t",
            "tenant.id": "x", "realm": {"roles": ["r", "", "s"]}, "hd": "example.com", "number": 4, "none_at_all": null,
        });
        let claims = claims.as_object().unwrap();
        let cases = [
            "  claimMappings: {username: {claim: email, prefix: 'oidc:'}, groups: {claim: groups, prefix: 'oidc:'}, uid: {claim: sub}}",
            "  claimMappings: {username: {claim: sub, prefix: ''}, groups: {claim: role, prefix: ''}}",
            "  claimMappings:\n    username: {expression: 'claims.sub + \"@\" + claims.tenant__dot__id'}\n    groups: {expression: 'claims.realm.roles.map(r, \"kc:\" + r)'}\n    uid: {expression: claims.sub}\n    extra: [{key: example.com/hd, valueExpression: claims.hd}, {key: example.com/none, valueExpression: 'claims.?none.orValue(\"\")'}]",
            "  claimMappings: {username: {claim: none, prefix: ''}}",
            "  claimMappings: {username: {claim: number, prefix: ''}}",
            "  claimMappings: {username: {claim: sub, prefix: ''}, groups: {claim: realm, prefix: ''}}",
            "  claimMappings: {username: {claim: sub, prefix: ''}, groups: {claim: none_at_all, prefix: ''}, uid: {claim: none_at_all}}",
            "  claimMappings: {username: {expression: 'string(claims.number * 1.5) + string(type(claims.number) == double)'}}",
            "  claimMappings: {username: {expression: 'string(claims.number + 1)'}}",
            "  claimMappings: {username: {expression: claims.number}}",
            "  claimMappings: {username: {expression: claims.none}}",
            "  claimMappings: {username: {claim: sub, prefix: ''}}\n  claimValidationRules: [{claim: hd, requiredValue: other}]",
            "  claimMappings: {username: {claim: sub, prefix: ''}}\n  claimValidationRules: [{expression: 'claims.number < 4', message: too many}]",
            "  claimMappings: {username: {claim: sub, prefix: 'system:'}}\n  userValidationRules: [{expression: '!user.username.startsWith(\"system:\")', message: reserved}]",
        ];
        let lines: Vec<String> = cases
            .iter()
            .map(|case| match mapping(case).user(claims) {
                Ok(user) => user.user_info().to_string(),
                Err(error) => error,
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
        let mut unverified = claims.clone();
        unverified.insert("email_verified".to_owned(), false.into());
        assert_eq!(mapping(cases[0]).user(&unverified), Err("oidc: email not verified".to_owned()));
    }
}
