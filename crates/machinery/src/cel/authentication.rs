//! Expressions of `AuthenticationConfiguration`: about the claims of a token, and about the user they stand for
//! (`k8s.io/apiserver/pkg/authentication/cel`).

use std::sync::LazyLock;

use super::{
    declarations::{Declarations, check as check_with},
    types::Type,
};

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Whether the claims are good.
    ClaimRule,
    /// What the claims give: of any type, as that is only known of a token.
    ClaimMapping,
    /// Whether the user is good.
    UserRule,
}

static CLAIMS: LazyLock<Declarations> = LazyLock::new(|| {
    let mut declarations = Declarations::default();
    declarations.declare("claims", Type::map(Type::String, Type::Any));
    declarations
});

static USER: LazyLock<Declarations> = LazyLock::new(|| {
    const USER: &str = "kubernetes.UserInfo";
    let texts = || Type::list(Type::String);
    let members = [
        ("username", Type::String),
        ("uid", Type::String),
        ("groups", texts()),
        ("extra", Type::map(Type::String, texts())),
    ];
    let mut declarations = Declarations::default();
    declarations.declare_object(USER, members.map(|(name, of)| (name.to_owned(), of)));
    declarations.declare("user", Type::object(USER));
    declarations
});

/// Checks an expression.
///
/// # Errors
/// What is wrong with it, in the words of the real server.
pub fn check(purpose: Purpose, expression: &str) -> Result<(), String> {
    let declarations = if purpose == Purpose::UserRule { &USER } else { &CLAIMS };
    let found =
        check_with(expression, &**declarations).map_err(|problems| format!("compilation failed: {problems}"))?;
    if purpose == Purpose::ClaimMapping || found == Type::Bool {
        Ok(())
    } else {
        Err("must evaluate to bool".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{Purpose::*, *};

    #[test]
    fn expressions_are_checked_by_what_claims_and_users_have() {
        let good = [
            (ClaimRule, "sets.contains(claims.aud, ['a'])"),
            (ClaimRule, "claims.exp - claims.nbf <= 86400"),
            (ClaimRule, "claims.?a.orValue(false) == true && has(claims.b)"),
            (ClaimMapping, "claims.realm.roles.map(r, 'kc:' + r)"),
            (ClaimMapping, "claims.email_verified ? claims.email : claims.sub"),
            (ClaimMapping, "claims"),
            (UserRule, "!user.username.startsWith('system:') && !('a' in user.groups) && 'b' in user.extra"),
        ];
        for (purpose, expression) in good {
            assert_eq!(check(purpose, expression), Ok(()), "{expression}");
        }
        let wrong = [
            (ClaimRule, "1"),
            (ClaimRule, "claims.sub"),
            (ClaimRule, "claims.a.b"),
            (ClaimRule, "claims.m.all(k, v, v == k)"),
            (ClaimRule, "claims.a.all(x, x == 'a')"),
            (ClaimRule, "user.username == 'a'"),
            (ClaimMapping, "foo(claims.sub)"),
            (ClaimMapping, "'%s'.format([claims.sub])"),
            (ClaimMapping, "claims."),
            (UserRule, "user.username"),
            (UserRule, "user.foo == ''"),
            (UserRule, "user.groups == 'a'"),
        ];
        let lines = wrong.map(|(purpose, expression)| check(purpose, expression).unwrap_err());
        insta::assert_snapshot!(lines.join("\n"));
    }
}
