//! `Impersonate-User` and `Impersonate-Group`: acting as somebody else (`kubectl --as`).

use http::HeaderMap;
use kogge_machinery::status_error::ApiError;

use super::authorization::{Attributes, authorize};
use crate::authentication::User;

/// The user a request is made as: the one of its credentials, or whom that user asks to be.
///
/// # Errors
/// 403 for users who may not impersonate, 400 for groups without a user or text that is not ASCII.
pub(crate) fn effective_user(user: User, headers: &HeaderMap) -> Result<User, ApiError> {
    let text = |name: &str| -> Result<Vec<&str>, ApiError> {
        let values = headers.get_all(name).iter().map(|value| value.to_str().map_err(|_| unreadable(name)));
        values.collect()
    };
    let names = text("impersonate-user")?;
    let groups = text("impersonate-group")?;
    let Some(name) = names.first().filter(|name| !name.is_empty()) else {
        return if groups.is_empty() {
            Ok(user)
        } else {
            Err(ApiError::bad_request("groups were requested without impersonating a user"))
        };
    };
    let asked = [("users", *name)].into_iter().chain(groups.iter().map(|group| ("groups", *group)));
    for (resource, name) in asked {
        authorize(&user, &Attributes { verb: "impersonate", resource, name, ..Attributes::default() })?;
    }
    let mut groups: Vec<String> = groups.into_iter().map(str::to_owned).collect();
    if !groups.iter().any(|group| group == "system:authenticated") {
        groups.push("system:authenticated".to_owned());
    }
    Ok(User { name: (*name).to_owned(), groups })
}

fn unreadable(header: &str) -> ApiError {
    let message = format!("the header {header} is not printable ASCII");
    ApiError::bad_request(message)
}
