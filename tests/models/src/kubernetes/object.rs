//! A Lease as the API has it: what it drops, what it refuses, and what it writes into it.

use super::answer::Answer;
use super::clock;
use serde_json::{Map, Value, json};

/// Room for all annotations of an object.
const ANNOTATIONS: usize = 256 * 1024;

/// The Lease that is asked for, without what only the server writes.
///
/// # Errors
///
/// What the server says of one that is none.
pub(super) fn checked(name: &str, asked: &Value) -> Result<Value, Answer> {
    let (mut spec, mut invalid) = (Map::new(), None);
    for (field, value) in asked.get("spec").and_then(Value::as_object).into_iter().flatten() {
        if value.is_null() {
            continue;
        }
        match field.as_str() {
            "holderIdentity" | "strategy" if value.is_string() => {}
            "leaseDurationSeconds" if value.as_i64().is_some_and(|seconds| seconds > 0) => {}
            "leaseTransitions" if value.as_i64().is_some_and(|count| count >= 0) => {}
            "leaseDurationSeconds" | "leaseTransitions" if value.is_i64() => {
                invalid = Some(Answer::invalid(name, &format!("spec.{field}: must be greater than 0")));
            }
            "acquireTime" | "renewTime" if value.as_str().is_some_and(clock::is_time) => {}
            _ => return Err(Answer::bad(&format!("Lease in version \"v1\" cannot be handled as a Lease: {field}"))),
        }
        spec.insert(field.clone(), value.clone());
    }
    // What cannot be read is refused before what must not be.
    if let Some(refused) = invalid {
        return Err(refused);
    }
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(name));
    metadata.insert("namespace".to_owned(), json!(NAMESPACE));
    for field in ["annotations", "labels"] {
        // One that is empty is none.
        if let Some(map) = asked["metadata"].get(field).and_then(Value::as_object).filter(|map| !map.is_empty()) {
            metadata.insert(field.to_owned(), Value::Object(map.clone()));
        }
    }
    let annotations = metadata.get("annotations").and_then(Value::as_object).into_iter().flatten();
    let length: usize = annotations.map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if length > ANNOTATIONS {
        return Err(Answer::invalid(name, "metadata.annotations: Too long: may not be more than 262144 bytes"));
    }
    Ok(json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata, "spec": spec}))
}

/// The same with what the server writes: which one it is, and when it was written by a server's clock.
pub(super) fn stamped(mut lease: Value, uid: &Value, made: &Value, version: u64, now: clock::Shown) -> Value {
    let metadata = lease["metadata"].as_object_mut().unwrap();
    metadata.insert("uid".to_owned(), uid.clone());
    metadata.insert("creationTimestamp".to_owned(), made.clone());
    metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
    let managed = json!([{"manager": "model", "operation": "Update", "time": clock::seconds(now)}]);
    metadata.insert("managedFields".to_owned(), managed);
    lease
}

/// Whether a change would change nothing but when the Lease was written.
pub(super) fn is_same(lease: &Value, other: &Value) -> bool {
    let of = |lease: &Value, field: &str| lease["metadata"].get(field).cloned();
    lease["spec"] == other["spec"] && ["annotations", "labels"].iter().all(|field| of(lease, field) == of(other, field))
}

/// A text of a Lease, by its path.
pub(super) fn text<'a>(lease: &'a Value, path: &str) -> Option<&'a str> {
    lease.pointer(path).and_then(Value::as_str)
}

/// Who holds it; `None` if it is free.
pub(super) fn holder(lease: &Value) -> Option<&str> {
    text(lease, "/spec/holderIdentity").filter(|holder| !holder.is_empty())
}

pub(super) const NAMESPACE: &str = "app";
