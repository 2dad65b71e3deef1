//! A real server, by the client crate.

use locks_models::redis::Reply;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, Pipeline, PushInfo, PushKind, Value};
use std::sync::{Arc, Mutex};

/// A server and three connections: who sends, who is subscribed, and who may do everything.
pub(crate) struct Real {
    sender: MultiplexedConnection,
    subscriber: MultiplexedConnection,
    administrator: MultiplexedConnection,
    received: Arc<Mutex<Vec<Reply>>>,
}

/// An answer, and the server's time before and after it, in microseconds.
pub(crate) struct Answer {
    pub(crate) begin: u64,
    pub(crate) reply: Reply,
    pub(crate) end: u64,
}

impl Real {
    pub(crate) async fn connect(server: &support::redis::Redis) -> Self {
        let administrator = administrator(server).await;
        let received: Arc<Mutex<Vec<Reply>>> = Arc::default();
        let noted = Arc::clone(&received);
        let note = move |push: PushInfo| {
            if push.kind == PushKind::Message {
                let words = [Reply::text("message")].into_iter().chain(push.data.into_iter().map(reply)).collect();
                noted.lock().unwrap().push(Reply::Push(words));
            }
            Ok::<(), std::convert::Infallible>(())
        };
        let settings = settings();
        let subscribed = settings.clone().set_push_sender(note);
        Self {
            sender: connect(server, "", "", &settings).await,
            subscriber: connect(server, "administrator:any@", "?protocol=resp3", &subscribed).await,
            administrator,
            received,
        }
    }

    /// Sends a request, with the question what time it is before and after it.
    pub(crate) async fn ask(&mut self, words: &[Vec<u8>]) -> Answer {
        // Strangers are users of their own.
        let is_ours = words[0].starts_with(b"EVALSHA") || words[0].starts_with(b"SCRIPT");
        let connection = if is_ours { &mut self.sender } else { &mut self.administrator };
        let mut values = send(connection, &[vec![b"TIME".to_vec()], words.to_vec(), vec![b"TIME".to_vec()]]).await;
        let (end, answer, begin) = (values.pop().unwrap(), values.pop().unwrap(), values.pop().unwrap());
        Answer { begin: moment(&begin), reply: reply(answer), end: moment(&end) }
    }

    pub(crate) async fn subscribe(&mut self, channel: &str) {
        self.subscriber.subscribe(channel).await.unwrap();
    }

    /// What was published since the last call. What was sent before an answer has come before it.
    pub(crate) async fn messages(&mut self) -> Vec<Reply> {
        redis::cmd("PING").exec_async(&mut self.subscriber).await.unwrap();
        std::mem::take(&mut self.received.lock().unwrap())
    }

    pub(crate) async fn administer(&mut self, words: &[&str]) {
        let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let answer = send(&mut self.administrator, &[words]).await.remove(0);
        assert!(!matches!(answer, Value::ServerError(_)), "{answer:?}");
    }

    /// Each key with its value and how long it lasts, in the order of their names; and the time before and after.
    pub(crate) async fn keys(&mut self) -> (u64, Vec<Reply>, u64) {
        let words = |words: &[&str], key: &[u8], more: &[&str]| -> Vec<Vec<u8>> {
            let all = words.iter().map(|word| word.as_bytes().to_vec()).chain([key.to_vec()]);
            all.chain(more.iter().map(|word| word.as_bytes().to_vec())).collect()
        };
        let time = || vec![b"TIME".to_vec()];
        let connection = &mut self.administrator;
        let begin = moment(&send(connection, &[time()]).await[0]);
        let names = keys_of(connection).await;
        let mut keys = Vec::new();
        for name in names {
            let answers = send(connection, &[words(&["TYPE"], &name, &[]), words(&["PTTL"], &name, &[])]).await;
            let [Value::SimpleString(kind), Value::Int(px)] = answers.as_slice() else { panic!("{answers:?}") };
            let question = match kind.as_str() {
                "string" => words(&["GET"], &name, &[]),
                "hash" => words(&["HGETALL"], &name, &[]),
                "zset" => words(&["ZRANGE"], &name, &["0", "-1", "WITHSCORES"]),
                other => panic!("a key of type {other}"),
            };
            let value = send(connection, &[question]).await.remove(0);
            let value = if kind == "hash" { sorted(reply(value)) } else { reply(value) };
            keys.push(Reply::Array(vec![Reply::Bulk(name), value, Reply::Int(*px)]));
        }
        (begin, keys, moment(&send(connection, &[time()]).await[0]))
    }
}

/// A connection of somebody who may do everything.
pub(crate) async fn administrator(server: &support::redis::Redis) -> MultiplexedConnection {
    server.ask(&["ACL", "SETUSER", "administrator", "on", "nopass", "~*", "&*", "+@all"]);
    connect(server, "administrator:any@", "", &settings()).await
}

fn settings() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(None)
}

async fn connect(
    server: &support::redis::Redis,
    user: &str,
    query: &str,
    settings: &AsyncConnectionConfig,
) -> MultiplexedConnection {
    let info = format!("redis://{user}{}/{query}", server.endpoint()).into_connection_info().unwrap();
    Client::open(info).unwrap().get_multiplexed_async_connection_with_config(settings).await.unwrap()
}

/// The names of all keys of a server, sorted.
pub(crate) async fn keys_of(connection: &mut MultiplexedConnection) -> Vec<Vec<u8>> {
    let words = [b"KEYS".to_vec(), b"*".to_vec()].to_vec();
    let Value::Array(names) = send(connection, &[words]).await.remove(0) else { panic!("no list") };
    let mut names: Vec<Vec<u8>> = names.into_iter().filter_map(bytes).collect();
    names.sort();
    names
}

pub(crate) async fn send(connection: &mut MultiplexedConnection, requests: &[Vec<Vec<u8>>]) -> Vec<Value> {
    let mut all = Pipeline::new();
    for words in requests {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        all.add_command(command);
    }
    connection.send_packed_commands(&all, 0, requests.len()).await.unwrap()
}

/// The fields in the order of their names.
fn sorted(reply: Reply) -> Reply {
    let Reply::Array(items) = reply else { return reply };
    let mut pairs: Vec<Vec<Reply>> = items.chunks(2).map(<[Reply]>::to_vec).collect();
    pairs.sort_by_key(|pair| match &pair[0] {
        Reply::Bulk(name) => name.clone(),
        _ => Vec::new(),
    });
    Reply::Array(pairs.concat())
}

pub(crate) fn reply(value: Value) -> Reply {
    match value {
        Value::Nil => Reply::Nil,
        Value::Int(number) => Reply::Int(number),
        Value::BulkString(text) => Reply::Bulk(text),
        Value::Okay => Reply::Status("OK"),
        Value::SimpleString(text) => Reply::Bulk(text.into()),
        Value::Array(items) => Reply::Array(items.into_iter().map(reply).collect()),
        Value::ServerError(error) => {
            let details = error.details().map(|details| format!(" {details}")).unwrap_or_default();
            Reply::Error(format!("{}{details}", error.code()))
        }
        other => panic!("an answer of another kind: {other:?}"),
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(text) => Some(text),
        _ => None,
    }
}

fn moment(value: &Value) -> u64 {
    let Value::Array(items) = value else { panic!("no time: {value:?}") };
    let number = |at: usize| -> u64 {
        let Value::BulkString(text) = &items[at] else { panic!("no time: {value:?}") };
        String::from_utf8_lossy(text).parse().unwrap()
    };
    number(0) * 1_000_000 + number(1)
}
