//! The Leases of a namespace, in etcd, and what API servers do with them. No task, no clock and no network is in it.

use super::answer::Answer;
use super::clock::Shown;
use super::json_patch;
use super::object::{self, checked, stamped};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A request for Leases that is answered at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `POST`.
    Create(Value),
    /// `GET` of one.
    Get(String),
    /// `GET` of all, or of that with a name.
    List(Option<String>),
    /// `PATCH` by operations, as of RFC 6902.
    Patch(String, Vec<Value>),
    /// `PUT`, as client-go writes.
    Replace(String, Value),
    /// `DELETE`, of this very one at this version.
    Delete(String, Option<String>, Option<String>),
}

/// What happened to a Lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The revision of etcd since.
    pub revision: u64,
    /// As a watch has it.
    pub kind: &'static str,
    /// As it is since, or was last.
    pub lease: Value,
}

/// All Leases.
#[derive(Clone, Debug)]
pub struct Leases {
    by_name: BTreeMap<String, Value>,
    /// etcd's, which others move, too.
    revision: u64,
    made: u64,
    changes: Vec<Change>,
}

impl Default for Leases {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), revision: 1000, made: 0, changes: Vec::new() }
    }
}

impl Leases {
    /// Answers a request. `now` is what the clock of the server shows that is asked.
    pub fn answer(&mut self, request: &Request, now: Shown) -> Answer {
        let carried_out = match request {
            Request::Create(asked) => self.create(asked, now),
            Request::Get(name) => self.known(name).map(|lease| Answer::object(200, lease.clone())),
            Request::List(name) => Ok(self.list(name.as_deref())),
            Request::Patch(name, operations) => self.patch(name, operations, now),
            Request::Replace(name, asked) => self.replace(name, asked, now),
            Request::Delete(name, uid, version) => self.delete(name, uid.as_deref(), version.as_deref()),
        };
        carried_out.unwrap_or_else(|refused| refused)
    }

    /// Every Lease, by name.
    pub fn all(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.by_name.iter()
    }

    /// The Lease of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.by_name.get(name)
    }

    /// The revision of etcd.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The first change of a Lease after a revision: of one, or of any.
    #[must_use]
    pub fn next_change(&self, after: u64, name: Option<&str>) -> Option<&Change> {
        let from = self.changes.partition_point(|change| change.revision <= after);
        let is_meant =
            |change: &&Change| name.is_none_or(|name| object::text(&change.lease, "/metadata/name") == Some(name));
        self.changes[from..].iter().find(is_meant)
    }

    fn known(&self, name: &str) -> Result<&Value, Answer> {
        self.by_name.get(name).ok_or_else(|| Answer::not_found(name))
    }

    fn create(&mut self, asked: &Value, now: Shown) -> Result<Answer, Answer> {
        let name = object::text(asked, "/metadata/name").ok_or_else(|| Answer::bad("name is required"))?;
        let lease = checked(name, asked)?;
        if self.by_name.contains_key(name) {
            return Err(Answer::exists(name));
        }
        self.made += 1;
        let uid = json!(format!("{:08x}-0000-4000-8000-{:012x}", self.revision, self.made));
        let made = json!(super::clock::seconds(now));
        let lease = stamped(lease, &uid, &made, self.next_revision(), now);
        self.write(name, "ADDED", lease.clone());
        Ok(Answer::object(201, lease))
    }

    fn list(&self, name: Option<&str>) -> Answer {
        let meant = self.by_name.iter().filter(|(other, _)| name.is_none_or(|name| name == *other));
        let items: Vec<Value> = meant.map(|(_, lease)| without_kind(lease)).collect();
        let metadata = json!({"resourceVersion": self.revision.to_string()});
        let list =
            json!({"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata, "items": items});
        Answer::object(200, list)
    }

    fn patch(&mut self, name: &str, operations: &[Value], now: Shown) -> Result<Answer, Answer> {
        let lease = self.known(name)?;
        let patched = json_patch::apply(lease, operations).ok_or_else(Answer::unpatchable)?;
        // What can be applied, and is no Lease then, is refused as a patch.
        let changed = checked(name, &patched).map_err(|refused| match refused.code {
            400 => Answer::unpatchable(),
            _ => refused,
        })?;
        Ok(self.change(name, changed, now))
    }

    fn replace(&mut self, name: &str, asked: &Value, now: Shown) -> Result<Answer, Answer> {
        let text = |lease: &Value, path: &str| object::text(lease, path).map(str::to_owned);
        let (uid, version) = (text(asked, "/metadata/uid"), text(asked, "/metadata/resourceVersion"));
        // What is no Lease is refused at once, and what is none that may be when it would be written.
        let changed = match checked(name, asked) {
            Err(refused) if refused.code == 400 => return Err(refused),
            changed => changed,
        };
        let Some(lease) = self.by_name.get(name) else {
            return Err(Answer::conflict(
                name,
                "StorageError: invalid object, Precondition failed: UID in precondition",
            ));
        };
        if uid != text(lease, "/metadata/uid") {
            return Err(Answer::conflict(name, "Precondition failed: UID in precondition"));
        }
        if version != text(lease, "/metadata/resourceVersion") {
            let what = "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Answer::conflict(name, what));
        }
        Ok(self.change(name, changed?, now))
    }

    /// What changes nothing is no write.
    fn change(&mut self, name: &str, changed: Value, now: Shown) -> Answer {
        let lease = &self.by_name[name];
        if object::is_same(lease, &changed) {
            return Answer::object(200, lease.clone());
        }
        let (uid, made) = (lease["metadata"]["uid"].clone(), lease["metadata"]["creationTimestamp"].clone());
        let changed = stamped(changed, &uid, &made, self.next_revision(), now);
        self.write(name, "MODIFIED", changed.clone());
        Answer::object(200, changed)
    }

    fn delete(&mut self, name: &str, uid: Option<&str>, version: Option<&str>) -> Result<Answer, Answer> {
        let lease = self.known(name)?;
        let is = |path: &str, asked: Option<&str>| asked.is_none() || asked == object::text(lease, path);
        if !is("/metadata/uid", uid) || !is("/metadata/resourceVersion", version) {
            return Err(Answer::conflict(name, "Precondition failed"));
        }
        let (mut last, uid) = (lease.clone(), lease["metadata"]["uid"].clone());
        self.by_name.remove(name);
        let revision = self.next_revision();
        last["metadata"]["resourceVersion"] = json!(revision.to_string());
        self.changes.push(Change { revision, kind: "DELETED", lease: last });
        Ok(Answer::deleted(name, &uid))
    }

    fn write(&mut self, name: &str, kind: &'static str, lease: Value) {
        self.changes.push(Change { revision: self.revision, kind, lease: lease.clone() });
        self.by_name.insert(name.to_owned(), lease);
    }

    /// In between others may have written something else.
    fn next_revision(&mut self) -> u64 {
        self.revision += 1 + self.revision % 3;
        self.revision
    }
}

/// As it is in a list.
fn without_kind(lease: &Value) -> Value {
    json!({"metadata": lease["metadata"], "spec": lease["spec"]})
}
