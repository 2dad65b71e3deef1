//! The model of PostgreSQL against real servers: the same random requests to both, and every answer, notification and row
//! must be the same.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a case whose preparation fails has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]
#![expect(clippy::print_stdout, reason = "a case says how much it has compared")]

mod change;
mod compare;
mod real;
mod requests;

use change::Change;
use compare::{Answer, assert_same, same_rows};
use locks_models::Random;
use locks_models::postgres::{Modes, Row, Server, Statement, Step as Outcome, Value};
use real::{Ask, Real};
use requests::{Step, Steps};
use std::process::ExitCode;
use std::time::Duration;
use support::cases;
use support::cases::{Case, Fixture};

/// How many requests: some seconds of them.
const REQUESTS: u64 = 1500;
/// The sessions of the model: who sends, who listens, and whose transaction stays open.
const SENDER: u64 = 1;
const LISTENER: u64 = 2;
const HOLDER: u64 = 3;
/// What is granted for a moment has lapsed after this.
const MOMENT: Duration = Duration::from_millis(30);

fn main() -> ExitCode {
    let cases: Vec<Case<support::postgres::Binary>> = cases![the_model_answers_as_postgres_does];
    cases::run([cases])
}

async fn the_model_answers_as_postgres_does(fixture: Fixture<support::postgres::Binary>) {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let (seed, requests) = (number("SEED").unwrap_or(7), number("REQUESTS").unwrap_or(REQUESTS));
    let server = fixture.start(&support::postgres::Setup::default());
    let mut model = Server::new();
    for session in [SENDER, LISTENER, HOLDER] {
        model.connected(session);
    }
    model.listen(LISTENER, requests::CHANNEL);
    let mut pair = Pair { real: Real::connect(&server).await, model, slack: 0, refused: 0, waited: 0, too_slow: 0 };
    let mut steps = Steps::new(Random::new(seed));
    for number in 0..requests {
        let step = steps.next();
        let about = format!("step {number} of seed {seed}, {step:?}");
        pair.take(step, &about).await;
        if number % 4 == 0 {
            pair.compare_rows(&about).await;
        }
    }
    let Pair { refused, waited, too_slow, .. } = pair;
    println!(
        "{requests} requests ({refused} refused, {waited} behind a locked row), the same answers, notifications and rows; \
         something lapsed during {too_slow} more, which says nothing"
    );
    assert!(refused > 0 && waited > 0, "requests that are never refused and never wait compare nothing of that");
}

/// A real server and the model, which have had the same requests.
struct Pair {
    real: Real,
    model: Server,
    /// By how much the real one may have done something later than the model since their rows were compared, in microseconds.
    slack: i64,
    refused: u64,
    waited: u64,
    too_slow: u64,
}

impl Pair {
    async fn take(&mut self, step: Step, about: &str) {
        match step {
            Step::Request(ask) => self.request(ask, about).await,
            Step::Moment(ask) => {
                self.request(ask, about).await;
                tokio::time::sleep(MOMENT).await;
            }
            Step::Rested(ask) => {
                tokio::time::sleep(MOMENT).await;
                self.request(ask, about).await;
            }
            Step::Blocked(ask, change) => self.blocked(ask, change, about).await,
            Step::Change(change) => {
                let begin = self.real.now().await;
                self.real.administer(&change.sql()).await;
                self.note_slack(begin, self.real.now().await);
                self.model.at(begin);
                self.model.change(|table| change.apply(table.as_mut().unwrap(), begin));
                self.model.releases += 1;
            }
            Step::Lock(name) => {
                self.real.hold(&format!("SELECT FROM distributed_locks WHERE name = '{name}' FOR UPDATE")).await;
                self.model.begin(HOLDER);
                if self.model.table.as_ref().unwrap().contains_key(name) {
                    self.model.lock(HOLDER, name);
                }
            }
            Step::Unlock => {
                self.real.let_go("ROLLBACK").await;
                self.model.roll_back(HOLDER);
            }
            Step::Modes(modes, sql) => self.set_modes(modes, &sql).await,
        }
    }

    async fn set_modes(&mut self, modes: Modes, sql: &str) {
        if modes.is_read_only == self.model.modes.is_read_only {
            self.real.administer(sql).await;
        } else {
            self.real.set_up(sql).await;
        }
        self.model.modes = modes;
    }

    async fn request(&mut self, ask: Ask, about: &str) {
        let begin = self.real.now().await;
        let expected = self.real.ask(&ask).await;
        let end = self.real.now().await;
        self.model.at(begin);
        let mut lapses = self.lapses(begin, end);
        let (answer, has_waited) = self.model_of(&ask);
        lapses |= self.lapses(begin, end);
        if has_waited {
            self.waited += 1;
        } else {
            self.note_slack(begin, end);
        }
        if lapses {
            return self.adopt().await;
        }
        self.compare(&ask, &expected, &answer, about).await;
    }

