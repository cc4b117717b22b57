//! Formats by name (`k8s.io/apiserver/pkg/cel/library/format.go`): `format.dns1123Label().validate(text)` gives what is wrong.

use std::sync::Arc;

use kube_cel::cel::{Context, Value as CelValue, extractors::This, objects::OptionalValue};

use super::{LibraryType, Outcome, held, network::check_request_uri, text, value};
use crate::{
    object_meta::{
        dns_1035_messages, dns_1123_label_messages, label_key_messages, label_value_messages, subdomain_messages,
        with_masked_dash,
    },
    schema::format::StringFormat,
};

/// Longest subdomain.
const LONGEST: usize = 253;

/// A format, and what is wrong with a text by it.
struct NamedFormat {
    name: &'static str,
    problems: fn(&str) -> Vec<String>,
}

static FORMATS: [NamedFormat; 13] = [
    NamedFormat { name: "dns1123Label", problems: dns_1123_label_messages },
    NamedFormat { name: "dns1123Subdomain", problems: |text| subdomain_messages(text, LONGEST) },
    NamedFormat { name: "dns1035Label", problems: dns_1035_messages },
    NamedFormat { name: "qualifiedName", problems: label_key_messages },
    NamedFormat { name: "dns1123LabelPrefix", problems: |text| dns_1123_label_messages(&with_masked_dash(text)) },
    NamedFormat {
        name: "dns1123SubdomainPrefix",
        problems: |text| subdomain_messages(&with_masked_dash(text), LONGEST),
    },
    NamedFormat { name: "dns1035LabelPrefix", problems: |text| dns_1035_messages(&with_masked_dash(text)) },
    NamedFormat { name: "labelValue", problems: label_value_messages },
    NamedFormat { name: "uri", problems: |text| check_request_uri(text).err().into_iter().collect() },
    NamedFormat {
        name: "uuid",
        problems: |text| unless(StringFormat::Uuid.accepts(text), "does not match the UUID format"),
    },
    NamedFormat { name: "byte", problems: |text| unless(StringFormat::Byte.accepts(text), "invalid base64") },
    NamedFormat { name: "date", problems: |text| unless(StringFormat::Date.accepts(text), "invalid date") },
    NamedFormat { name: "datetime", problems: |text| unless(StringFormat::DateTime.accepts(text), "invalid datetime") },
];

fn unless(is_right: bool, problem: &str) -> Vec<String> {
    if is_right { Vec::new() } else { vec![problem.to_owned()] }
}

/// A format as a value: its place among [`FORMATS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format(usize);

impl LibraryType for Format {
    const NAME: &'static str = "kubernetes.NamedFormat";
}

/// Adds the functions to a library, in the place of its own.
pub(super) fn add_functions(context: &mut Context<'static>) {
    for (index, format) in FORMATS.iter().enumerate() {
        context.add_function(&format!("format.{}", format.name), move || -> Outcome { Ok(value(Format(index))) });
    }
    context.add_function("format.named", |name: Arc<String>| -> Outcome {
        let found = FORMATS.iter().position(|format| format.name == name.as_str());
        Ok(optional(found.map(|index| value(Format(index)))))
    });
    context.add_function("validate", |This(this): This<CelValue>, checked: Arc<String>| -> Outcome {
        let problems = (FORMATS[held::<Format>(&this)?.0].problems)(&checked);
        let shown = (!problems.is_empty()).then(|| problems.into_iter().map(text).collect());
        Ok(optional(shown.map(|shown| CelValue::List(Arc::new(shown)))))
    });
}

fn optional(of: Option<CelValue>) -> CelValue {
    CelValue::Opaque(Arc::new(of.map_or_else(OptionalValue::none, OptionalValue::of)))
}
