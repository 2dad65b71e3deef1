//! API servers of Kubernetes on this machine, each over an etcd of its own: real ones, without controllers and nodes.
//!
//! | to simulate | use |
//! |---|---|
//! | a crash of the API server | [`Daemon::kill`], then [`Daemon::restart`] with the same port |
//! | a hung or cut-off API server | [`Daemon::pause`] |
//! | the same of its etcd | [`Kubernetes::etcd`] |
//! | another client, `kubectl` | [`Kubernetes::ask`], [`Kubernetes::lease`], [`Kubernetes::change`] |
//! | rights taken away | [`Kubernetes::set_verbs`] |
//! | a token that ends | [`Kubernetes::account`], [`Account::delete_and_make_again`] |
//! | `kubectl proxy`, and answers that have no real cause here | a [`Front`] |
//! | a bad network on the way | a [`Proxy`](crate::proxy::Proxy) to [`Daemon::address`] |

use std::fs;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cases::Program;
use crate::certificates::Certificates;
use crate::daemon::{ClientUrl, Daemon, Launch, fast_directory};
use crate::etcd::{self, Etcd};
use crate::ports;
use crate::server::{Cost, Server};

mod account;
mod api;
mod binary;
mod front;

pub use account::Account;
use api::Api;
pub use binary::Binary;
pub use front::{Does, Front};

/// What differs from a server whose client has a token, and the rights of the Role in `examples/kubernetes`.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The client has a certificate; the token that it also names is nobody's.
    pub certificate: bool,
    /// Further flags.
    pub flags: Vec<String>,
}

/// A running API server, with its etcd. Killed by `Drop`, with its data.
#[derive(Debug)]
pub struct Kubernetes {
    api: Api,
    audit: PathBuf,
    daemon: Daemon,
    etcd: Etcd,
}

/// Where the tests' Leases are. The server makes it by itself.
const NAMESPACE: &str = "default";
/// The users that clients are: by token, and by certificate.
const USERS: [&str; 2] = ["locks", "client"];
const TOKEN: &str = "locks-token";

impl Kubernetes {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start, with the end of its log.
    pub fn start(binary: &Binary, setup: &Setup) -> Kubernetes {
        let started = crate::daemon::start(|| Kubernetes::prepare(binary, setup), |started| vec![&started.daemon]);
        started.set_verbs(&[]);
        started
    }

    /// Its etcd.
    pub fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    /// Asks as an administrator: `None` is an answer that there is no such thing.
    ///
    /// # Panics
    ///
    /// If the server refuses, with its words.
    pub fn ask(&self, method: &str, path: &str, object: &Value) -> Option<Value> {
        let body = if object.is_null() { String::new() } else { object.to_string() };
        self.api.ask(method, path, "application/json", &body)
    }

    /// Asks the tests' Leases as an administrator, with what follows their path: the status and the body of the answer.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn try_ask(&self, method: &str, rest: &str, content: &str, body: &str) -> (u16, String) {
        let path = format!("{}{rest}", path(""));
        self.api.try_ask(method, &path, content, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Makes whatever this YAML describes, as `kubectl apply` does, in the namespace of the tests.
    pub fn apply(&self, yaml: &str) {
        let yaml = yaml
            .replace("namespace: app", &format!("namespace: {NAMESPACE}"))
            .replace("[app]", &format!("[{NAMESPACE}]"));
        for document in yaml.split("\n---\n") {
            let of = |name: &str| {
                document.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).expect("a field")
            };
            let place =
                if document.contains("\n  namespace: ") { format!("namespaces/{NAMESPACE}/") } else { String::new() };
            let (version, kind, name) = (of("apiVersion"), of("kind").to_lowercase(), of("  name"));
            let path = format!("/apis/{version}/{place}{kind}s/{name}?force=true&fieldManager=tests");
            self.api.ask("PATCH", &path, "application/apply-patch+yaml", document).unwrap_or_else(|| panic!("{path}"));
        }
    }

    /// Gives the clients these rights alone; without any, those of the Role in `examples/kubernetes`.
    pub fn set_verbs(&self, verbs: &[&str]) {
        match verbs {
            [] => self.set_rights("[get, list, watch, create, patch, delete]"),
            verbs => self.set_rights(&format!("[{}]", verbs.join(", "))),
        }
    }

    /// Gives the clients these rights, on the Lease of this name alone.
    pub fn set_verbs_on(&self, name: &str, verbs: &[&str]) {
        self.set_rights(&format!("[{}]\n    resourceNames: [{name}]", verbs.join(", ")));
    }