    /// The request is sent while a transaction that changes its row is open, and answered when that has committed.
    async fn blocked(&mut self, ask: Ask, change: Change, about: &str) {
        let changed = self.real.now().await;
        self.real.hold(&change.sql()).await;
        let begin = self.real.now().await;
        self.note_slack(changed, begin);
        self.model.begin(HOLDER);
        self.model.at(begin);
        let mut table = self.model.table.clone().unwrap();
        let is_locked = change.locks(&table);
        change.apply(&mut table, changed);
        if is_locked {
            self.model.lock(HOLDER, change.name());
        }
        let Blocked { expected, released, has_waited, end } = self.real.ask_behind(&ask).await;
        let mut lapses = self.lapses(changed, end);
        let step = self.model.execute(SENDER, ask.statement, &ask.values);
        let waits = matches!(step, Outcome::Waits(_));
        assert_eq!(waits, has_waited, "{about}: whether it waits, by the model, and by PostgreSQL: {expected:?}");
        self.model.roll_back(HOLDER);
        self.waited += u64::from(waits);
        self.model.at(released);
        if is_locked {
            self.model.change(|model| match table.remove(change.name()) {
                Some(row) => drop(model.as_mut().unwrap().insert(row.name.clone(), row)),
                None => drop(model.as_mut().unwrap().remove(change.name())),
            });
        }
        let step = if waits { self.model.resume(SENDER) } else { step };
        let Outcome::Done(answer) = step else { panic!("{about}: the model waits on") };
        // It may have read the clock before it waited.
        self.note_slack(begin, end);
        lapses |= self.lapses(changed, end);
        if lapses {
            return self.adopt().await;
        }
        self.compare(&ask, &expected, &answer, about).await;
    }

    /// The model's answer, and whether it waited for a lock until its time was up.
    fn model_of(&mut self, ask: &Ask) -> (Answer, bool) {
        if ask.in_transaction {
            self.model.begin(SENDER);
        }
        let mut step = self.model.execute(SENDER, ask.statement, &ask.values);
        let has_waited = matches!(step, Outcome::Waits(_));
        while let Outcome::Waits(until) = step {
            self.model.at(until.unwrap());
            step = self.model.resume(SENDER);
        }
        if ask.in_transaction {
            self.model.commit(SENDER).unwrap();
        }
        let Outcome::Done(answer) = step else { unreachable!("seen above") };
        (answer, has_waited)
    }

    async fn compare(&mut self, ask: &Ask, expected: &Answer, answer: &Answer, about: &str) {
        self.refused += u64::from(answer.is_err());
        assert_same(expected, answer, self.slack, about);
        let sent = std::mem::take(&mut self.model.notifications);
        let sent: Vec<Value> = sent.into_iter().map(|(_, _, payload)| Value::Text(payload)).collect();
        let received = self.real.notifications(sent.len()).await;
        assert!(
            same_rows(std::slice::from_ref(&received), std::slice::from_ref(&sent), self.slack),
            "{about}: notifications\nPostgreSQL: {received:?}\nmodel: {sent:?}"
        );
        if ask.statement == Statement::Clean {
            self.compare_rows(about).await;
        }
    }

    /// Whether something of the model's lapses at a time at which the server may have looked.
    fn lapses(&self, begin: i64, end: i64) -> bool {
        let rows = self.model.table.iter().flat_map(|table| table.values());
        let mut moments = rows.flat_map(|row| {
            let waiters = row.queue.iter().flat_map(|waiter| [waiter.until].into_iter().chain(waiter.keep));
            waiters.chain([row.locked_until]).chain(row.keep_until)
        });
        moments.any(|moment| moment > begin - self.slack && moment <= end)
    }

    /// Nobody can say what the server should have done: the model goes on with what it did.
    async fn adopt(&mut self) {
        self.too_slow += 1;
        self.model.notifications.clear();
        self.real.notifications(0).await;
        self.follow(self.real.rows().await);
    }

    fn follow(&mut self, rows: Vec<Row>) {
        self.slack = 0;
        self.model.table = Some(rows.into_iter().map(|row| (row.name.clone(), row)).collect());
    }

    async fn compare_rows(&mut self, about: &str) {
        let real = self.real.rows().await;
        let modelled = self.model.table.as_ref().unwrap();
        let modelled: Vec<Vec<Value>> = modelled.values().map(compare::row).collect();
        let rows: Vec<Vec<Value>> = real.iter().map(compare::row).collect();
        assert!(
            same_rows(&rows, &modelled, self.slack),
            "{about}: rows\nPostgreSQL: {rows:.2000?}\nmodel: {modelled:.2000?}"
        );
        self.follow(real);
    }

    fn note_slack(&mut self, begin: i64, end: i64) {
        self.slack = self.slack.max(end - begin);
    }
}

/// What came of a request behind an open transaction.
struct Blocked {
    expected: Answer,
    /// When the transaction was about to commit.
    released: i64,
    has_waited: bool,
    end: i64,
}
