//! The model of API servers against a real one: the same random requests to both, and every answer and event must be the
//! same.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a case whose preparation fails has failed")]
#![expect(clippy::print_stdout, reason = "a case says how much it has compared")]

mod real;
mod requests;

use locks_models::Random;
use locks_models::kubernetes::{Answer, Leases, Request};
use real::{Names, Real};
use requests::Requests;
use serde_json::{Value, json};
use std::process::ExitCode;
use support::cases;
use support::cases::{Case, Fixture};

/// How many requests: some seconds of them.
const REQUESTS: u64 = 1500;

fn main() -> ExitCode {
    let cases: Vec<Case<support::kubernetes::Binary>> = cases![the_model_answers_as_kubernetes_does];
    cases::run([cases])
}

async fn the_model_answers_as_kubernetes_does(fixture: Fixture<support::kubernetes::Binary>) {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let (seed, requests) = (number("SEED").unwrap_or(7), number("REQUESTS").unwrap_or(REQUESTS));
    let server = fixture.start(&support::kubernetes::Setup::default());
    let (real, mut model) = (Real(&server), Leases::default());
    let (begin, mut names) = (real.version(), Names::default());
    let first = model.revision();
    let mut steps = Requests::new(Random::new(seed));
    let mut refused = 0;
    for number in 0..requests {
        let request = steps.next(&model);
        let about = format!("step {number} of seed {seed}, {request:?}");
        let expected = real.ask(&names.to_real(&request));
        // The clocks of both are in no answer that is compared.
        let answer = model.answer(&request, 0);
        refused += u64::from(answer.code >= 300);
        names.learn(&expected, &answer);
        assert_eq!(names.compared(&expected, true), names.compared(&answer, false), "{about}: the server, the model");
    }
    assert!(refused > requests / 10, "{refused} refusals of {requests} requests compare little");
    let mut events = 0;
    for name in [None, Some("a"), Some("b")] {
        let expected = real.events(name, &begin);
        let modelled = events_of(&model, name, first);
        assert_eq!(expected.len(), modelled.len(), "events of {name:?} of seed {seed}");
        for (expected, modelled) in expected.iter().zip(&modelled) {
            assert_eq!(names.compared(expected, true), names.compared(modelled, false), "an event of {name:?}");
        }
        events += modelled.len();
    }
    println!("{requests} requests ({refused} refused) and {events} events, the same answers");
}

/// Each as an answer whose body is the event.
fn events_of(model: &Leases, name: Option<&str>, mut from: u64) -> Vec<Answer> {
    let mut events = Vec::new();
    while let Some(change) = model.next_change(from, name) {
        from = change.revision;
        let body: Value = json!({"type": change.kind, "object": change.lease});
        events.push(Answer { code: 200, body });
    }
    events
}

/// For a request that is sent over HTTP: its method, what follows the path of all Leases, its kind of body, and its body.
fn written(request: &Request) -> (&'static str, String, &'static str, String) {
    let conditions = |uid: &Option<String>, version: &Option<String>| {
        let all = [("uid", uid), ("resourceVersion", version)];
        let all: serde_json::Map<String, Value> =
            all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))).collect();
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": all}).to_string()
    };
    let selected = |name: &Option<String>| name.as_ref().map(|name| format!("?fieldSelector=metadata.name%3D{name}"));
    match request {
        Request::Create(object) => ("POST", String::new(), "application/json", object.to_string()),
        Request::Get(name) => ("GET", format!("/{name}"), "", String::new()),
        Request::List(name) => ("GET", selected(name).unwrap_or_default(), "", String::new()),
        Request::Patch(name, operations) => {
            let body = Value::Array(operations.clone()).to_string();
            ("PATCH", format!("/{name}"), "application/json-patch+json", body)
        }
        Request::Replace(name, object) => ("PUT", format!("/{name}"), "application/json", object.to_string()),
        Request::Delete(name, uid, version) => {
            ("DELETE", format!("/{name}"), "application/json", conditions(uid, version))
        }
    }
}
