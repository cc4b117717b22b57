//! Label and field selectors.

use serde_json::Value;
use crate::{resource::ResourceType, status_error::ApiError};

/// A parsed label selector; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelSelector { /* owner fills */ }
impl LabelSelector {
    /// `a=b,c!=d,e in (x,y),!f,g`
    pub fn parse(text: &str) -> Result<Self, ApiError> { let _ = text; todo!() }
    /// From the object form {matchLabels, matchExpressions}.
    pub fn from_object(object: &Value) -> Result<Self, ApiError> { let _ = object; todo!() }
    /// Against `metadata.labels`.
    pub fn matches(&self, object: &Value) -> bool { let _ = object; todo!() }
    pub fn is_empty(&self) -> bool { todo!() }
}
/// A parsed field selector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSelector { /* owner fills */ }
impl FieldSelector {
    /// # Errors
    /// 400 `field label not supported: X`.
    pub fn parse(text: &str, resource: &ResourceType) -> Result<Self, ApiError> { let _ = (text, resource); todo!() }
    pub fn matches(&self, object: &Value) -> bool { let _ = object; todo!() }
    pub fn is_empty(&self) -> bool { todo!() }
    /// The value of `metadata.name=X`, if required: lets a list be a get.
    pub fn exact_name(&self) -> Option<&str> { todo!() }
}
