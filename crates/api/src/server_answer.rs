//! What an API server answered, for texts that people read.

/// What went wrong in one sentence: the server's own message where it refused the request. The client's words around it
/// are those of a debugger.
pub fn failure_text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let status = kube::core::Status::failure("serviceaccounts \"b\" not found", "NotFound").with_code(404);
        assert_eq!(failure_text(&kube::Error::Api(status.boxed())), "serviceaccounts \"b\" not found");
    }
}
