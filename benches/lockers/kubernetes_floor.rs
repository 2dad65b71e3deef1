//! The fewest requests of a lock in a Lease that is there: one conditional update each way, over one HTTP/2 connection. Others than
//! its own are not waited for.

use super::{Locker, Micros, body};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[derive(Clone)]
pub(crate) struct KubernetesFloor {
    sender: SendRequest<Full<Bytes>>,
    server: String,
    token: String,
    /// The version of each Lease, as this process has written it last.
    versions: Arc<Mutex<BTreeMap<String, String>>>,
}

impl KubernetesFloor {
    /// By `host:port CA TOKEN`, with the names of two files.
    pub(crate) async fn connect(address: &str) -> Self {
        let [server, ca, token] = address.split(' ').collect::<Vec<_>>()[..] else { panic!("{address}") };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpStream::connect(server).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, socket).await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let token = std::fs::read_to_string(token).unwrap();
        Self { sender, server: server.to_owned(), token, versions: Arc::default() }
    }

    async fn ask(&self, method: Method, name: &str, content: &str, object: &Value) -> (u16, Value) {
        let slash = if name.is_empty() { "" } else { "/" };
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/default/leases{slash}{name}");
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.server))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, content)
            .body(Full::new(Bytes::from(object.to_string())))
            .unwrap();
        let response = self.sender.clone().send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    /// Makes the Lease, or finds it.
    async fn version(&self, name: &str) -> String {
        let known = self.versions.lock().unwrap().get(name).cloned();
        if let Some(version) = known {
            return version;
        }
        let lease = json!({"metadata": {"name": name}, "spec": {"holderIdentity": "", "leaseDurationSeconds": 1}});
        let (status, lease) = match self.ask(Method::POST, "", "application/json", &lease).await {
            (409, _) => self.ask(Method::GET, name, "application/json", &Value::Null).await,
            made => made,
        };
        assert!(status < 300, "{status}: {lease}");
        lease["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    }

    async fn update(&self, name: &str, holder: &str) {
        let version = self.version(name).await;
        let patch = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "replace", "path": "/spec/holderIdentity", "value": holder},
        ]);
        let (status, lease) = self.ask(Method::PATCH, name, "application/json-patch+json", &patch).await;
        assert_eq!(status, 200, "{lease}");
        let version = lease["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        self.versions.lock().unwrap().insert(name.to_owned(), version);
    }
}

impl Locker for KubernetesFloor {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        let name: String =
            key.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let name = format!("floor-{}", name.to_ascii_lowercase());
        self.update(&name, "floor").await;
        let moments = body(length).await;
        self.update(&name, "").await;
        moments
    }
}
