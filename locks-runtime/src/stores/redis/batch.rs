//! Acquiring and releasing one lock, in one request.

use super::client::{Client, Request, Response};

/// What is to be done to one lock.
pub(super) struct Part {
    pub(super) lock: String,
    pub(super) work: Work,
}

pub(super) enum Work {
    /// To acquire it with this value, for so many milliseconds; alone, if it is not free, to do what `when_busy` says.
    Acquire { ttl: u64, value: Vec<u8>, when_busy: &'static str },
    /// To take the entry with this token out; alone, wherever it is in the queue.
    Leave { token: String },
}

/// Sends the part in a request of its own. Whether an earlier one is unresolved is in the response too.
pub(super) async fn alone(client: &Client, part: &Part, is_unresolved: bool) -> Response {
    let response = client.run(&Request::of(&[part])).await;
    Response { is_unresolved: response.is_unresolved || is_unresolved, ..response }
}

impl Request {
    /// What these parts, which are of one kind, have to be done.
    fn of(parts: &[impl AsRef<Part>]) -> Self {
        let locks = parts.iter().map(|part| part.as_ref().lock.clone()).collect();
        let each = parts.iter().map(|part| match &part.as_ref().work {
            Work::Acquire { value, .. } => value.clone(),
            Work::Leave { token } => token.clone().into_bytes(),
        });
        match parts.first().map(|part| &part.as_ref().work) {
            Some(Work::Acquire { ttl, when_busy, .. }) => {
                let common = [ttl.to_string().into_bytes(), when_busy.as_bytes().to_vec()];
                Self { command: "enter", locks, arguments: common.into_iter().chain(each).collect() }
            }
            _ => Self { command: "leave", locks, arguments: each.collect() },
        }
    }
}

impl AsRef<Self> for Part {
    fn as_ref(&self) -> &Self {
        self
    }
}
