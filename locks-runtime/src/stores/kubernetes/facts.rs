//! What the API server says of itself, and of what we may do there.

use super::client::Client;
use crate::contract::ServerFacts;
use crate::values::error::Error;
use serde_json::{Value, json};

/// The rights that are needed: see the Role in docs/kubernetes.md.
const VERBS: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];

pub(super) async fn facts(client: &Client) -> Result<ServerFacts, Error> {
    let (version, wall_clock_ms) = client.ask("/version", None).await?;
    let mut facts = ServerFacts::from([("server", "Kubernetes".to_owned())]);
    facts.extend(version["gitVersion"].as_str().map(|version| ("version", version.to_owned())));
    facts.extend(wall_clock_ms.map(|ms| ("wall_clock_ms", ms.to_string())));
    let mut missing = Vec::new();
    for verb in VERBS {
        let attributes = json!({"namespace": client.config.namespace, "verb": verb, "group": "coordination.k8s.io", "resource": "leases"});
        let question = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        });
        let (answer, _) = client.ask("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", Some(&question)).await?;
        if answer["status"]["allowed"] != Value::Bool(true) {
            missing.push(verb);
        }
    }
    facts.insert("missing_rights", missing.join(" "));
    Ok(facts)
}