    fn set_rights(&self, rights: &str) {
        let role = fs::read_to_string(manifest("role.yaml")).unwrap();
        let role = role.replace("[get, list, watch, create, patch, delete]", rights);
        let users: String = USERS
            .map(|user| format!("\n  - kind: User\n    apiGroup: rbac.authorization.k8s.io\n    name: {user}"))
            .concat();
        self.apply(&format!("{}{users}", role.trim_end()));
    }

    /// A Lease of the tests' namespace as it is.
    pub fn lease(&self, name: &str) -> Option<Value> {
        self.ask("GET", &path(name), &Value::Null)
    }

    /// Every Lease of the tests' namespace; `None` if the server does not answer.
    pub fn try_leases(&self) -> Option<Vec<Value>> {
        let (status, text) = self.api.try_ask("GET", &path(""), "", "").ok()?;
        let list: Value = serde_json::from_str(&text).ok().filter(|_| status == 200)?;
        list["items"].as_array().cloned()
    }

    /// Deletes a Lease, if that can be done now.
    pub fn try_delete_lease(&self, name: &str) {
        let _ = self.api.try_ask("DELETE", &path(name), "application/json", "");
    }

    /// Deletes a Lease as it was read, if it still is so and that can be done now.
    pub fn try_delete(&self, lease: &Value) {
        let (name, metadata) = (lease["metadata"]["name"].as_str().unwrap_or_default(), &lease["metadata"]);
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}});
        let _ = self.api.try_ask("DELETE", &path(name), "application/json", &options.to_string());
    }

    /// Changes a Lease by a merge patch, if that can be done now.
    pub fn try_change(&self, name: &str, change: &Value) {
        let _ = self.api.try_ask("PATCH", &path(name), "application/merge-patch+json", &change.to_string());
    }

    /// Every Lease of the tests' namespace.
    pub fn leases(&self) -> Vec<Value> {
        let list = self.ask("GET", &path(""), &Value::Null).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// The Lease of a key.
    pub fn lease_of(&self, key: &str) -> Option<Value> {
        self.leases().into_iter().find(|lease| key_of(lease) == key)
    }

    /// The name of the Lease of a key, which is there.
    pub fn name_of(&self, key: &str) -> String {
        self.lease_of(key).expect("a Lease")["metadata"]["name"].as_str().unwrap().to_owned()
    }

    /// Makes a Lease that nobody holds, as an operator does.
    pub fn make_lease(&self, name: &str) {
        self.make_lease_with(name, &json!({}));
    }

    /// As [`make_lease`](Kubernetes::make_lease), with what this object has.
    pub fn make_lease_with(&self, name: &str, object: &Value) {
        let mut lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}});
        if let Some(spec) = object.get("spec") {
            lease["spec"] = spec.clone();
        }
        if let Some(annotations) = object.pointer("/metadata/annotations") {
            lease["metadata"]["annotations"] = annotations.clone();
        }
        self.ask("POST", &path(""), &lease);
    }

    /// Changes a Lease by a merge patch, as `kubectl edit` would.
    pub fn change(&self, name: &str, change: &Value) {
        self.api.ask("PATCH", &path(name), "application/merge-patch+json", &change.to_string()).expect("a Lease");
    }

    /// Deletes a Lease by its name.
    pub fn delete_lease(&self, name: &str) {
        self.ask("DELETE", &path(name), &Value::Null);
    }

    /// Makes a namespace.
    pub fn make_namespace(&self, name: &str) {
        self.ask("POST", "/api/v1/namespaces", &json!({"metadata": {"name": name}}));
    }

    /// A file beside the server's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.daemon.log().with_file_name(name)
    }

    fn prepare(binary: &Binary, setup: &Setup) -> Kubernetes {
        let etcd = etcd::Binary::all().last().expect("an etcd").start(&etcd::Setup::default());
        let directory = fast_directory("locks-kubernetes-");
        let at = |name: &str| directory.path().join(name);
        let certificates = Certificates::create(directory.path());
        let account_key = rcgen::KeyPair::generate().unwrap();
        fs::write(at("account.key"), account_key.serialize_pem()).unwrap();
        fs::write(at("account.pub"), account_key.public_key_pem()).unwrap();
        fs::write(
            at("tokens.csv"),
            format!("{},admin,1,system:masters\n{TOKEN},locks,2\nnobody-token,nobody,3\n", api::ADMIN),
        )
        .unwrap();
        fs::write(at("admin"), api::ADMIN).unwrap();
        fs::write(at("token"), if setup.certificate { "of-nobody" } else { TOKEN }).unwrap();
        fs::write(at("audit.yaml"), AUDIT).unwrap();
        let (port, audit) = (ports::free(), at("audit.log"));
        let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let mut flags = vec![
            format!("--etcd-servers=http://{}", etcd.endpoint()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            "--endpoint-reconciler-type=none".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            flag("service-account-key-file", &at("account.pub")),
            flag("service-account-signing-key-file", &at("account.key")),
            flag("token-auth-file", &at("tokens.csv")),
            flag("tls-cert-file", &certificates.server()),
            flag("tls-private-key-file", &certificates.server_key()),
            flag("client-ca-file", &certificates.ca()),
            flag("audit-policy-file", &at("audit.yaml")),
            flag("audit-log-path", &audit),
        ];
        flags.extend(setup.flags.iter().cloned());
        let api = Api::at((Ipv4Addr::LOCALHOST, port).into(), &certificates.ca());
        let token = format!("token_file={}", at("token").display());
        let parameters = if setup.certificate { token } else { format!("{token}&ca={}", certificates.ca().display()) };
        let (program, asked) = (binary.path().to_owned(), api.clone());
        let daemon = Daemon::new(Launch {
            name: format!("{} at 127.0.0.1:{port}", binary.label()),
            directory,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            url: ClientUrl {
                scheme: "kubernetes",
                path: "/default",
                parameters,
                certificates: setup.certificate.then_some(certificates),
                ..ClientUrl::default()
            },
            command: Box::new(move || {
                let mut command = Command::new(&program);
                command.args(&flags);
                command
            }),
            answers: Box::new(move || {
                ["/readyz", "/api/v1/namespaces/default"]
                    .iter()
                    .all(|path| asked.try_ask("GET", path, "", "").is_ok_and(|(status, _)| status == 200))
            }),
        });
        Kubernetes { api, audit, daemon, etcd }
    }
}

