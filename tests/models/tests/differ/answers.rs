//! Answers in words, to be compared.

use etcd_client::{Error, GetResponse, TxnOpResponse, TxnResponse, WatchStream};
use std::time::Duration;

/// After so long without an event there are no more.
const QUIET: Duration = Duration::from_millis(500);

pub(crate) fn of<T>(result: Result<T, Error>, tell: impl FnOnce(T) -> String) -> String {
    match result {
        Err(Error::GRpcStatus(status)) => format!("{:?} {}", status.code(), status.message()),
        Err(other) => format!("{other}"),
        Ok(answer) => tell(answer),
    }
}

pub(crate) fn keys(read: &GetResponse) -> String {
    let tell = |kv: &etcd_client::KeyValue| {
        let revisions = (kv.create_revision(), kv.mod_revision(), kv.version());
        (kv.key_str().unwrap().to_owned(), kv.value().to_vec(), revisions, kv.lease())
    };
    let keys: Vec<_> = read.kvs().iter().map(tell).collect();
    format!("{keys:?} more {} of {}", read.more(), read.count())
}

pub(crate) fn transaction(answer: &TxnResponse) -> String {
    let tell = |response: TxnOpResponse| match response {
        TxnOpResponse::Get(read) => keys(&read),
        TxnOpResponse::Delete(deleted) => format!("deleted {}", deleted.deleted()),
        _ => "put".to_owned(),
    };
    let responses: Vec<_> = answer.op_responses().into_iter().map(tell).collect();
    format!("{} at {} {responses:?}", answer.succeeded(), answer.header().unwrap().revision())
}

/// Everything that a watch reports until it is quiet.
pub(crate) async fn events(watch: &mut WatchStream) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(Ok(Some(answer))) = tokio::time::timeout(QUIET, watch.message()).await {
        if answer.created() {
            all.push(format!("created {}", answer.watch_id()));
        }
        all.extend(answer.events().iter().map(|event| {
            let kv = event.kv().unwrap();
            let revisions = (kv.create_revision(), kv.mod_revision(), kv.version());
            format!("{:?} {} {:?} {revisions:?} {}", event.event_type(), kv.key_str().unwrap(), kv.value(), kv.lease())
        }));
    }
    all
}
