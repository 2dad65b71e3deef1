//! Accounts of pods, and their tokens.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Kubernetes, NAMESPACE};

/// An account with the rights of the Role in `examples/kubernetes`, and a file with a token of it.
#[derive(Debug)]
pub struct Account<'a> {
    server: &'a Kubernetes,
    name: String,
    file: PathBuf,
}

impl Kubernetes {
    /// Makes an account, and a token of it as the kubelet gives one to a pod.
    pub fn account(&self, name: &str) -> Account<'_> {
        let account = Account { server: self, name: name.to_owned(), file: self.file(&format!("{name}.token")) };
        account.make();
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "distributed-locks"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
        });
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings");
        self.ask("POST", &path, &binding);
        account
    }

    /// The URL of a client that has its token in this file.
    pub fn url_with_token(&self, file: &std::path::Path) -> String {
        self.url().replace(&self.file("token").display().to_string(), &file.display().to_string())
    }
}

impl Account<'_> {
    /// The URL of a client that is this account.
    pub fn url(&self) -> String {
        self.server.url_with_token(&self.file)
    }

    /// Puts another token into the file.
    pub fn renew_token(&self) {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{}/token", self.name);
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}});
        let token = self.server.ask("POST", &path, &request).unwrap()["status"]["token"].as_str().unwrap().to_owned();
        fs::write(&self.file, token).unwrap();
    }

    /// Deletes the account: its tokens have ended, after some seconds. Then makes it again, and a token that is not in the file yet.
    pub fn delete_and_make_again(&self) {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{}", self.name);
        self.server.ask("DELETE", &path, &Value::Null);
        let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        self.server.ask("POST", &accounts, &json!({"metadata": {"name": self.name}}));
    }

    /// Whether the server still accepts the token in the file.
    pub fn is_accepted(&self) -> bool {
        let token = fs::read_to_string(&self.file).unwrap();
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let reviewed = self.server.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", &review).unwrap();
        reviewed["status"]["authenticated"] == true
    }

    fn make(&self) {
        let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        self.server.ask("POST", &accounts, &json!({"metadata": {"name": self.name}}));
        self.renew_token();
    }
}
