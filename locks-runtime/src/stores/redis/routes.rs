//! How requests find the members of a cluster that have their slots.
//!
//! Each goes to the member that is believed to have its slot. That one may know better (`MOVED`), or be about to give the slot
//! away (`ASK`); or it is silent, and another one has its slots by now, which the others know.

use super::client::{Client, Failure, Message};
use super::error::{self, Verdict};
use super::node::Node;
use super::request::{Request, Responses};
use super::slots;
use super::together::join;
use super::topology;
use crate::values::error::Error;
use crate::values::shared_error;
use crate::world::clock::Moment;
use redis::{ServerErrorKind, Value};
use std::sync::Arc;
use std::time::Duration;

/// After how many redirections the members are taken not to agree.
const MOST_REDIRECTIONS: usize = 5;
/// How soon what is about to change is looked at again, and for how long. After that it is said.
const AGAIN_AFTER: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(40));
const AGAIN_FOR: Duration = Duration::from_millis(500);

/// A request on its way.
struct Due {
    number: usize,
    /// The member to which it has been sent by another one, which still has the slot.
    asking: Option<Arc<Node>>,
    redirections: usize,
    /// A member did not answer it.
    has_failed: bool,
}

/// What is to be done about one request.
enum Next {
    Done(Result<Value, Error>),
    Again(Due),
    /// After a pause: the slot is on its way.
    Later(Due),
    /// It was answered, but another member has the slot by now, and may know nothing of what this one did. Once more, unless that
    /// was tried too often.
    Overtaken(Option<Due>),
}

/// The requests that one member gets together.
struct Group {
    node: Arc<Node>,
    is_asking: bool,
    /// It did not answer the last time.
    was_failing: bool,
    due: Vec<Due>,
}

impl Client {
    /// Runs commands of the script on the members that have their slots, each of two attempts within `limit`.
    pub(super) async fn run_by_slot(&self, limit: Duration, requests: &[&Request]) -> Responses {
        let begun = self.world.now();
        let until = begun + limit * 2;
        let mut results: Vec<Option<Result<Value, Error>>> = requests.iter().map(|_| None).collect();
        let (mut is_unresolved, mut answered) = (false, false);
        let mut due: Vec<Due> = (0..requests.len()).map(Due::new).collect();
        if self.map.is_unknown()
            && let Err(error) = self.find_members(limit).await
        {
            return Responses { results: Err(error), is_unresolved };
        }
        while !due.is_empty() {
            let (groups, homeless) = self.groups(due, requests);
            for due in homeless {
                results[due.number] = Some(Err(self.homeless()));
            }
            let attempts = groups.iter().map(|group| self.attempt_group(group, limit, until, requests));
            let outcomes = join(attempts).await;
            answered |= outcomes.iter().any(Result::is_ok);
            let mut failures = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
            is_unresolved |= failures.clone().any(|failure| failure.is_unresolved);
            if failures.any(|failure| failure.verdict != Verdict::Unauthorized) {
                // If no other member answers, it stays as it was believed.
                drop(self.find_members(limit.min(until.since(self.world.now()))).await);
            }
            due = Vec::new();
            let mut must_pause = false;
            for (group, outcome) in groups.into_iter().zip(outcomes) {
                let numbers: Vec<usize> = group.due.iter().map(|due| due.number).collect();
                for (number, next) in numbers.into_iter().zip(self.next(group, outcome, (begun, until), requests)) {
                    match next {
                        Next::Done(result) => results[number] = Some(result),
                        Next::Again(again) => due.push(again),
                        Next::Later(again) => {
                            must_pause = true;
                            due.push(again);
                        }
                        Next::Overtaken(again) => {
                            is_unresolved = true;
                            match again {
                                Some(again) => due.push(again),
                                None => results[number] = Some(Err(self.overtaken())),
                            }
                        }
                    }
                }
            }
            let left = until.since(self.world.now());
            if self.map.is_old(self.world.now()) {
                drop(self.find_members(limit.min(left)).await);
            }
            if must_pause {
                tokio::time::sleep(self.world.between(AGAIN_AFTER.0, AGAIN_AFTER.1).min(left)).await;
            }
        }
        let results = results.into_iter().map(|result| result.unwrap_or_else(|| Err(self.homeless())));
        Responses { results: self.unless_silent(answered, results.collect()), is_unresolved }
    }

    /// One error if no member has answered at all.
    fn unless_silent(
        &self,
        answered: bool,
        mut results: Vec<Result<Value, Error>>,
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        if answered || results.iter().any(Result::is_ok) {
            return Ok(results);
        }
        match results.pop() {
            Some(Err(error)) => Err(error),
            _ => Ok(results),
        }
    }

