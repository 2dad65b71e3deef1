//! The six verbs and the watch of the API that this store needs.

use super::config::Config;
use super::error::{Failed, Refusal, odd};
use super::followed::Followed;
use super::lease::{Lease, Object};
use super::patch::Patch;
use super::refused::Refused;
use super::remembered::Remembered;
use super::stream::{Open, Stream};
use super::token::Token;
use super::wire::{Ask, Reply, Wire};
use crate::values::error::Error;
use crate::world::World;
use bytes::Bytes;
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
/// How many Leases of a list come in one answer.
const PAGE: usize = 100;

/// A client of one namespace of one API server.
pub(super) struct Client {
    pub(super) config: Arc<Config>,
    pub(super) world: World,
    token: Option<Token>,
    requests: Wire,
    /// For nothing else, so that no crowd of requests keeps a hold from being renewed.
    renewals: Wire,
    open: Open,
    refused: Refused,
    pub(super) remembered: Remembered,
    pub(super) followed: Followed,
}

/// Which connection a request goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Requests,
    Renewals,
}

/// A Lease as it is now, and what time it is by the server's clock.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) lease: Option<Lease>,
    pub(super) server_ms: Option<u64>,
}

/// What came of a request to make a Lease.
#[derive(Debug)]
pub(super) enum Created {
    Made(Arc<Lease>),
    /// There is one of that name.
    Exists,
}

/// What came of a conditional change.
#[derive(Debug)]
pub(super) enum Changed {
    /// The Lease as it is after it.
    Done(Arc<Lease>),
    /// A condition was not met, or the change is not valid: the server does not say which, but says this.
    Refused(String),
    /// There is no such Lease.
    Gone,
}

/// Every Lease, as of one version.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) leases: Vec<Lease>,
    pub(super) version: String,
    pub(super) server_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    kind: Option<String>,
    metadata: super::lease::Metadata,
    items: Option<Vec<Object>>,
}

impl Client {
    pub(super) fn new(config: Config, world: &World) -> Result<Arc<Self>, Error> {
        config.check()?;
        let config = Arc::new(config);
        Ok(Arc::new(Self {
            token: config.token_file.clone().map(|path| Token::new(world, path)),
            requests: Wire::new(&config, world),
            renewals: Wire::new(&config, world),
            open: Open::default(),
            refused: Refused::default(),
            remembered: Remembered::new(world),
            followed: Followed::default(),
            world: world.clone(),
            config,
        }))
    }

    /// The Lease as it is now, and not as some server's cache has it.
    pub(super) async fn get(&self, name: &str) -> Result<Read, Error> {
        let reply = self.exchange(Over::Requests, ask("get", self.path(name)), self.config.request_timeout()).await?;
        if reply.status.is_success() {
            return Ok(Read { lease: Some(self.lease(&reply)?), server_ms: reply.server_ms });
        }
        let refusal = Refusal::of(&reply);
        if refusal.is(StatusCode::NOT_FOUND) && refusal.reason.is_some() {
            return Ok(Read { lease: None, server_ms: reply.server_ms });
        }
        Err(refusal.explain(&self.config).error)
    }

    /// Makes a Lease, unless there is one.
    pub(super) async fn create(&self, object: Vec<u8>) -> Result<Created, Failed> {
        let ask = Ask { verb: "create", method: Method::POST, path: self.path(""), content: JSON, body: object.into() };
        let reply = self.exchange(Over::Requests, ask, self.config.request_timeout()).await?;
        if reply.status.is_success() {
            return Ok(Created::Made(self.lease(&reply)?.into()));
        }
        let refusal = Refusal::of(&reply);
        if refusal.is(StatusCode::CONFLICT) && refusal.reason.as_deref() == Some("AlreadyExists") {
            return Ok(Created::Exists);
        }
        Err(refusal.explain(&self.config))
    }

