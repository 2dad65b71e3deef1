//! The model of MariaDB against real servers: the same random statements at the same time of the server's to both, and every answer,
//! error and row must be the same.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a case whose preparation fails has failed")]
#![expect(clippy::print_stdout, reason = "a case says how much it has compared")]

mod change;
mod real;
mod requests;

use locks_models::Random;
use locks_models::mysql::{Answer, Refusal, Row, Server, Statement, Step as Outcome};
use real::{Real, Told};
use requests::{Ask, Step, Steps};
use std::collections::BTreeMap;
use std::process::ExitCode;
use support::cases;
use support::cases::{Case, Fixture};

/// How many requests: some seconds of them.
const REQUESTS: u64 = 4000;

/// Whose transaction stays open, in the model.
const HOLDER: u64 = 1;

fn main() -> ExitCode {
    let cases: Vec<Case<support::mysql::Binary>> = cases![the_model_answers_as_mariadb_does];
    cases::run([cases])
}

async fn the_model_answers_as_mariadb_does(fixture: Fixture<support::mysql::Binary>) {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let (seed, requests) = (number("SEED").unwrap_or(7), number("REQUESTS").unwrap_or(REQUESTS));
    let server = fixture.start(&support::mysql::Setup::default());
    let mut pair = Pair { real: Real::connect(&server).await, model: Server::new(), met: BTreeMap::new() };
    let mut steps = Steps::new(Random::new(seed));
    for number in 0..requests {
        let step = steps.next(&pair.model);
        let about = format!("step {number} of seed {seed}, {step:.3000?}");
        pair.take(step, &about).await;
        pair.compare_rows(&about).await;
    }
    println!("{requests} steps, the same answers and rows: {:?}", pair.met);
    for code in [1062, 1142, 1146, 1205, 1290, 1690] {
        assert!(
            pair.met.contains_key(&format!("error {code}")),
            "nothing was refused by {code}: that was not compared"
        );
    }
    for statement in requests::COMMON {
        let name = format!("{statement:?}");
        assert!(pair.met.get(&name).is_some_and(|changed| *changed > 0), "{name} has never done anything");
    }
}

/// A real server and the model, which have had the same statements.
struct Pair {
    real: Real,
    model: Server,
    /// What has come of statements, how often.
    met: BTreeMap<String, u64>,
}

impl Pair {
    async fn take(&mut self, step: Step, about: &str) {
        match step {
            Step::Ask(ask) => self.ask(ask, about).await,
            Step::Change(change) => {
                self.real.administer(&change.sql()).await;
                self.model.change(|table| change.apply(table.as_mut().unwrap()));
            }
            Step::Lock(name) => {
                let is_there = self.model.table.as_ref().unwrap().contains_key(name.as_bytes());
                self.real.hold(name, is_there).await;
                self.model.lock(HOLDER, Some(name));
            }
            Step::Unlock => {
                self.real.let_go().await;
                self.model.unlock(HOLDER);
            }
            Step::Drop => {
                self.real.administer("DROP TABLE distributed_locks").await;
                self.model.change(|table| *table = None);
            }
            Step::Modes(modes, sql) => {
                for statement in &sql {
                    self.real.administer(statement).await;
                }
                self.model.modes = modes;
            }
        }
    }

    async fn ask(&mut self, ask: Ask, about: &str) {
        self.model.at(self.real.set_time(ask.who, ask.micros).await);
        let real = self.real.ask(&ask).await;
        let modes = self.model.modes;
        self.model.modes.ignores_read_only = ask.who.may_write_to_a_replica();
        let Outcome::Done(answer) = self.model.execute((ask.statement, ask.rows), &ask.values) else {
            panic!("{about}: the model waits");
        };
        self.model.modes = modes;
        self.note(ask.statement, &answer);
        let answer = answer
            .map(|answer| shown(ask.statement, answer))
            .map_err(|refusal| (refusal.code, refusal.state.to_owned()));
        assert_eq!(real, answer, "{about}\nleft: MariaDB, right: the model");
    }

    fn note(&mut self, statement: Statement, answer: &Result<Answer, Refusal>) {
        let what = match answer {
            Err(refusal) => format!("error {}", refusal.code),
            Ok(answer) if answer.affected > 0 || !answer.rows.is_empty() => format!("{statement:?}"),
            Ok(_) => format!("{statement:?} of nothing"),
        };
        *self.met.entry(what).or_default() += 1;
    }

    async fn compare_rows(&mut self, about: &str) {
        let Some(table) = &self.model.table else { return };
        let modelled: Vec<Row> = table.values().cloned().collect();
        let rows = self.real.rows().await;
        assert_eq!(rows, modelled, "{about}\nleft: MariaDB's rows, right: the model's");
    }
}

/// What the model answers, as what is read from a server. A page alone has an order.
fn shown(statement: Statement, answer: Answer) -> Told {
    let named = |values: Vec<mysql_async::Value>| {
        answer.columns.iter().map(|name| (*name).to_owned()).zip(values.into_iter().map(real::plain)).collect()
    };
    let rows = answer.rows.into_iter().map(named).collect();
    Told { rows, affected: answer.affected, insert_id: answer.insert_id }.in_order(statement)
}
