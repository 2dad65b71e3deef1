//! Sentinels: which server is the primary, by those that watch it.
//!
//! All of them are asked, and the one is believed that knows of the newest configuration: another may have been cut off while
//! the others have promoted a replica. A client that has seen that a primary was followed by another never goes back to it.

use super::config::{Config, Deployment};
use super::connect;
use super::error;
use super::reply;
use super::together::join_until;
use crate::values::mutex::Mutex;
use crate::world::World;
use redis::{ProtocolVersion, RedisError, Value};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known by sentinels.
#[derive(Debug)]
pub(super) struct Sentinels {
    /// What they call the primary.
    name: String,
    known: Mutex<Option<Primary>>,
    is_followed: AtomicBool,
}

/// How many sentinels have to answer, if so many do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Most,
    All,
}

/// Which server is the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Primary {
    endpoint: String,
    /// Of its configuration: greater than that of each primary before.
    epoch: u64,
}

impl Sentinels {
    pub(super) fn of(config: &Config) -> Option<Self> {
        let Deployment::Sentinel { primary, .. } = &config.deployment else { return None };
        Some(Self { name: primary.clone(), known: Mutex::default(), is_followed: AtomicBool::new(false) })
    }

    /// Where the primary was, when the sentinels were asked last.
    pub(super) fn known(&self) -> Option<String> {
        self.known.lock().as_ref().map(|primary| primary.endpoint.clone())
    }

    /// Where the primary is, as they say now; and whether that is another one than before.
    pub(super) async fn find(
        &self,
        config: &Config,
        world: &World,
        asked: Asked,
    ) -> Result<(String, bool), RedisError> {
        // Of the time that a request has: there is to be some left for the primary.
        let limit = config.request_timeout() / 3;
        let all = config.endpoints.len();
        let ask = |endpoint: &String| {
            let endpoint = endpoint.clone();
            async move {
                let asked = tokio::time::timeout(limit, ask(config, world, &endpoint, &self.name)).await;
                asked.unwrap_or_else(|_| Err(connect::timed_out(limit))).map_err(|error| (endpoint, error))
            }
        };
        let is_enough = |said: &[Option<Result<Primary, _>>]| {
            let said = || said.iter().flatten().flatten();
            // What is older than what was known is believed if all say it.
            let is_current = said()
                .max_by_key(|primary| primary.epoch)
                .is_some_and(|newest| !is_older(newest, self.known.lock().as_ref()));
            asked == Asked::Most && is_current && said().count() > all / 2
        };
        let answers = join_until(config.endpoints.iter().map(ask), is_enough).await;
        let (mut said, mut failures) = (Vec::new(), Vec::new());
        for answer in answers.into_iter().flatten() {
            match answer {
                Ok(primary) => said.push(primary),
                Err(failure) => failures.push(failure),
            }
        }
        if said.is_empty() {
            return Err(error::of_sentinels(&self.name, &failures));
        }
        let before = self.known();
        let now = self.believe(&said, said.len() == all)?.endpoint;
        let is_another = before.is_some_and(|before| before != now);
        Ok((now, is_another))
    }

    /// Whether somebody follows failovers already; from now on somebody does.
    pub(super) fn begin_to_follow(&self) -> bool {
        self.is_followed.swap(true, Ordering::AcqRel)
    }

    /// Of what the sentinels say, what is believed from now on: the newest. What is older than what was known before is not,
    /// unless all of them say it: then they have forgotten what was.
    fn believe(&self, said: &[Primary], are_all: bool) -> Result<Primary, RedisError> {
        let Some(newest) = said.iter().max_by_key(|primary| primary.epoch) else {
            return Err(error::no_primary("no sentinel says which server is the primary"));
        };
        let mut known = self.known.lock();
        let are_one = said.iter().all(|primary| primary == newest);
        if is_older(newest, known.as_ref()) && !(are_all && are_one) {
            return Err(error::no_primary("those sentinels that answer have not heard of the last failover yet"));
        }
        *known = Some(newest.clone());
        Ok(newest.clone())
    }
}

/// Whether the primary that is known has followed this one.
fn is_older(primary: &Primary, known: Option<&Primary>) -> bool {
    known.is_some_and(|known| known.epoch > primary.epoch)
}

async fn ask(config: &Config, world: &World, endpoint: &str, name: &str) -> Result<Primary, RedisError> {
    let settings = connect::settings(config, endpoint);
    let mut connection = connect::to_sentinel((config, world), endpoint, ProtocolVersion::RESP2, &settings).await?;
    let mut questions = redis::Pipeline::with_capacity(2);
    questions.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    questions.cmd("SENTINEL").arg("MASTER").arg(name);
    let mut answers = connection.send_packed_commands(&questions, 0, 2).await?.into_iter();
    let mut next = || answers.next().unwrap_or(Value::Nil).extract_error();
    let (address, master) = (next()?, next()?);
    read(&address, &master).ok_or_else(|| error::no_primary("the sentinel's answer is not understood"))
}

