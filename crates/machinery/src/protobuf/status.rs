//! `metav1.Status` as protobuf (apimachinery, `pkg/apis/meta/v1/generated.proto`).

use kube_core::{Status, response::StatusSummary};

use super::{
    MAGIC,
    write::{bytes, integer, text},
};

/// An error as the body of an `application/vnd.kubernetes.protobuf` answer, envelope included.
pub fn encode_status(status: &Status) -> Vec<u8> {
    let mut raw = Vec::new();
    bytes(&mut raw, 1, &[]);
    let summary = match status.status {
        Some(StatusSummary::Success) => "Success",
        Some(StatusSummary::Failure) => "Failure",
        None => "",
    };
    text(&mut raw, 2, summary);
    text(&mut raw, 3, &status.message);
    text(&mut raw, 4, &status.reason);
    if let Some(details) = &status.details {
        let mut message = Vec::new();
        text(&mut message, 1, &details.name);
        text(&mut message, 2, &details.group);
        text(&mut message, 3, &details.kind);
        for cause in &details.causes {
            let mut nested = Vec::new();
            text(&mut nested, 1, &cause.reason);
            text(&mut nested, 2, &cause.message);
            text(&mut nested, 3, &cause.field);
            bytes(&mut message, 4, &nested);
        }
        integer(&mut message, 5, u64::from(details.retry_after_seconds));
        text(&mut message, 6, &details.uid);
        bytes(&mut raw, 5, &message);
    }
    integer(&mut raw, 6, u64::from(status.code));
    let mut type_meta = Vec::new();
    text(&mut type_meta, 1, "v1");
    text(&mut type_meta, 2, "Status");
    let mut out = MAGIC.to_vec();
    bytes(&mut out, 1, &type_meta);
    bytes(&mut out, 2, &raw);
    out
}
