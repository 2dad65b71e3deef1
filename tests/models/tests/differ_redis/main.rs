//! The model of Redis against real servers: the same random requests to both, and every answer, message and key must be
//! the same.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a case whose preparation fails has failed")]
#![expect(clippy::print_stdout, reason = "a case says how much it has compared")]

mod cluster;
mod compare;
mod real;
mod requests;

use compare::assert_same;
use locks_models::Random;
use locks_models::redis::{Reply, Server};
use real::Real;
use requests::{Step, Steps};
use std::process::ExitCode;
use std::time::Duration;
use support::cases;
use support::cases::{Case, Fixture};

/// How many requests: some seconds of them.
const REQUESTS: u64 = 1500;
/// The connections of the model: who sends, and who is subscribed.
const SENDER: u64 = 1;
const SUBSCRIBER: u64 = 2;
/// What is granted for a moment has lapsed after this.
const MOMENT: Duration = Duration::from_millis(30);

fn main() -> ExitCode {
    let cases: Vec<Case<support::redis::Binary>> =
        cases![the_model_answers_as_redis_does, cluster::the_members_of_a_cluster_answer_as_redis_does,];
    cases::run([cases])
}

/// The seed, and how many requests.
fn wanted() -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse().unwrap());
    (number("SEED").unwrap_or(7), number("REQUESTS").unwrap_or(REQUESTS))
}

async fn the_model_answers_as_redis_does(fixture: Fixture<support::redis::Binary>) {
    let (seed, requests) = wanted();
    let server = fixture.start(&support::redis::Setup::default());
    let mut pair = Pair { real: Real::connect(&server).await, model: Server::new(), slack: 0, names: Names::default() };
    for channel in requests::CHANNELS {
        pair.real.subscribe(channel).await;
        pair.model.answer(SUBSCRIBER, &[b"SUBSCRIBE".to_vec(), channel.into()]);
    }
    let mut steps = Steps::new(Random::new(seed));
    for number in 0..requests {
        let step = steps.next();
        let about = format!("step {number} of seed {seed}, {step:?}");
        pair.take(&step, &about).await;
        if number % 4 == 0 {
            pair.compare_keys(&about).await;
        }
    }
    println!("{requests} requests, the same answers, messages and keys; the clocks were {} µs apart", pair.slack);
}

/// A real server and the model, which have had the same requests.
struct Pair {
    real: Real,
    model: Server,
    /// By how much the real one may have done something later than the model, in microseconds.
    slack: u64,
    names: Names,
}

/// What each calls the script.
#[derive(Default)]
struct Names {
    real: Vec<u8>,
    model: Vec<u8>,
}

impl Pair {
    async fn take(&mut self, step: &Step, about: &str) {
        match step {
            Step::Request(words) => self.request(words, about).await,
            Step::Moment(words) => {
                self.request(words, about).await;
                tokio::time::sleep(MOMENT).await;
            }
            Step::Change(change) => {
                for words in change.commands() {
                    self.real.administer(&words).await;
                }
                change.apply(&mut self.model);
            }
        }
    }

    async fn request(&mut self, words: &[Vec<u8>], about: &str) {
        let with_name = |name: &Vec<u8>| -> Vec<Vec<u8>> {
            let is_name = |word: &Vec<u8>| word == requests::SCRIPT_NAME.as_bytes();
            words.iter().map(|word| if is_name(word) { name } else { word }).cloned().collect()
        };
        let expected = self.real.ask(&with_name(&self.names.real)).await;
        self.slack = self.slack.max(expected.end - expected.begin);
        self.model.at(expected.begin);
        let answer = self.model.answer(SENDER, &with_name(&self.names.model));
        match (&expected.reply, &answer) {
            (Reply::Bulk(real), Reply::Bulk(model)) if words[0] == b"SCRIPT" => {
                self.names = Names { real: real.clone(), model: model.clone() };
            }
            _ => assert_same(&expected.reply, &answer, self.slack, about),
        }
        let messages = std::mem::take(&mut self.model.messages).into_iter().map(|(_, message)| message).collect();
        assert_same(
            &Reply::Array(self.real.messages().await),
            &Reply::Array(messages),
            self.slack,
            &format!("{about}: messages"),
        );
    }

    /// Every key with its type, its value and how long it lasts.
    async fn compare_keys(&mut self, about: &str) {
        let (begin, keys, end) = self.real.keys().await;
        self.slack = self.slack.max(end - begin);
        self.model.at(begin);
        let modelled = self.model.keys.iter().map(|(name, stored)| {
            let px = self.model.keys.pttl(name);
            Reply::Array(vec![Reply::text(name.clone()), compare::value(&stored.value), Reply::Int(px)])
        });
        assert_same(&Reply::Array(keys), &Reply::Array(modelled.collect()), self.slack, &format!("{about}: keys"));
    }
}