    fn homeless(&self) -> Error {
        Error::unavailable(format!(
            "no member of the Redis cluster at {} serves the slot of this lock: its shard is down, or the slot is assigned to none",
            self.config.place()
        ))
    }

    fn overtaken(&self) -> Error {
        Error::unavailable(format!(
            "a member of the Redis cluster at {} answered when another one had the slot of this lock",
            self.config.place()
        ))
    }

    /// What each member gets, and what none does.
    fn groups(&self, due: Vec<Due>, requests: &[&Request]) -> (Vec<Group>, Vec<Due>) {
        let (mut groups, mut homeless): (Vec<Group>, Vec<Due>) = (Vec::new(), Vec::new());
        let topology = self.map.current();
        for due in due {
            let node = due.asking.clone().or_else(|| topology.primary(slot_of(requests[due.number])).cloned());
            let Some(node) = node else {
                homeless.push(due);
                continue;
            };
            let is_asking = due.asking.is_some();
            match groups.iter_mut().find(|group| Arc::ptr_eq(&group.node, &node) && group.is_asking == is_asking) {
                Some(group) => group.due.push(due),
                None => groups.push(Group { was_failing: node.is_failing(), node, is_asking, due: vec![due] }),
            }
        }
        (groups, homeless)
    }

    async fn attempt_group(
        &self,
        group: &Group,
        limit: Duration,
        until: Moment,
        requests: &[&Request],
    ) -> Result<Vec<Value>, Failure> {
        let those: Vec<&Request> = group.due.iter().map(|due| requests[due.number]).collect();
        let limit = limit.min(until.since(self.world.now()));
        let message = if group.is_asking { Message::Ask(&those) } else { Message::Run(&those) };
        match self.attempt(&group.node, limit, message).await? {
            Value::Array(values) if values.len() == those.len() => Ok(values),
            _ => Err(Failure { error: error::no_answer(), verdict: Verdict::Unavailable, is_unresolved: false }),
        }
    }

    fn next(
        &self,
        group: Group,
        outcome: Result<Vec<Value>, Failure>,
        (begun, until): (Moment, Moment),
        requests: &[&Request],
    ) -> Vec<Next> {
        let now = self.world.now();
        let (has_time, soon) = (now < until, now.since(begun) < AGAIN_FOR);
        let Group { node, due, was_failing, is_asking } = group;
        let topology = self.map.current();
        let has_slot = |due: &Due| {
            topology.primary(slot_of(requests[due.number])).is_some_and(|primary| Arc::ptr_eq(primary, &node))
        };
        let values = match outcome {
            Ok(values) => values,
            Err(failure) => {
                // A member that was silent before gets no second attempt: those that wait for others as well are not to wait for it.
                let is_failure = matches!(failure.verdict, Verdict::Reconnect | Verdict::OtherServer);
                let error = Arc::new(self.explain(&node, failure));
                let next = |due: Due| {
                    if has_time && is_failure && !due.has_failed && !(was_failing && has_slot(&due)) {
                        return Next::Again(Due { has_failed: true, asking: None, ..due });
                    }
                    Next::Done(Err(shared_error::copy_of(&error)))
                };
                return due.into_iter().map(next).collect();
            }
        };
        let next = |(due, value): (Due, Value)| match self.redirected(&node, &due, &value, requests[due.number]) {
            Some(Next::Again(again)) if has_time => Next::Again(again),
            Some(Next::Later(again)) if has_time && soon => Next::Later(again),
            None if !is_asking && !has_slot(&due) => Next::Overtaken(due.redirected().filter(|_| has_time)),
            _ => Next::Done(self.answer(&node, value)),
        };
        due.into_iter().zip(values).map(next).collect()
    }

    /// Where the request is to be sent next, if this is no answer to it yet.
    fn redirected(&self, node: &Node, due: &Due, value: &Value, request: &Request) -> Option<Next> {
        let Value::ServerError(reported) = value else { return None };
        let again = due.redirected()?;
        let asked = self.endpoint(node);
        match reported.kind() {
            Some(ServerErrorKind::Moved) => {
                let (slot, endpoint) = topology::redirection(reported.details()?, &asked)?;
                self.map.moved(slot, &endpoint);
                Some(Next::Again(again))
            }
            Some(ServerErrorKind::Ask) => {
                let (_, endpoint) = topology::redirection(reported.details()?, &asked)?;
                Some(Next::Again(Due { asking: Some(self.map.node(&endpoint)), ..again }))
            }
            // Of several locks some are on their way: each alone is served.
            _ if request.locks.len() > 1 && request.is_of_each() => None,
            // For some milliseconds, most probably. The redirection that led here may be over.
            _ => {
                let is_moving = error::judge(&reported.clone().into()) == Verdict::Moving;
                is_moving.then_some(Next::Later(Due { redirections: 0, ..again }))
            }
        }
    }
}

