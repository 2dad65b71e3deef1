//! A real server, and what each side calls the same version or the same Lease.

use locks_models::kubernetes::{Answer, Request};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A real server, as an administrator.
pub(crate) struct Real<'a>(pub(crate) &'a support::kubernetes::Kubernetes);

impl Real<'_> {
    /// As of which version everything is now.
    pub(crate) fn version(&self) -> String {
        let list = self.ask(&Request::List(None));
        list.body["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    }

    pub(crate) fn ask(&self, request: &Request) -> Answer {
        let (method, rest, content, body) = super::written(request);
        let (code, text) = self.0.try_ask(method, &rest, content, &body);
        Answer { code, body: serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")) }
    }

    /// What a watch from that version on shows within a second, each as an answer whose body is the event.
    pub(crate) fn events(&self, name: Option<&str>, from: &str) -> Vec<Answer> {
        let selected = name.map(|name| format!("&fieldSelector=metadata.name%3D{name}")).unwrap_or_default();
        let query = format!("?watch=1&allowWatchBookmarks=true&timeoutSeconds=2&resourceVersion={from}{selected}");
        let (code, text) = self.0.try_ask("GET", &query, "", "");
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["type"] != "BOOKMARK").map(|body| Answer { code, body }).collect()
    }
}

/// What the real server calls what the model calls so: versions, and `uid`s.
#[derive(Default)]
pub(crate) struct Names {
    real: BTreeMap<String, String>,
    model: BTreeMap<String, String>,
}

impl Names {
    /// What both have in the same place is the same, if it was not known yet.
    pub(crate) fn learn(&mut self, real: &Answer, model: &Answer) {
        for path in ["/metadata/resourceVersion", "/metadata/uid"] {
            let of = |answer: &Answer| answer.body.pointer(path).and_then(Value::as_str).map(str::to_owned);
            if real.body["kind"] == "Lease"
                && let (Some(real), Some(model)) = (of(real), of(model))
                && !self.model.contains_key(&real)
                && !self.real.contains_key(&model)
            {
                self.real.insert(model.clone(), real.clone());
                self.model.insert(real, model);
            }
        }
    }

    /// The request with the real server's names.
    pub(crate) fn to_real(&self, request: &Request) -> Request {
        let named = |name: &Option<String>| name.as_ref().map(|name| self.real.get(name).unwrap_or(name).clone());
        match request {
            Request::Create(object) => Request::Create(renamed(object, &self.real)),
            Request::Patch(name, operations) => {
                let operations = operations.iter().map(|operation| renamed(operation, &self.real));
                Request::Patch(name.clone(), operations.collect())
            }
            Request::Replace(name, object) => Request::Replace(name.clone(), renamed(object, &self.real)),
            Request::Delete(name, uid, version) => Request::Delete(name.clone(), named(uid), named(version)),
            request => request.clone(),
        }
    }

    /// What is compared of an answer: of a refusal its status and reason, of a Lease all but times and who wrote what.
    pub(crate) fn compared(&self, answer: &Answer, is_real: bool) -> Value {
        let body = if is_real { renamed(&answer.body, &self.model) } else { answer.body.clone() };
        let body = match (body["kind"].as_str(), body.get("type")) {
            (Some("Status"), _) => json!({"status": body["status"], "reason": body.get("reason")}),
            (Some("LeaseList"), _) => {
                body["items"].as_array().into_iter().flatten().cloned().map(plain).collect::<Vec<_>>().into()
            }
            (_, Some(kind)) => json!({"type": kind, "object": self.last(plain(body["object"].clone()), kind)}),
            _ => plain(body),
        };
        json!({"code": answer.code, "body": body})
    }

    /// Of a deletion no answer has the version.
    fn last(&self, mut lease: Value, kind: &Value) -> Value {
        if kind == "DELETED" {
            lease["metadata"]["resourceVersion"] = Value::Null;
        }
        lease
    }
}

/// Without what differs by right.
fn plain(mut lease: Value) -> Value {
    if let Some(metadata) = lease["metadata"].as_object_mut() {
        metadata.retain(|name, _| !["namespace", "creationTimestamp", "managedFields"].contains(&name.as_str()));
    }
    lease
}

/// Every text that is a name of the one, as the other's.
fn renamed(value: &Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(names.get(text).unwrap_or(text).clone()),
        Value::Array(items) => items.iter().map(|item| renamed(item, names)).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), renamed(value, names))).collect())
        }
        other => other.clone(),
    }
}
