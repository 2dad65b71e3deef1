//! A cluster: its members, and which of them has which slots.
//!
//! Those that are known are asked, and of those that answer the one is believed that is in a part of the cluster that can decide,
//! and knows of the newest configuration: another may have been cut off for long.

use super::client::{Client, Message};
use super::node::Node;
use super::slots;
use super::together::{join, join_until};
use super::topology::{Shard, View};
use crate::values::error::{Error, ErrorKind};
use crate::values::target::TARGET;
use redis::{Cmd, Value};
use std::sync::Arc;
use std::time::Duration;

impl Client {
    /// The first request of a session: finds the members, and loads the script wherever that is possible.
    pub(super) async fn begin_in_cluster(&self, limit: Duration) -> Result<(), Error> {
        slots::check(&self.config.namespace)?;
        if self.config.database != 0 {
            let message = format!(
                "Redis at {} is in cluster mode, which has one database; leave `db` out of the URL",
                self.config.place()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let is_new = self.map.is_unknown();
        self.find_members(limit).await?;
        let shards = self.map.current().shards();
        if is_new {
            let (endpoint, shards) = (self.config.place(), shards.len());
            tracing::info!(target: TARGET, endpoint, shards, "Redis is in cluster mode: locks are kept by slot");
        }
        // Whose member does not answer now loads it when it is asked for the first time.
        let loaded = join(shards.iter().map(|shard| self.load_script_at(&shard.node, limit))).await;
        let mut failures = loaded.into_iter().filter_map(Result::err).collect::<Vec<_>>();
        match failures.pop() {
            Some(error) if failures.len() + 1 >= shards.len() => Err(error),
            _ => Ok(()),
        }
    }

    /// Every server that has locks: one, or a primary of each shard.
    pub(super) async fn shards(&self) -> Result<Vec<Shard>, Error> {
        self.find_mode().await?;
        if !self.is_by_slot() {
            return Ok(vec![Shard { node: Arc::clone(&self.seeds[0]), marker: None }]);
        }
        if self.map.is_unknown() {
            self.find_members(self.config.request_timeout()).await?;
        }
        Ok(self.map.current().shards())
    }

    /// Asks the members where the slots are, unless that was done just now.
    pub(super) async fn find_members(&self, limit: Duration) -> Result<(), Error> {
        if !self.map.begin_look(self.world.now()) && !self.map.is_unknown() {
            return Ok(());
        }
        let mut members: Vec<Arc<Node>> = self.map.current().nodes().to_vec();
        let others = self.seeds.iter().filter(|seed| members.iter().all(|member| member.endpoint != seed.endpoint));
        members.extend(others.cloned().collect::<Vec<_>>());
        let enough = members.len() / 2 + 1;
        let is_enough = |views: &[Option<Result<View, Error>>]| {
            views.iter().flatten().filter(|view| view.is_ok()).count() >= enough
        };
        let views = join_until(members.iter().map(|member| self.view(member, limit)), is_enough).await;
        let (mut best, mut failure) = (None::<View>, None);
        for view in views.into_iter().flatten() {
            match view {
                Ok(view) if best.as_ref().is_none_or(|best| best.rank < view.rank) => best = Some(view),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        match (best, failure) {
            (Some(view), _) => {
                self.map.replace(&view.ranges);
                Ok(())
            }
            (None, Some(error)) => Err(error),
            (None, None) => {
                Err(Error::unavailable(format!("no member of the cluster at {} answers", self.config.place())))
            }
        }
    }

    /// What this member says.
    async fn view(&self, member: &Arc<Node>, limit: Duration) -> Result<View, Error> {
        let questions = [cluster("SLOTS"), cluster("INFO")];
        let values = match self.attempt(member, limit, Message::Plain(&questions)).await {
            Ok(Value::Array(values)) => values,
            Ok(other) => vec![other],
            Err(failure) => return Err(self.explain(member, failure)),
        };
        let mut values = values.into_iter();
        let slots = self.answer(member, values.next().unwrap_or(Value::Nil))?;
        let view = View::read(&slots, &values.next().unwrap_or(Value::Nil), &self.endpoint(member))?;
        if view.ranges.is_empty() {
            return Err(Error::unavailable(format!(
                "Redis at {} is in cluster mode, and knows of no slots: it is a member of no cluster yet",
                self.endpoint(member)
            )));
        }
        Ok(view)
    }
}

fn cluster(question: &str) -> Cmd {
    let mut ask = redis::cmd("CLUSTER");
    ask.arg(question);
    ask
}