    /// Changes a Lease, if the patch's conditions are met.
    pub(super) async fn patch(&self, over: Over, name: &str, patch: Patch, limit: Duration) -> Result<Changed, Failed> {
        let body = Bytes::from(patch.into_bytes());
        let ask = Ask { verb: "patch", method: Method::PATCH, path: self.path(name), content: JSON_PATCH, body };
        let reply = self.exchange(over, ask, limit).await?;
        if reply.status.is_success() {
            return Ok(Changed::Done(self.lease(&reply)?.into()));
        }
        let refusal = Refusal::of(&reply);
        if refusal.reason.is_some()
            && (refusal.is(StatusCode::UNPROCESSABLE_ENTITY) || refusal.is(StatusCode::CONFLICT))
        {
            return Ok(Changed::Refused(refusal.message));
        }
        if refusal.reason.is_some() && refusal.is(StatusCode::NOT_FOUND) {
            return Ok(Changed::Gone);
        }
        Err(refusal.explain(&self.config))
    }

    /// Deletes the Lease if it is still as it was read; returns whether it is not there as it was.
    pub(super) async fn delete(&self, lease: &Lease) -> Result<bool, Failed> {
        let conditions = json!({"uid": lease.uid, "resourceVersion": lease.version.to_string()});
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions});
        let body = Bytes::from(options.to_string().into_bytes());
        let ask = Ask { verb: "delete", method: Method::DELETE, path: self.path(&lease.name), content: JSON, body };
        let reply = self.exchange(Over::Requests, ask, self.config.request_timeout()).await?;
        let refusal = Refusal::of(&reply);
        match reply.status {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND if refusal.reason.is_some() => Ok(true),
            StatusCode::CONFLICT if refusal.reason.is_some() => Ok(false),
            _ => Err(refusal.explain(&self.config)),
        }
    }

    /// The Lease of this name, or every Lease.
    pub(super) async fn list(&self, name: Option<&str>) -> Result<Listed, Error> {
        let mut all = Listed { leases: Vec::new(), version: String::new(), server_ms: None };
        let mut next: Option<String> = None;
        loop {
            let mut path = format!("{}?limit={PAGE}{}", self.path(""), selector(name));
            if let Some(next) = &next {
                path = format!("{path}&continue={}", utf8_percent_encode(next, NON_ALPHANUMERIC));
            }
            let reply = self.exchange(Over::Requests, ask("list", path), self.config.request_timeout()).await?;
            if !reply.status.is_success() {
                let refusal = Refusal::of(&reply);
                if refusal.is(StatusCode::GONE) && next.is_some() {
                    // The version that the first page was of is compacted.
                    (all.leases, next) = (Vec::new(), None);
                    continue;
                }
                return Err(refusal.explain(&self.config).error);
            }
            let list: List = serde_json::from_slice(&reply.body).map_err(|_| odd(&self.config))?;
            let is_list = list.kind.as_deref().is_some_and(|kind| kind.ends_with("List"));
            let version = list.metadata.resource_version.filter(|_| is_list).ok_or_else(|| odd(&self.config))?;
            all.leases.extend(list.items.unwrap_or_default().into_iter().filter_map(Object::into_lease));
            (all.version, all.server_ms) = (version, reply.server_ms);
            next = list.metadata.next.filter(|next| !next.is_empty());
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    /// Every change of the Lease of this name, or of every Lease, after that version.
    pub(super) async fn watch(&self, name: Option<&str>, version: &str) -> Result<Stream, Error> {
        let seconds = Stream::lasts().as_secs();
        let from = utf8_percent_encode(version, NON_ALPHANUMERIC);
        let path = format!(
            "{}?watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={from}{}",
            self.path(""),
            selector(name)
        );
        let (ask, limit) = (ask("watch", path), self.config.request_timeout());
        let wire = self.open.wire(&self.config, &self.world);
        let mut is_first = true;
        loop {
            let token = self.token(is_first).await?;
            let response = wire.stream(&ask, token.as_deref(), limit).await.map_err(|broken| broken.error)?;
            if response.status().is_success() {
                self.refused.permitted(ask.verb);
                return Ok(Stream::new(Arc::clone(&self.config), response.into_body(), wire));
            }
            let reply = Stream::refusal(response, limit).await;
            if !is_refused(reply.status) || !std::mem::replace(&mut is_first, false) {
                return Err(Refusal::of(&reply).explain(&self.config).error);
            }
            self.check_ready(&wire, ask.verb, &reply, limit).await?;
        }
    }

    /// What anything else of the API answers, and what time it is there.
    pub(super) async fn ask(&self, path: &str, object: Option<&Value>) -> Result<(Value, Option<u64>), Error> {
        let (method, body) = match object {
            Some(object) => (Method::POST, object.to_string().into()),
            None => (Method::GET, Bytes::new()),
        };
        let ask = Ask { verb: "ask", method, path: path.to_owned(), content: JSON, body };
        let reply = self.exchange(Over::Requests, ask, self.config.request_timeout()).await?;
        if !reply.status.is_success() {
            return Err(Refusal::of(&reply).explain(&self.config).error);
        }
        let answer = serde_json::from_slice(&reply.body).map_err(|_| odd(&self.config))?;
        Ok((answer, reply.server_ms))
    }

    async fn exchange(&self, over: Over, ask: Ask, limit: Duration) -> Result<Reply, Failed> {
        let wire = match over {
            Over::Requests => &self.requests,
            Over::Renewals => &self.renewals,
        };
        let token = self.token(true).await?;
        let mut reply = wire.exchange(&ask, token.as_deref(), limit).await?;
        if is_refused(reply.status) {
            self.check_ready(wire, ask.verb, &reply, limit).await?;
            // By now it is ready, if it was not before; and perhaps there is a newer token in its file.
            let token = self.token(false).await?;
            reply = wire.exchange(&ask, token.as_deref(), limit).await?;
        }
        if !is_refused(reply.status) {
            self.refused.permitted(ask.verb);
        }
        Ok(reply)
    }

    /// Fails if the server has refused, and does not say that it is ready: that may be over soon.
    async fn check_ready(&self, wire: &Wire, verb: &'static str, reply: &Reply, limit: Duration) -> Result<(), Error> {
        let refusal = Refusal::of(reply);
        if refusal.is_of_the_namespace() {
            return Ok(());
        }
        // Who is not known may ask as nobody.
        let token = if refusal.is(StatusCode::UNAUTHORIZED) { None } else { self.token(true).await? };
        let ready = wire.exchange(&ask("readyz", "/readyz".to_owned()), token.as_deref(), limit).await;
        if ready.is_ok_and(|ready| ready.status.is_success()) || !self.refused.may_end(verb, self.world.now()) {
            return Ok(());
        }
        let server = &self.config.server;
        let what = format!("the API server at {server} refuses this, and is not ready; perhaps it has just started");
        Err(Error::unavailable(what).with_source(refusal.explain(&self.config).error))
    }

    async fn token(&self, may_be_old: bool) -> Result<Option<Arc<crate::values::secret::Secret>>, Error> {
        match &self.token {
            None => Ok(None),
            Some(token) if may_be_old => token.current().await.map(Some),
            Some(token) => token.read().await.map(Some),
        }
    }

    fn path(&self, name: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases{slash}{name}", self.config.namespace)
    }

    fn lease(&self, reply: &Reply) -> Result<Lease, Error> {
        let object = serde_json::from_slice::<Object>(&reply.body).ok();
        let lease = object.filter(|object| object.kind.as_deref() == Some("Lease")).and_then(Object::into_lease);
        lease.ok_or_else(|| odd(&self.config))
    }
}

/// Whether it is a question of who asks.
fn is_refused(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// What changes nothing.
fn ask(verb: &'static str, path: String) -> Ask {
    Ask { verb, method: Method::GET, path, content: JSON, body: Bytes::new() }
}

fn selector(name: Option<&str>) -> String {
    name.map(|name| format!("&fieldSelector=metadata.name%3D{name}")).unwrap_or_default()
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.config).finish_non_exhaustive()
    }
}