/// Of the answers to `GET-MASTER-ADDR-BY-NAME` and `MASTER`.
fn read(address: &Value, master: &Value) -> Option<Primary> {
    let text = |value| std::str::from_utf8(reply::bytes(value)?).ok();
    let [host, port] = reply::items(address).ok()? else { return None };
    let (host, port) = (text(host)?, text(port)?);
    let endpoint = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let fields = reply::items(master).ok()?;
    let field = fields.chunks(2).find(|field| text(&field[0]) == Some("config-epoch"))?;
    Some(Primary { endpoint, epoch: text(field.get(1)?)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(endpoint: &str, epoch: u64) -> Primary {
        Primary { endpoint: endpoint.to_owned(), epoch }
    }

    fn sentinels() -> Sentinels {
        let deployment = Deployment::Sentinel { primary: "mymaster".to_owned(), credentials: None };
        Sentinels::of(&Config { deployment, ..Config::local() }).unwrap()
    }

    #[test]
    fn a_primary_that_was_followed_by_another_is_not_gone_back_to() {
        let sentinels = sentinels();
        assert!(sentinels.believe(&[], false).is_err());
        assert_eq!(sentinels.believe(&[primary("a:1", 0)], false).unwrap().endpoint, "a:1");
        let divided = [primary("a:1", 0), primary("b:1", 1)];
        assert_eq!(sentinels.believe(&divided, false).unwrap().endpoint, "b:1");
        assert!(sentinels.believe(&[primary("a:1", 0)], false).is_err());
        assert_eq!(sentinels.known().as_deref(), Some("b:1"));
        assert_eq!(sentinels.believe(&[primary("a:1", 2), primary("b:1", 1)], true).unwrap().endpoint, "a:1");
    }

    #[test]
    fn sentinels_that_have_all_forgotten_are_believed() {
        let sentinels = sentinels();
        sentinels.believe(&[primary("a:1", 7)], false).unwrap();
        assert!(sentinels.believe(&[primary("b:1", 0), primary("a:1", 0)], true).is_err());
        assert_eq!(sentinels.believe(&[primary("b:1", 0), primary("b:1", 0)], true).unwrap().endpoint, "b:1");
    }

    /// What is found by three sentinels that say this, the last one some time after the others.
    #[cfg(feature = "testing")]
    async fn found(sentinels: &Sentinels, asked: Asked, said: [Primary; 3]) -> Result<(String, bool), RedisError> {
        use super::super::fakes;
        let endpoints = ["s0:1", "s1:1", "s2:1"].map(str::to_owned).to_vec();
        let world = fakes::world(move |endpoint, command| {
            let number: usize = endpoint[1..2].parse().unwrap();
            let Primary { endpoint, epoch } = said[number].clone();
            async move {
                tokio::time::sleep(std::time::Duration::from_millis(number as u64 / 2)).await;
                fakes::sentinel(&command, endpoint.trim_end_matches(":1"), epoch)
            }
        });
        sentinels.find(&Config { endpoints, ..Config::local() }, &world, asked).await
    }

    #[cfg(feature = "testing")]
    #[tokio::test(start_paused = true)]
    async fn whoever_follows_failovers_hears_of_one_of_which_one_sentinel_knows() {
        let sentinels = sentinels();
        let said = || [primary("a:1", 0), primary("a:1", 0), primary("b:1", 1)];
        assert_eq!(found(&sentinels, Asked::Most, said()).await.unwrap(), ("a:1".to_owned(), false));
        assert_eq!(found(&sentinels, Asked::All, said()).await.unwrap(), ("b:1".to_owned(), true));
        // From now on two that have not heard of it are not enough.
        assert_eq!(found(&sentinels, Asked::Most, said()).await.unwrap(), ("b:1".to_owned(), false));
    }

    #[cfg(feature = "testing")]
    #[tokio::test(start_paused = true)]
    async fn all_sentinels_are_asked_whether_they_have_forgotten_what_was_known() {
        let sentinels = sentinels();
        sentinels.believe(&[primary("a:1", 7)], false).unwrap();
        let said = || [primary("b:1", 0), primary("b:1", 0), primary("b:1", 0)];
        assert_eq!(found(&sentinels, Asked::Most, said()).await.unwrap(), ("b:1".to_owned(), true));
    }

    #[test]
    fn what_a_sentinel_says_is_read() {
        let texts = |words: &[&str]| Value::Array(words.iter().map(|word| Value::BulkString((*word).into())).collect());
        let master = texts(&["name", "mymaster", "config-epoch", "3", "quorum", "2"]);
        assert_eq!(read(&texts(&["10.0.0.1", "6379"]), &master), Some(primary("10.0.0.1:6379", 3)));
        assert_eq!(read(&texts(&["::1", "6379"]), &master), Some(primary("[::1]:6379", 3)));
        assert_eq!(read(&Value::Nil, &master), None);
        assert_eq!(read(&texts(&["10.0.0.1", "6379"]), &texts(&["name"])), None);
    }
}
