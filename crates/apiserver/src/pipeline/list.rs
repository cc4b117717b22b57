//! GET of a collection.

use axum::body::Body;
use http::{Response, StatusCode};
use kogge_machinery::status_error::ApiError;
use serde_json::{Map, Value, json};

use super::{
    RequestContext,
    answer::{Document, document_response},
    list_options::{ContinueToken, ListOptions, Selection, VersionMatch},
    list_writer::ListWriter,
    presentation::{is_as_served, present_all, present_shared},
};
use crate::{
    plane::{list_error, read_error, stored_error},
    store::{ListError, ObjectKey, Scope},
};

/// How many objects are looked at in one go when a selector drops some of them.
const SELECTING_PAGE: usize = 500;

/// The objects of one answer.
pub(crate) struct Page {
    pub(crate) revision: u64,
    pub(crate) items: Vec<Document>,
    continue_token: Option<String>,
    remaining: Option<u64>,
}

impl Page {
    /// Objects that are not stored.
    pub(crate) fn without_revision(items: Vec<Document>) -> Self {
        Self { items, ..Self::at(0) }
    }

    /// Without objects, and with nothing after it.
    fn at(revision: u64) -> Self {
        Self { revision, items: Vec::new(), continue_token: None, remaining: None }
    }

    /// The list's `metadata`.
    fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        if self.revision > 0 {
            metadata.insert("resourceVersion".to_owned(), self.revision.to_string().into());
        }
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".to_owned(), token.as_str().into());
        }
        if let Some(remaining) = self.remaining {
            metadata.insert("remainingItemCount".to_owned(), remaining.into());
        }
        Value::Object(metadata)
    }
}

/// Answers a list.
pub(crate) async fn list(context: &RequestContext<'_>) -> Result<Response<Body>, ApiError> {
    let selection = Selection::parse(&context.query, &context.served.resource)?;
    let options = list_options(context)?;
    if let Some(document) = whole_list(context, &options, &selection)? {
        return document_response(&context.answer, StatusCode::OK, document);
    }
    let page = read_page(context, &options, &selection).await?;
    document_response(&context.answer, StatusCode::OK, list_document(context, page)?)
}

/// The parameters of a list. What is asked for at any revision comes from the memory of the real server, whole; it keeps
/// none of events.
pub(crate) fn list_options(context: &RequestContext<'_>) -> Result<ListOptions, ApiError> {
    let mut options = ListOptions::parse(&context.query, false)?;
    if options.resource_version == Some(0) && context.served.stored_as.resource != "events" {
        options.limit = 0;
    }
    Ok(options)
}

/// Why a list is not written straight from what is stored.
enum Unwritten {
    Store(ListError),
    /// It has to be brought into the served version first.
    OtherVersion,
    /// It is no JSON.
    Damaged(serde_json::Error),
}

impl From<ListError> for Unwritten {
    fn from(error: ListError) -> Self {
        Self::Store(error)
    }
}

/// All objects there are, written straight from where they are stored; absent where not all are asked for or not all are
/// served as they are stored.
fn whole_list(
    context: &RequestContext<'_>,
    options: &ListOptions,
    selection: &Selection,
) -> Result<Option<Document>, ApiError> {
    if options.limit > 0 || options.continue_token.is_some() || !selection.is_everything() {
        return Ok(None);
    }
    // What is wrong with the wanted representation is told after what is wrong with the list.
    let Ok(writer) = ListWriter::of(context) else { return Ok(None) };
    let scope = Scope::of(&context.served.stored_as, Some(&context.namespace));
    let at = snapshot_revision(context, options)?;
    let written = context.plane.store().write_list(&scope, at, |revision, json, bytes| {
        if !is_as_served(&context.served, json, revision) {
            return Err(Unwritten::OtherVersion);
        }
        writer.write(json, bytes).map_err(Unwritten::Damaged)
    });
    match written {
        Ok(written) => {
            let (head, tail) = writer.frame(Page::at(written.revision).metadata());
            Ok(Some(Document::Bytes(written.join(&head, &tail).into())))
        }
        Err(Unwritten::OtherVersion) => Ok(None),
        Err(Unwritten::Store(error)) => Err(list_error(&error)),
        Err(Unwritten::Damaged(error)) => Err(stored_error(&error)),
    }
}

