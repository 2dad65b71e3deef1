//! What is asked over HTTP. A request that no store sends is a mistake, of one side or the other.

use super::leases::Request;
use super::object::NAMESPACE;
use serde_json::Value;

/// A request, as it arrives.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// It is answered at once.
    Now(Request),
    /// Every change after a version, of one Lease or of all, for so many seconds.
    Watch(Option<String>, u64, u64),
    /// Whether the server is ready.
    Ready,
}

impl Ask {
    /// # Panics
    ///
    /// If it is none that the model knows.
    #[must_use]
    pub fn read(method: &str, path: &str, query: &str, content: &str, body: &[u8]) -> Self {
        if path == "/readyz" {
            return Self::Ready;
        }
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
        let rest = path.strip_prefix(&leases).unwrap_or_else(|| panic!("{method} {path}"));
        let name = rest.strip_prefix('/').map(str::to_owned);
        let json = || serde_json::from_slice::<Value>(body).unwrap();
        match (method, name, content) {
            ("GET", None, _) => Self::collection(query),
            ("GET", Some(name), _) if query.is_empty() => Self::Now(Request::Get(name)),
            ("POST", None, "application/json") => Self::Now(Request::Create(json())),
            ("PATCH", Some(name), "application/json-patch+json") => {
                Self::Now(Request::Patch(name, json().as_array().unwrap().clone()))
            }
            ("DELETE", Some(name), "application/json") => {
                let options = json();
                let of = |field: &str| super::object::text(&options["preconditions"], field).map(str::to_owned);
                Self::Now(Request::Delete(name, of("/uid"), of("/resourceVersion")))
            }
            (method, name, _) => panic!("{method} {name:?}?{query}"),
        }
    }

    /// As of now, and not of a cache; or as it changes.
    fn collection(query: &str) -> Self {
        let (mut name, mut watches, mut seconds, mut version) = (None, false, 0, None);
        for (field, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match field {
                "fieldSelector" => name = value.strip_prefix("metadata.name%3D").map(str::to_owned),
                "watch" => watches = true,
                "timeoutSeconds" => seconds = value.parse().unwrap(),
                "resourceVersion" => version = Some(value.parse().unwrap()),
                // Fewer Leases than a page are in any plan.
                "limit" | "allowWatchBookmarks" => {}
                other => panic!("{other}={value}"),
            }
        }
        match version {
            Some(version) if watches => Self::Watch(name, version, seconds),
            None if !watches => Self::Now(Request::List(name)),
            _ => panic!("{query}"),
        }
    }
}