impl Due {
    fn new(number: usize) -> Self {
        Self { number, asking: None, redirections: 0, has_failed: false }
    }

    /// The same once more, sent to the member that is believed to have the slot; nothing after too many redirections.
    fn redirected(&self) -> Option<Self> {
        (self.redirections < MOST_REDIRECTIONS).then_some(Self {
            asking: None,
            redirections: self.redirections + 1,
            ..*self
        })
    }
}

/// The slot of the locks of a request: they are in one.
fn slot_of(request: &Request) -> u16 {
    request.locks.first().map(|lock| slots::slot(lock)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::config::{Config, Deployment};
    #[cfg(feature = "testing")]
    use super::super::fakes;
    use super::super::reply;
    use super::super::topology::SlotRange;
    use super::*;
    use crate::world::World;
    #[cfg(feature = "testing")]
    use tokio::sync::Notify;

    fn client() -> Client {
        Client::new(Config { deployment: Deployment::Cluster, ..Config::local() }, &World::here()).unwrap()
    }

    fn all_slots_at(client: &Client, endpoint: &str) {
        client.map.replace(&[SlotRange { from: 0, to: slots::COUNT - 1, endpoint: endpoint.to_owned() }]);
    }

    fn request() -> Request {
        Request { command: "enter", locks: vec!["/k".to_owned()], arguments: Vec::new() }
    }

    /// What is next for a request that a member has answered so, while something has happened.
    fn next(client: &Client, due: Due, answer: Value, meanwhile: impl FnOnce()) -> Next {
        let request = request();
        let (mut groups, _) = client.groups(vec![due], &[&request]);
        meanwhile();
        let now = client.world.now();
        let until = (now, now + Duration::from_secs(1));
        client.next(groups.remove(0), Ok(vec![answer]), until, &[&request]).remove(0)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_former_primary_of_the_slot_answers_is_not_believed() {
        let client = client();
        all_slots_at(&client, "a:1");
        let held = || reply::held(7);
        assert!(matches!(next(&client, Due::new(0), held(), || {}), Next::Done(Ok(_))));
        let again = next(&client, Due::new(0), held(), || all_slots_at(&client, "b:1"));
        assert!(matches!(again, Next::Overtaken(Some(due)) if due.redirections == 1));
        let last = Due { redirections: MOST_REDIRECTIONS, ..Due::new(0) };
        let error = next(&client, last, held(), || all_slots_at(&client, "c:1"));
        assert!(matches!(error, Next::Overtaken(None)), "it was believed");
    }

    /// The slot has moved with what the former primary did: the answer of the next one is not that of the first time.
    #[cfg(feature = "testing")]
    #[tokio::test(start_paused = true)]
    async fn what_a_former_primary_of_the_slot_was_asked_may_have_been_done() {
        let (asked, answers) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (said, late) = (Arc::clone(&asked), Arc::clone(&answers));
        let world = fakes::world(move |endpoint, command| {
            let (said, late) = (Arc::clone(&said), Arc::clone(&late));
            async move {
                match (endpoint.as_str(), command.split(' ').next().unwrap_or_default()) {
                    (_, "HELLO") => fakes::texts(&["mode", "cluster"]),
                    (_, "SCRIPT") => "+script\r\n".to_owned(),
                    ("a:1", "EVALSHA") => {
                        said.notify_one();
                        late.notified().await;
                        ":1\r\n".to_owned()
                    }
                    ("b:1", "EVALSHA") => ":0\r\n".to_owned(),
                    _ => "-ERR unexpected\r\n".to_owned(),
                }
            }
        });
        let client = Client::new(Config { deployment: Deployment::Cluster, ..Config::local() }, &world).unwrap();
        all_slots_at(&client, "a:1");
        let moves = async {
            asked.notified().await;
            all_slots_at(&client, "b:1");
            answers.notify_one();
        };
        let request = request();
        let (response, ()) = tokio::join!(client.run(&request), moves);
        assert_eq!(response.result.unwrap(), Value::Int(0));
        assert!(response.is_unresolved, "nothing was released, it seems");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_moves_is_asked_for_after_a_pause_whatever_failed_before() {
        let client = client();
        all_slots_at(&client, "a:1");
        let moving =
            || redis::parse_redis_value(b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n").unwrap();
        let failed = Due { has_failed: true, ..Due::new(0) };
        assert!(matches!(next(&client, failed, moving(), || {}), Next::Later(_)));
    }
}
