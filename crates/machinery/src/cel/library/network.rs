//! Addresses, networks and URLs (`k8s.io/apiserver/pkg/cel/library/ip.go`, `cidr.go` and `urls.go`).

use std::{collections::HashMap, sync::Arc};

use kube_cel::cel::{
    Context, ExecutionError, Value as CelValue,
    extractors::This,
    objects::{Key, Map},
};

use super::{
    LibraryType, Outcome,
    address::{Cidr, Ip},
    failed, held, text,
    url::Url,
    value,
};

/// A question about an address.
type Question = (&'static str, fn(&Ip) -> bool);
const QUESTIONS: [Question; 5] = [
    ("isUnspecified", Ip::is_unspecified),
    ("isLoopback", Ip::is_loopback),
    ("isLinkLocalMulticast", Ip::is_link_local_multicast),
    ("isLinkLocalUnicast", Ip::is_link_local_unicast),
    ("isGlobalUnicast", Ip::is_global_unicast),
];

/// A part of a URL.
type Part = (&'static str, fn(&Url) -> String);
const PARTS: [Part; 5] = [
    ("getScheme", |url| url.scheme().to_owned()),
    ("getHost", |url| url.host().to_owned()),
    ("getHostname", |url| url.hostname().to_owned()),
    ("getPort", |url| url.port().to_owned()),
    ("getEscapedPath", Url::escaped_path),
];

impl LibraryType for Ip {
    const NAME: &'static str = "net.IP";
}

impl LibraryType for Cidr {
    const NAME: &'static str = "net.CIDR";
}

impl LibraryType for Url {
    const NAME: &'static str = "kubernetes.URL";
}

/// The text of an address or network.
pub(crate) fn text_of(value: &CelValue) -> Option<String> {
    held::<Ip>(value).map(Ip::text).or_else(|_| held::<Cidr>(value).map(Cidr::text)).ok()
}

/// Adds the functions to a library, in the place of its own.
pub(super) fn add_functions(context: &mut Context<'static>) {
    add_addresses(context);
    add_networks(context);
    add_urls(context);
}

fn add_addresses(context: &mut Context<'static>) {
    context.add_function("isIP", |text: Arc<String>| -> Outcome { Ok(CelValue::Bool(Ip::parse(&text).is_ok())) });
    // Of a network it gives the address.
    context.add_function("ip", |This(this): This<CelValue>| -> Outcome {
        match &this {
            CelValue::String(text) => Ip::parse(text).map(value).map_err(failed),
            network => Ok(value(held::<Cidr>(network)?.ip())),
        }
    });
    context.add_function("ip.isCanonical", |text: Arc<String>| -> Outcome {
        Ip::is_canonical_text(&text).map(CelValue::Bool).map_err(failed)
    });
    context.add_function("family", |This(this): This<CelValue>| -> Outcome {
        Ok(CelValue::Int(held::<Ip>(&this)?.family()))
    });
    for (name, question) in QUESTIONS {
        context.add_function(name, move |This(this): This<CelValue>| -> Outcome {
            Ok(CelValue::Bool(question(held(&this)?)))
        });
    }
}

fn add_networks(context: &mut Context<'static>) {
    context.add_function("isCIDR", |text: Arc<String>| -> Outcome { Ok(CelValue::Bool(Cidr::parse(&text).is_ok())) });
    context.add_function("cidr", |text: Arc<String>| -> Outcome { Cidr::parse(&text).map(value).map_err(failed) });
    context.add_function("containsIP", |This(this): This<CelValue>, other: CelValue| -> Outcome {
        let network = held::<Cidr>(&this)?;
        match &other {
            // What is no address is told of as if it were no text.
            CelValue::String(text) => {
                network.contains_ip_text(text).map(CelValue::Bool).map_err(|_| ExecutionError::NoSuchOverload)
            }
            other => Ok(CelValue::Bool(network.contains_ip(held(other)?))),
        }
    });
    context.add_function("containsCIDR", |This(this): This<CelValue>, other: CelValue| -> Outcome {
        let network = held::<Cidr>(&this)?;
        match &other {
            CelValue::String(text) => network.contains_cidr_text(text).map(CelValue::Bool).map_err(failed),
            other => Ok(CelValue::Bool(network.contains_cidr(held(other)?))),
        }
    });
    context.add_function("prefixLength", |This(this): This<CelValue>| -> Outcome {
        Ok(CelValue::Int(held::<Cidr>(&this)?.prefix_length()))
    });
    context
        .add_function("masked", |This(this): This<CelValue>| -> Outcome { Ok(value(held::<Cidr>(&this)?.masked())) });
}

fn add_urls(context: &mut Context<'static>) {
    context.add_function("isURL", |text: Arc<String>| -> Outcome {
        Ok(CelValue::Bool(Url::parse_request_uri(&text).is_ok()))
    });
    context.add_function("url", |text: Arc<String>| -> Outcome { Url::convert(&text).map(value).map_err(failed) });
    for (name, part) in PARTS {
        context.add_function(name, move |This(this): This<CelValue>| -> Outcome { Ok(text(part(held(&this)?))) });
    }
    context.add_function("getQuery", |This(this): This<CelValue>| -> Outcome {
        let values = |values: Vec<String>| CelValue::List(Arc::new(values.into_iter().map(text).collect()));
        let query = held::<Url>(&this)?.query().into_iter();
        let query: HashMap<Key, CelValue> =
            query.map(|(name, all)| (Key::String(Arc::new(name)), values(all))).collect();
        Ok(CelValue::Map(Map { map: Arc::new(query) }))
    });
}

/// What Go's `url.ParseRequestURI` has against a text.
///
/// # Errors
/// In Go's words.
pub(crate) fn check_request_uri(text: &str) -> Result<(), String> {
    Url::parse_request_uri(text).map(drop)
}
