//! Custom objects of one version brought to another by the webhook of their definition.
//!
//! A read of one object, also as the basis of a write, always asks the webhook, which may answer in another way than before:
//! what it lost once would else be stored. Lists and watches share one conversion of each state, remembered by revision, as
//! those of the real server share its watch cache. Objects in the wanted version never come here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kogge_machinery::{conversion, status_error::ApiError, webhook::ClientConfig};
use serde_json::Value;

use crate::webhook_client::WebhookClients;

/// How long a conversion may take (the real server's `defaultRequestTimeout`).
const TIMEOUT: Duration = Duration::from_secs(30);
/// So many converted states are remembered for each definition.
const REMEMBERED: usize = 1024;
/// So many objects are sent at once at most, so that one answer does not hold a whole large list.
const BATCH: usize = 500;

/// The webhook that converts the objects of one definition.
#[derive(Debug)]
pub(crate) struct Converter {
    clients: Arc<WebhookClients>,
    client: Result<ClientConfig, String>,
    /// The first of `conversionReviewVersions` that is known.
    review_version: Option<&'static str>,
    converted: Mutex<Remembered>,
}

/// Converted states by revision and version, the oldest first to go.
#[derive(Debug, Default)]
struct Remembered {
    states: HashMap<(String, String), Value>,
    order: VecDeque<(String, String)>,
}

impl Remembered {
    fn insert(&mut self, key: (String, String), value: Value) {
        if self.states.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.states.remove(&oldest);
            }
        }
    }
}

impl Converter {
    /// The converter of a definition's `spec.conversion`, if a webhook converts.
    pub(crate) fn of(conversion: &Value, clients: &Arc<WebhookClients>) -> Option<Arc<Self>> {
        if conversion["strategy"] != "Webhook" {
            return None;
        }
        let webhook = &conversion["webhook"];
        let known = |version: &Value| match version.as_str() {
            Some("v1") => Some("v1"),
            Some("v1beta1") => Some("v1beta1"),
            _ => None,
        };
        Some(Arc::new(Self {
            clients: clients.clone(),
            client: ClientConfig::from_json(&webhook["clientConfig"]),
            review_version: webhook["conversionReviewVersions"].as_array().into_iter().flatten().find_map(known),
            converted: Mutex::default(),
        }))
    }

    /// An object of a request in a version (`GROUP/VERSION`).
    ///
    /// # Errors
    /// 500 in the words of the real server where the webhook fails.
    pub(crate) async fn convert(&self, object: Value, api_version: &str) -> Result<Value, ApiError> {
        if object["apiVersion"] == api_version {
            return Ok(object);
        }
        let mut converted = self.call(&[&object], api_version).await.map_err(|text| ApiError::new(500, "", text))?;
        converted.pop().ok_or_else(|| ApiError::internal("the conversion gave no object"))
    }

    /// Objects exactly as they are stored in a version, in order, with few calls, for lists and watches: a state that was
    /// converted for another one is not converted again. Objects that are in the version already are left as they are.
    ///
    /// # Errors
    /// As [`Self::convert`].
    pub(crate) async fn convert_shared(
        &self,
        mut objects: Vec<Value>,
        api_version: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let mut wanted: Vec<usize> = Vec::new();
        for (index, object) in objects.iter_mut().enumerate() {
            if object["apiVersion"] == api_version {
                continue;
            }
            match key(object, api_version).and_then(|key| self.recall(&key)) {
                Some(known) => *object = known,
                None => wanted.push(index),
            }
        }
        for batch in wanted.chunks(BATCH) {
            let originals: Vec<&Value> = batch.iter().map(|index| &objects[*index]).collect();
            let keys: Vec<_> = originals.iter().map(|original| key(original, api_version)).collect();
            // In a box, so that reads of what needs no webhook do not carry the state of its call.
            let converted =
                Box::pin(self.call(&originals, api_version)).await.map_err(|text| ApiError::new(500, "", text))?;
            let mut remembered = self.converted.lock().unwrap_or_else(PoisonError::into_inner);
            for ((index, key), object) in batch.iter().zip(keys).zip(converted) {
                if let Some(key) = key {
                    remembered.insert(key, object.clone());
                }
                objects[*index] = object;
            }
        }
        Ok(objects)
    }

    fn recall(&self, key: &(String, String)) -> Option<Value> {
        self.converted.lock().unwrap_or_else(PoisonError::into_inner).states.get(key).cloned()
    }

    async fn call(&self, originals: &[&Value], api_version: &str) -> Result<Vec<Value>, String> {
        let version = self.review_version.ok_or("no supported conversion review versions")?;
        let type_name = originals.first().map(|original| conversion::type_name(original)).unwrap_or_default();
        let failed = |why: &str| format!("conversion webhook for {type_name} failed: {why}");
        let client = self.client.as_ref().map_err(|why| failed(why))?;
        let uid = uuid::Uuid::new_v4().to_string();
        let review = conversion::review(version, &uid, api_version, originals);
        let answer = self.clients.post(client, TIMEOUT, &review).await.map_err(|why| failed(&why))?;
        conversion::converted_objects(version, &uid, api_version, originals, answer)
    }
}

/// What identifies a stored state in a version.
fn key(object: &Value, api_version: &str) -> Option<(String, String)> {
    let revision = object["metadata"]["resourceVersion"].as_str().filter(|revision| !revision.is_empty())?;
    Some((revision.to_owned(), api_version.to_owned()))
}