/// One page of what is selected, all from one snapshot.
pub(crate) async fn read_page(
    context: &RequestContext<'_>,
    options: &ListOptions,
    selection: &Selection,
) -> Result<Page, ApiError> {
    let store = context.plane.store();
    let scope = Scope::of(&context.served.stored_as, Some(&context.namespace));
    let mut at = snapshot_revision(context, options)?;
    let mut start = options.continue_token.as_ref().map(|token| {
        let (namespace, name) = token.last(&context.namespace);
        ObjectKey { resource: context.served.stored_as.clone(), namespace: namespace.to_owned(), name: name.to_owned() }
    });
    if let (Some(name), None) = (selection.fields.exact_name(), at)
        && !(context.served.resource.namespaced && context.namespace.is_empty())
    {
        return read_named(context, selection, name).await;
    }
    let everything = selection.is_everything();
    let mut items = Vec::new();
    loop {
        let wanted = match options.limit {
            0 => 0,
            limit if everything => limit,
            _ => SELECTING_PAGE,
        };
        let page = store.list(&scope, start.as_ref(), wanted, at).map_err(|error| {
            match (&error, &options.continue_token) {
                (ListError::Expired { .. }, Some(token)) => expired_continue(token),
                _ => list_error(&error),
            }
        })?;
        // Every further page comes from the snapshot of the first.
        at = Some(page.revision);
        let documents = present_all(&context.served, &page.items).await?;
        let mut scanned = page.items.into_iter().zip(documents);
        let mut last = None;
        for (stored, document) in scanned.by_ref() {
            if everything {
                items.push(document);
            } else {
                let value = document.clone().into_value()?;
                if selection.matches(&value) {
                    items.push(document);
                }
            }
            if options.limit != 0 && items.len() == options.limit {
                last = Some(stored.key);
                break;
            }
        }
        let more = scanned.len() > 0 || page.next.is_some();
        match last {
            Some(last) if more => {
                let remaining = if everything {
                    Some(count_remaining(context, &scope, options, items.len(), &last, page.revision)?)
                } else {
                    None
                };
                let revision = i64::try_from(page.revision).unwrap_or(i64::MAX);
                let token = ContinueToken::new(revision, &last.namespace, &last.name, remaining);
                return Ok(Page { revision: page.revision, items, continue_token: Some(token.encode()), remaining });
            }
            None if page.next.is_some() => start = page.next,
            _ => return Ok(Page { items, ..Page::at(page.revision) }),
        }
    }
}

/// How many objects follow a page. Only the first page asks the store; the token tells the others.
fn count_remaining(
    context: &RequestContext<'_>,
    scope: &Scope,
    options: &ListOptions,
    items: usize,
    last: &ObjectKey,
    revision: u64,
) -> Result<u64, ApiError> {
    let store = context.plane.store();
    let before = match &options.continue_token {
        Some(token) => token.remaining,
        None => Some(store.count_at(scope, revision).map_err(|error| read_error(&error))?),
    };
    match before {
        Some(before) => Ok(before.saturating_sub(items as u64)),
        // The list goes on at another revision than it began at.
        None => store.count_after(scope, last, revision).map_err(|error| read_error(&error)),
    }
}

/// A list that can have one object only.
async fn read_named(context: &RequestContext<'_>, selection: &Selection, name: &str) -> Result<Page, ApiError> {
    // Read before the object, so a watch from here sees every change after what is returned.
    let revision = context.plane.store().revision();
    let stored = context.plane.store().get(&context.key_of(name)).map_err(|error| read_error(&error))?;
    let mut items = Vec::new();
    let mut at = revision;
    if let Some(stored) = stored {
        at = revision.max(stored.revision);
        let document = present_shared(&context.served, &stored.json, stored.revision).await?;
        if selection.matches(&document.clone().into_value()?) {
            items.push(document);
        }
    }
    Ok(Page { items, ..Page::at(at) })
}

/// The revision a list must be read at, if not the newest.
fn snapshot_revision(context: &RequestContext<'_>, options: &ListOptions) -> Result<Option<u64>, ApiError> {
    if let Some(token) = &options.continue_token {
        return Ok(u64::try_from(token.revision).ok().filter(|revision| *revision > 0));
    }
    let Some(requested) = options.resource_version.filter(|version| *version > 0) else { return Ok(None) };
    let current = context.plane.store().revision();
    if requested > current {
        return Err(ApiError::resource_version_too_large(requested, current));
    }
    let exact = match options.version_match {
        Some(VersionMatch::Exact) => true,
        Some(VersionMatch::NotOlderThan) => false,
        // As documented: a limit makes an unqualified version exact.
        None => options.limit > 0,
    };
    Ok(exact.then_some(requested))
}

/// 410 with a token that continues at the same place in the list as it is now.
fn expired_continue(token: &ContinueToken) -> ApiError {
    let mut error = ApiError::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let metadata = json!({"continue": token.inconsistent().encode()});
    error.0.metadata = serde_json::from_value(metadata).ok();
    error
}

/// A page in the representation the client asked for.
pub(crate) fn list_document(context: &RequestContext<'_>, page: Page) -> Result<Document, ApiError> {
    let writer = ListWriter::of(context)?;
    let (head, tail) = writer.frame(page.metadata());
    let mut bytes = head.into_bytes();
    for (index, item) in page.items.into_iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        writer.write(&item.into_bytes(), &mut bytes).map_err(|error| stored_error(&error))?;
    }
    bytes.extend_from_slice(tail.as_bytes());
    Ok(Document::Bytes(bytes.into()))
}

/// 406 for a list asked for as the metadata of one object, and for one object as that of a list.
pub(crate) fn not_that_metadata(context: &RequestContext<'_>, is_list: bool) -> ApiError {
    let resource = &context.served.resource;
    if resource.custom && !is_list {
        // Every custom resource could be a list to the real server, which then finds no items in it.
        return ApiError::new(500, "", "content is not a list");
    }
    let go_type = match (resource.custom, is_list) {
        (true, _) => "unstructured.UnstructuredList".to_owned(),
        (false, true) => format!("{}.{}", resource.go_package(), resource.list_kind),
        (false, false) => format!("{}.{}", resource.go_package(), resource.kind),
    };
    let (wanted, found) = if is_list { ("", "a list") } else { ("List", "not a list") };
    ApiError::new(
        406,
        "NotAcceptable",
        format!("you requested PartialObjectMetadata{wanted}, but the requested object is {found} (*{go_type})"),
    )
}
