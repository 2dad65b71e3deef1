//! The stores themselves, for tests of what lies below a client. The only place that constructs them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use distributed_locks::store::{Credentials, Store, Tls, World};
use locks_runtime::stores::{etcd, kubernetes, mysql, postgres, redis, zookeeper};

/// Long enough for the busiest machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// etcd at this endpoint.
pub fn etcd_at(endpoint: &str, namespace: String) -> Arc<dyn Store> {
    etcd_as(None, endpoint, namespace)
}

/// etcd at this endpoint, as this user.
pub fn etcd_as(credentials: Option<Credentials>, endpoint: &str, namespace: String) -> Arc<dyn Store> {
    let endpoints = vec![endpoint.to_owned()];
    let config = etcd::Config { endpoints, credentials, namespace, connect_timeout: CONNECT_TIMEOUT, tls: None };
    Arc::new(etcd::Etcd::new(config, &World::background().unwrap()).unwrap())
}

/// Redis at this endpoint.
pub fn redis_at(endpoint: &str, namespace: String) -> Arc<dyn Store> {
    redis_in(redis::Deployment::Server, endpoint, namespace)
}

/// Redis at these endpoints, with commas between, which are what `deployment` says.
pub fn redis_in(deployment: redis::Deployment, endpoints: &str, namespace: String) -> Arc<dyn Store> {
    let config = redis::Config {
        endpoints: endpoints.split(',').map(str::to_owned).collect(),
        deployment,
        wait_replicas: 0,
        credentials: None,
        database: 0,
        namespace,
        connect_timeout: CONNECT_TIMEOUT,
        tls: None,
    };
    Arc::new(redis::Redis::new(config, &World::background().unwrap()).unwrap())
}

/// ZooKeeper at this endpoint.
pub fn zookeeper_at(endpoint: &str, root: String) -> Arc<dyn Store> {
    let config = zookeeper::Config {
        endpoints: vec![endpoint.to_owned()],
        credentials: None,
        root,
        layout: zookeeper::Layout::default(),
        connect_timeout: CONNECT_TIMEOUT,
        tls: None,
    };
    Arc::new(zookeeper::ZooKeeper::new(config, &World::background().unwrap()).unwrap())
}

/// PostgreSQL at this endpoint.
pub fn postgres_at(endpoint: &str, namespace: String) -> Arc<dyn Store> {
    let config = postgres::Config {
        hosts: vec![endpoint.to_owned()],
        credentials: Some(Credentials { user: "app".to_owned(), ..Credentials::default() }),
        database: "locks".to_owned(),
        table: "distributed_locks".to_owned(),
        layout: postgres::Layout::Own,
        namespace,
        connect_timeout: CONNECT_TIMEOUT,
        tls: None,
    };
    Arc::new(postgres::Postgres::new(config, &World::background().unwrap()).unwrap())
}

/// MariaDB at this endpoint.
pub fn mysql_at(endpoint: &str, namespace: String) -> Arc<dyn Store> {
    let config = mysql::Config {
        hosts: vec![endpoint.to_owned()],
        credentials: Some(Credentials { user: "app".to_owned(), ..Credentials::default() }),
        database: "locks".to_owned(),
        table: "distributed_locks".to_owned(),
        layout: mysql::Layout::Own,
        namespace,
        connect_timeout: CONNECT_TIMEOUT,
        tls: None,
    };
    Arc::new(mysql::Mysql::new(config, &World::background().unwrap()).unwrap())
}

/// Kubernetes at this endpoint, for the client that has these files: see [`Kubernetes::file`](crate::kubernetes::Kubernetes::file).
pub fn kubernetes_at(endpoint: &str, ca: Option<PathBuf>, token: PathBuf) -> Arc<dyn Store> {
    let config = kubernetes::Config {
        server: endpoint.to_owned(),
        namespace: "default".to_owned(),
        tls: Some(Tls::default()),
        ca_file: ca,
        token_file: Some(token),
        connect_timeout: CONNECT_TIMEOUT,
    };
    Arc::new(kubernetes::Kubernetes::new(config, &World::background().unwrap()).unwrap())
}
