//! Random requests: what the store sends, what strangers do, and what happens to the server.

use crate::change::{Change, LARGE};
use crate::real::Ask;
use locks_models::Random;
use locks_models::postgres::{Modes, Rights, Statement, Value};

pub(crate) const CHANNEL: &str = "distributed_locks";
const LOCKS: [&str; 3] = ["a", "a", "b/c"];
const SESSIONS: [&str; 2] = ["00000000000000010000000000000001", "00000000000000ab00000000000000ab"];
/// In microseconds.
const LONG: [f64; 2] = [3_600_000_000.0, 7_200_000_000.0];
const SHORT: f64 = 20_000.0;

/// What is done to both.
#[derive(Debug)]
pub(crate) enum Step {
    Request(Ask),
    /// The same, and what it granted for a moment lapses.
    Moment(Ask),
    /// The same, some time after whatever was before.
    Rested(Ask),
    /// The same, behind an open transaction that changes its row.
    Blocked(Ask, Change),
    Change(Change),
    /// A transaction that locks the row stays open.
    Lock(&'static str),
    Unlock,
    /// What is wrong with the server, and the statement that makes it so.
    Modes(Modes, String),
}

/// The steps of a seed.
pub(crate) struct Steps {
    random: Random,
    /// What is to be undone soon.
    undo: Option<(u64, Step)>,
    number: u64,
}

impl Steps {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, undo: None, number: 0 }
    }

    pub(crate) fn next(&mut self) -> Step {
        self.number += 1;
        if let Some((_, step)) = self.undo.take_if(|(at, _)| *at <= self.number) {
            return step;
        }
        let is_quiet = self.undo.is_none();
        match self.random.below(100) {
            0..3 if is_quiet => self.modes(),
            3..6 if is_quiet => {
                let name = self.random.pick(&LOCKS);
                self.undo_soon(Step::Unlock);
                Step::Lock(name)
            }
            6..14 if is_quiet => Step::Change(self.change()),
            14..24 if is_quiet => {
                let (ask, change) = (self.ask("60000ms", false), self.change());
                Step::Blocked(ask, change)
            }
            24..26 => Step::Rested(Ask::new(Statement::Clean, vec![Value::Float8(15_000.0)])),
            26..36 => Step::Moment(self.ask("20ms", true)),
            _ => Step::Request(self.ask("20ms", false)),
        }
    }

    fn undo_soon(&mut self, step: Step) {
        self.undo = Some((self.number + 5 + self.random.below(20), step));
    }

    fn modes(&mut self) -> Step {
        let good = Modes::default();
        let all = Rights::all();
        let (bad, on, off) = match self.random.below(6) {
            0 => (
                Modes { is_read_only: true, ..good },
                "SET default_transaction_read_only = on",
                "SET default_transaction_read_only = off",
            ),
            1 => (Modes { is_full: true, ..good }, "SELECT fill()", "DROP TRIGGER full_disk ON distributed_locks"),
            number => {
                let (rights, right) = [
                    (Rights { select: false, ..all }, "SELECT"),
                    (Rights { insert: false, ..all }, "INSERT"),
                    (Rights { update: false, ..all }, "UPDATE"),
                    (Rights { delete: false, ..all }, "DELETE"),
                ][usize::try_from(number - 2).unwrap()];
                let off = format!("GRANT {right} ON distributed_locks TO app");
                self.undo_soon(Step::Modes(good, off));
                return Step::Modes(Modes { rights, ..good }, format!("REVOKE {right} ON distributed_locks FROM app"));
            }
        };
        self.undo_soon(Step::Modes(good, off.to_owned()));
        Step::Modes(bad, on.to_owned())
    }

    fn change(&mut self) -> Change {
        let name = self.random.pick(&LOCKS);
        match self.random.below(8) {
            0 => Change::Delete(name),
            1 => Change::NoQueue(name),
            2 | 3 => Change::Free(name),
            4 => Change::Hold(name),
            5 | 6 => Change::Insert(name),
            _ => Change::Fence(name),
        }
    }

    /// What the store sends; `limit` is for how long it may wait for a row.
    fn ask(&mut self, limit: &str, is_short: bool) -> Ask {
        let random = &mut self.random;
        let name = Value::Text(random.pick(&LOCKS).to_owned());
        let session = Value::Text(random.pick(&SESSIONS).to_owned());
        let number = Value::Int8(1 + i64::try_from(random.below(3)).unwrap());
        let time = Value::Float8(if is_short { SHORT } else { random.pick(&LONG) });
        let limit = Value::Text(limit.to_owned());
        let channel = if random.chance(10) { Value::Null } else { Value::Text(CHANNEL.to_owned()) };
        // Those of one statement wait for one row.
        let one = Value::Texts(vec![Some(random.pick(&LOCKS).to_owned())]);
        let names =
            Value::Texts(["a", "b/c", "c"][..1 + random.index(3)].iter().map(|name| Some((*name).into())).collect());
        // What is entered: mostly one lock.
        let wanted = if random.chance(70) { one.clone() } else { names.clone() };
        let mode = match random.below(6) {
            0 | 1 => Value::Text("\"s\"".to_owned()),
            2 => Value::Text(random.pick(&["1", "2", "3"]).to_owned()),
            _ => Value::Null,
        };
        let fences = Value::Int8s(if random.chance(70) { Vec::new() } else { vec![5, LARGE] });
        let numbers = Value::Int8s((1..=3).filter(|_| random.chance(50)).collect());
        let stays = Value::Bool(random.chance(50));
        let (statement, values) = match random.below(40) {
            0..7 | 25 => {
                let holder = record(random);
                let joins = Value::Bool(random.chance(70));
                (Statement::Enter, vec![wanted, session, number, holder, time, joins, mode, limit])
            }
            26..30 => {
                let holder = record(random);
                (Statement::EnterFree, vec![name, session, number, holder, time, limit])
            }
            33..37 => {
                // As many of each.
                let Value::Texts(names) = names else { unreachable!("they are texts") };
                let numbers = names.iter().map(|_| 1 + i64::try_from(random.below(3)).unwrap()).collect();
                let records = names.iter().map(|_| Some("{}".to_owned())).collect();
                let values = [Value::Texts(names), session, Value::Int8s(numbers), Value::Texts(records), time, limit];
                (Statement::EnterMany, values.into())
            }
            37..40 => {
                let Value::Texts(names) = names else { unreachable!("they are texts") };
                let numbers = names.iter().map(|_| 1 + i64::try_from(random.below(3)).unwrap()).collect();
                (Statement::LeaveMany, vec![Value::Texts(names), session, Value::Int8s(numbers)])
            }
            30..33 => (Statement::LeaveUnqueued, vec![name, session, number, limit]),
            7..9 => (Statement::Look, vec![wanted, session, number]),
            9..12 => (Statement::Renew, vec![names, session, numbers, time]),
            12 => (Statement::RenewWaiting, vec![one, session, numbers, time, limit]),
            13..17 => (Statement::Leave, vec![one, session, numbers, channel, stays, limit]),
            17..19 => (Statement::LeaveUnlocked, vec![names, session, numbers, channel, stays, limit]),
            19 => (Statement::Lapse, vec![wanted, session, number, time, channel, limit]),
            20 => (Statement::Extend, vec![wanted, session, number, time, limit]),
            21 => (Statement::ForceRelease, vec![one, channel, fences, limit]),
            22 => (Statement::InspectKey, vec![name]),
            23 => {
                let prefix = Value::Text(random.pick(&["", "a", "b", "b/"]).to_owned());
                (Statement::InspectPrefix, vec![prefix.clone(), prefix])
            }
            24 => {
                let names = ["distributed_locks", "other"].map(|name| Some(name.to_owned()));
                let schemas = [Value::Null, Value::Texts(vec![Some("public".into())])][random.index(2)].clone();
                (Statement::Find, vec![Value::Texts(names.to_vec()), schemas, Value::Text("locked_until".into())])
            }
            _ => (Statement::Notify, vec![Value::Text(CHANNEL.into()), Value::Text("probe 0000000000000007".into())]),
        };
        let in_transaction = random.chance(10);
        Ask { in_transaction, ..Ask::new(statement, values) }
    }
}

fn record(random: &mut Random) -> Value {
    Value::Text(match random.below(20) {
        0 => String::new(),
        1 => "é".repeat(70_000),
        number => format!("{{\"v\":1,\"name\":\"c{number}\"}}"),
    })
}