/// Each request for a Lease of the tests' namespace, before it is served.
const AUDIT: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [ResponseStarted, ResponseComplete, Panic]
rules:
  - level: Metadata
    namespaces: [default]
    resources: [{group: coordination.k8s.io, resources: [leases]}]
  - level: None
";

/// The name of the Lease of this key, for clients of other projects.
pub fn lease_name(key: &str) -> String {
    let key = distributed_locks::Key::new(key).unwrap();
    locks_runtime::stores::kubernetes::Kubernetes::lease_name(&key)
}

/// A file of the examples.
pub fn manifest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kubernetes").join(name)
}

fn path(name: &str) -> String {
    let slash = if name.is_empty() { "" } else { "/" };
    format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases{slash}{name}")
}

fn key_of(lease: &Value) -> &str {
    let named = lease["metadata"]["annotations"]["distributed-locks/key"].as_str();
    named.or_else(|| lease["metadata"]["name"].as_str()).unwrap_or_default()
}

fn line(lease: &Value) -> Vec<&str> {
    let line = lease["metadata"]["annotations"]["distributed-locks/line"].as_str().unwrap_or_default();
    line.lines().filter_map(|line| line.split(' ').next()).collect()
}

impl Deref for Kubernetes {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl Server for Kubernetes {
    const DELETED: &'static str = "the Lease has another holder";
    const HAS_MODES: bool = false;

    fn lapses_after(ttl: Duration) -> Duration {
        Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))
    }

    fn left(&self, key: &str) -> Vec<String> {
        let mut left = Vec::new();
        for lease in self.leases().iter().filter(|lease| key_of(lease).starts_with(key)) {
            let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty());
            left.extend(holder.into_iter().chain(line(lease)).map(str::to_owned));
        }
        left.sort();
        left
    }

    fn record(&self, key: &str) -> String {
        let lease = self.lease_of(key).expect("a Lease");
        let record = lease["metadata"]["annotations"]["distributed-locks/holder"].as_str().expect("a record");
        record.split_once(' ').expect("an identity").1.to_owned()
    }

    fn lapse(&self, key: &str) -> Duration {
        let lease = self.lease_of(key).expect("a Lease");
        Duration::from_secs(lease["spec"]["leaseDurationSeconds"].as_u64().expect("a duration"))
    }

    fn delete(&self, key: &str) {
        let lease = self.lease_of(key).expect("a Lease");
        self.delete_lease(lease["metadata"]["name"].as_str().unwrap());
    }

    /// Requests for Leases, by verb.
    fn cost(&self) -> Cost {
        let mut cost = Cost::new();
        for line in fs::read_to_string(&self.audit).unwrap_or_default().lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            if event["user"]["username"] != "admin" {
                *cost.entry(event["verb"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        cost
    }
}
