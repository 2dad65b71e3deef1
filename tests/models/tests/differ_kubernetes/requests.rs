//! Random requests: what the store and client-go send, with what is so, was so, or never was; and what nobody should send.

use locks_models::Random;
use locks_models::kubernetes::{Leases, Request};
use serde_json::{Value, json};

/// Draws requests.
pub(crate) struct Requests {
    random: Random,
    /// Leases as they were once.
    former: Vec<Value>,
    number: u64,
}

const NAMES: [&str; 3] = ["a", "b", "c.d-e"];
const NOTES: [&str; 3] = ["distributed-locks/line", "distributed-locks/holder", "distributed-locks/fence"];

impl Requests {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, former: Vec::new(), number: 0 }
    }

    pub(crate) fn next(&mut self, leases: &Leases) -> Request {
        self.number += 1;
        let name = self.random.pick(&NAMES);
        let lease = self.lease(leases, name);
        match self.random.below(20) {
            0 | 1 => Request::Get(name.to_owned()),
            2 => Request::List(self.random.chance(50).then(|| name.to_owned())),
            3..7 => Request::Create(self.created(name)),
            7 | 8 => self.deletion(name, &lease),
            9 | 10 => Request::Replace(name.to_owned(), self.replaced(name, &lease)),
            11 | 12 => Request::Patch(name.to_owned(), self.odd()),
            _ => Request::Patch(name.to_owned(), self.patch(&lease)),
        }
    }

    /// As it is, or was, or one that never was.
    fn lease(&mut self, leases: &Leases, name: &str) -> Value {
        let now = leases.get(name).cloned();
        self.former.extend(now.clone());
        let is_stale = self.random.chance(20) && !self.former.is_empty();
        if is_stale {
            let from = self.former.len().saturating_sub(8);
            let index = from + self.random.index(self.former.len() - from);
            return self.former[index].clone();
        }
        now.unwrap_or_else(|| json!({"metadata": {"uid": "11111111-2222-4333-8444-555555555555", "resourceVersion": "77"}, "spec": {}}))
    }

    fn time(&mut self) -> Value {
        let seconds = self.number % 60;
        let fraction = if self.random.chance(4) { "123" } else { "123000" };
        json!(format!("2025-11-21T12:{:02}:{seconds:02}.{fraction}Z", self.number / 60 % 60))
    }

    fn spec(&mut self) -> Value {
        let mut spec = json!({"holderIdentity": self.holder(), "leaseDurationSeconds": self.seconds(),
            "acquireTime": self.time(), "renewTime": self.time(), "leaseTransitions": self.random.below(5)});
        if self.random.chance(5) {
            spec["leaseTransitions"] = json!(-1);
        }
        if self.random.chance(20) {
            let field = self.random.pick(&["holderIdentity", "leaseDurationSeconds", "renewTime"]);
            spec[field] = Value::Null;
        }
        spec
    }

    fn holder(&mut self) -> &'static str {
        self.random.pick(&["", "host_1-1", "host_1-2", "client-go", "ü %"])
    }

    fn seconds(&mut self) -> i64 {
        self.random.pick(&[1, 3, 15, 15, 2_147_483_647, 0])
    }

    fn created(&mut self, name: &str) -> Value {
        let mut lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name}, "spec": self.spec()});
        if self.random.chance(60) {
            let line = format!("x {{}}\ny {}\n", self.number);
            lease["metadata"]["annotations"] =
                json!({"distributed-locks/made": "true", "distributed-locks/line": line});
        }
        if self.random.chance(10) {
            lease["metadata"]["annotations"] = json!({});
        }
        lease
    }

    fn replaced(&mut self, name: &str, lease: &Value) -> Value {
        let mut asked = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "uid": lease["metadata"]["uid"], "resourceVersion": lease["metadata"]["resourceVersion"]},
            "spec": self.spec()});
        if let Some(annotations) = lease["metadata"].get("annotations") {
            asked["metadata"]["annotations"] = annotations.clone();
        }
        if self.random.chance(20) {
            // Nothing is another than it was.
            asked["spec"] = lease["spec"].clone();
        }
        asked
    }

    fn deletion(&mut self, name: &str, lease: &Value) -> Request {
        let mut of = |field: &str| {
            let value = lease["metadata"][field].as_str().map(str::to_owned);
            value.filter(|_| !self.random.chance(20))
        };
        Request::Delete(name.to_owned(), of("uid"), of("resourceVersion"))
    }

    /// As the store sends it: conditions on what was seen, times, and annotations.
    fn patch(&mut self, lease: &Value) -> Vec<Value> {
        let mut patch = vec![test("/metadata/uid", &lease["metadata"]["uid"])];
        if self.random.chance(60) {
            patch.push(test("/metadata/resourceVersion", &lease["metadata"]["resourceVersion"]));
        }
        for field in ["holderIdentity", "acquireTime", "renewTime", "leaseDurationSeconds"] {
            if self.random.chance(50) {
                patch.push(test(&format!("/spec/{field}"), lease["spec"].get(field).unwrap_or(&Value::Null)));
            }
        }
        let spec = self.spec();
        for (field, value) in spec.as_object().unwrap() {
            if self.random.chance(60) && !value.is_null() {
                patch.push(json!({"op": "add", "path": format!("/spec/{field}"), "value": value}));
            }
        }
        self.annotate(lease, &mut patch);
        patch
    }

    fn annotate(&mut self, lease: &Value, patch: &mut Vec<Value>) {
        let is_annotated = lease["metadata"].get("annotations").is_some();
        if !is_annotated && self.random.chance(50) {
            patch.push(test("/metadata/annotations", &Value::Null));
            let all = json!({self.random.pick(&NOTES): format!("host_1-1 {}", self.number)});
            patch.push(json!({"op": "add", "path": "/metadata/annotations", "value": all}));
            return;
        }
        for note in NOTES {
            let path = format!("/metadata/annotations/{}", note.replace('/', "~1"));
            match self.random.below(6) {
                0 => patch.push(json!({"op": "add", "path": path, "value": format!("host_1-1 {}", self.number)})),
                1 => patch
                    .extend([json!({"op": "add", "path": path, "value": ""}), json!({"op": "remove", "path": path})]),
                _ => {}
            }
        }
    }

    /// What nobody should send.
    fn odd(&mut self) -> Vec<Value> {
        let path = self.random.pick(&[
            "/metadata/annotations/x~1y",
            "/metadata/labels/x",
            "/spec/holderIdentity",
            "/spec/renewTime",
            "/status/x",
        ]);
        let op = self.random.pick(&["add", "remove", "replace", "test"]);
        match op {
            "remove" => vec![json!({"op": op, "path": path})],
            "test" if self.random.chance(50) => vec![json!({"op": op, "path": path, "value": null})],
            _ => vec![json!({"op": op, "path": path, "value": format!("v{}", self.number)})],
        }
    }
}

fn test(path: &str, value: &Value) -> Value {
    json!({"op": "test", "path": path, "value": value})
}
