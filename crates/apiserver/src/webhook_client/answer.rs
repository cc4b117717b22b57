//! What the answer of a webhook is to client-go: an object, or why there is none (`transformResponse`, `Result.Into`).

use kogge_machinery::status_error::quote;
use serde_json::Value;

use crate::pipeline::{read_json, read_yaml, readable_type};

/// So much of a text is shown, in bytes.
const SHOWN: usize = 2048;

/// The object of an answer.
///
/// # Errors
/// Why there is none, in the words of client-go.
pub(super) fn read(status: u16, media_type: Option<&str>, body: &[u8]) -> Result<Value, String> {
    if !(200..=206).contains(&status) {
        return Err(refusal(status, media_type, body));
    }
    if body.is_empty() {
        let media_type = media_type.unwrap_or("application/json");
        return Err(format!("0-length response with status code: {status} and content type: {media_type}"));
    }
    let object = decode(body)?;
    readable_type(&object)?;
    Ok(object)
}

/// Whatever is said of it, what does not look like JSON is YAML.
fn decode(body: &[u8]) -> Result<Value, String> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
        return read_json(body).map_err(|why| format!("couldn't get version/kind; json parse error: {why}"));
    }
    read_yaml(body)
}

/// What an answer other than success means.
fn refusal(status: u16, media_type: Option<&str>, body: &[u8]) -> String {
    let is_failure =
        |object: &Value| object["kind"] == "Status" && object["apiVersion"] == "v1" && object["status"] == "Failure";
    if let Some(told) = decode(body).ok().filter(is_failure) {
        return told["message"].as_str().unwrap_or_default().to_owned();
    }
    let is_text = media_type.is_none_or(|media_type| media_type.starts_with("text/"));
    let text = if is_text {
        String::from_utf8_lossy(body.get(..SHOWN).unwrap_or(body)).trim().to_owned()
    } else {
        "unknown".to_owned()
    };
    let fixed = match status {
        400 => "the server rejected our request for an unknown reason",
        401 => "the server has asked for the client to provide credentials",
        403 | 415 => return text,
        404 => "the server could not find the requested resource",
        405 => "the server does not allow this method on the requested resource",
        406 if !matches!(text.as_str(), "" | "unknown") => return text,
        406 => "the server was unable to respond with a content type that the client supports",
        409 => "the server reported a conflict",
        422 => "the server rejected our request due to an error in our request",
        429 => "the server has received too many requests and has asked us to try again later",
        503 => "the server is currently unable to handle the request",
        504 => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
        }
        500.. => return format!("an error on the server ({}) has prevented the request from succeeding", quote(&text)),
        _ => return format!("the server responded with the status code {status} but did not return more information"),
    };
    fixed.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_mean_what_client_go_makes_of_them() {
        let json = Some("application/json");
        let told = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": "words"}).to_string();
        let answers: [(u16, Option<&str>, &[u8]); 16] = [
            (200, json, b"{\"kind\": \"A\"}"),
            (206, Some("text/plain"), b"kind: A\napiVersion: v1\n"),
            (200, json, b""),
            (204, None, b""),
            (200, None, b"hello"),
            (200, json, b"[]"),
            (200, json, b"{\"kind\":"),
            (200, json, b"{\"kind\": 5}"),
            (200, json, b"{\"apiVersion\": \"a/b/c\"}"),
            (207, json, b"{}"),
            (400, json, b"{}"),
            (403, Some("text/plain"), b" words "),
            (403, json, b"words"),
            (501, None, b"words"),
            (500, json, told.as_bytes()),
            (400, json, b"{\"apiVersion\": \"v1\", \"kind\": \"Status\", \"status\": \"Failure\"}"),
        ];
        let meant: Vec<String> = answers
            .iter()
            .map(|(status, media_type, body)| match read(*status, *media_type, body) {
                Ok(object) => object.to_string(),
                Err(why) => why,
            })
            .collect();
        insta::assert_snapshot!(meant.join("\n"));
    }
}
