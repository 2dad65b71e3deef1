//! Random statements, as the store sends them and as it never would; what strangers do, and what happens to the server.

use crate::change::Change;
use locks_models::Random;
use locks_models::mysql::{Modes, Rights, Row, Server, Statement};
use mysql_async::Value;

/// Names that a collation might take for the same.
const NAMES: [&str; 6] = ["a", "A", "á", "a ", "b/c", "a\tdone"];
const SESSIONS: [&str; 2] = ["00000000000000010000000000000001", "00000000000000ab00000000000000ab"];
const BEGIN: i64 = 1_763_733_600_000_000;
/// In microseconds.
const TTLS: [i64; 3] = [2_000_000, 10_000_000, 30_000_000];

/// The statements that are sent all the time.
pub(crate) const COMMON: [Statement; 12] = [
    Statement::Acquire,
    Statement::Release,
    Statement::Renew,
    Statement::SwapEach,
    Statement::SwapAll,
    Statement::Insert,
    Statement::InsertHeld,
    Statement::Delete,
    Statement::Read,
    Statement::Unlocked,
    Statement::Page,
    Statement::Find,
];

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    App,
    Administrator,
    /// Whose rights change.
    Poor,
}

impl Who {
    pub(crate) fn may_write_to_a_replica(self) -> bool {
        self == Self::Administrator
    }
}

/// A statement, and when.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) who: Who,
    pub(crate) micros: i64,
    pub(crate) statement: Statement,
    pub(crate) rows: usize,
    pub(crate) values: Vec<Value>,
}

/// What is done to both.
#[derive(Debug)]
pub(crate) enum Step {
    Ask(Ask),
    Change(Change),
    /// A transaction that locks the row, or has inserted it, stays open.
    Lock(&'static str),
    Unlock,
    Drop,
    /// What is wrong with the server, and the statements that make it so.
    Modes(Modes, Vec<String>),
}

/// The steps of a seed.
pub(crate) struct Steps {
    random: Random,
    micros: i64,
    who: Who,
    /// What is to be undone soon.
    undo: Option<(u64, Step)>,
    number: u64,
}

impl Steps {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, micros: BEGIN, who: Who::App, undo: None, number: 0 }
    }

    pub(crate) fn next(&mut self, model: &Server) -> Step {
        self.number += 1;
        if model.table.is_none() && self.random.chance(50) {
            return Step::Ask(self.statement(Statement::Create, 1, Vec::new()));
        }
        if let Some((_, step)) = self.undo.take_if(|(at, _)| *at <= self.number) {
            self.who = Who::App;
            return step;
        }
        let is_quiet = self.undo.is_none() && model.table.is_some();
        match self.random.below(100) {
            0..4 if is_quiet => self.modes(),
            4..9 if is_quiet => {
                let name = self.random.pick(&NAMES);
                self.undo_soon(Step::Unlock);
                Step::Lock(name)
            }
            9..19 if is_quiet => Step::Change(self.change()),
            19 if is_quiet && self.random.chance(30) => Step::Drop,
            _ => Step::Ask(self.ask(model)),
        }
    }

    fn undo_soon(&mut self, step: Step) {
        self.undo = Some((self.number + 2 + self.random.below(12), step));
    }

    fn modes(&mut self) -> Step {
        if self.random.chance(40) {
            self.who = self.random.pick(&[Who::App, Who::Administrator]);
            self.undo_soon(Step::Modes(Modes::default(), vec!["SET GLOBAL read_only = 0".to_owned()]));
            let modes = Modes { is_read_only: true, ..Modes::default() };
            return Step::Modes(modes, vec!["SET GLOBAL read_only = 1".to_owned()]);
        }
        let mut has = |chance| self.random.chance(chance);
        let rights = Rights { select: has(70), insert: has(50), update: has(50), delete: has(50), ..Rights::all() };
        self.who = Who::Poor;
        let on = "locks.distributed_locks";
        let names = [
            ("SELECT", rights.select),
            ("INSERT", rights.insert),
            ("UPDATE", rights.update),
            ("DELETE", rights.delete),
        ];
        let granted = names.iter().filter(|(_, has)| *has);
        // Without any right the table is not shown at all.
        let mut sql = vec![format!("GRANT INDEX ON {on} TO poor@'%'")];
        sql.extend(granted.map(|(name, _)| format!("GRANT {name} ON {on} TO poor@'%'")));
        self.undo_soon(Step::Modes(Modes::default(), vec![format!("REVOKE ALL ON {on} FROM poor@'%'")]));
        Step::Modes(Modes { rights, ..Modes::default() }, sql)
    }

    fn change(&mut self) -> Change {
        let name = self.random.pick(&NAMES);
        match self.random.below(8) {
            0 => Change::Delete(name),
            1 | 2 => Change::Free(name),
            3 => Change::Hold(name),
            4 => Change::Insert(name),
            5 => Change::Version(name, self.random.pick(&[0, 1, 7, i64::MAX - 1, i64::MAX])),
            6 => Change::Fence(name, self.random.pick(&[0, 7, 9_000_000_000_000_000, i64::MAX])),
            _ => Change::Lapsing(name),
        }
    }

    fn statement(&mut self, statement: Statement, rows: usize, values: Vec<Value>) -> Ask {
        // Now and then the clock is set back.
        let passed = self.random.pick(&[0, 1, 1_000, 1_000_000, 4_000_000, 40_000_000, -3_000_000]);
        self.micros += passed;
        Ask { who: self.who, micros: self.micros, statement, rows, values }
    }

    fn ask(&mut self, model: &Server) -> Ask {
        let statement = self.random.pick(&COMMON);
        // More than one list has, now and then.
        let rows = match self.random.below(40) {
            0 => 600,
            _ => self.random.pick(&[1, 1, 1, 2, 2, 4, 8]),
        };
        let values = self.values(model, statement, rows);
        self.statement(statement, rows, values)
    }

    fn values(&mut self, model: &Server, statement: Statement, rows: usize) -> Vec<Value> {
        let names = self.names(rows);
        let now = Value::Int(self.micros);
        match statement {
            Statement::Acquire => {
                let mut values = vec![self.session()];
                values.extend(self.each(&names, |steps, _| steps.number()));
                values.extend(self.each(&names, |steps, _| steps.record()));
                values.push(self.ttl());
                values.extend(names);
                values
            }
            Statement::Release => {
                let mut values = names.clone();
                values.push(self.session());
                values.extend(self.each(&names, |steps, _| steps.number()));
                values
            }
            Statement::Renew => {
                let mut values = vec![self.ttl()];
                values.extend(names);
                values.push(self.session());
                values.extend((0..rows).map(|_| self.number()));
                values
            }
            Statement::Read | Statement::Unlocked => names,
            Statement::Insert => self.distinct(rows).chain([]).collect(),
            Statement::SwapEach => {
                let mut values = self.swapped(model, &names);
                let pairs: Vec<Value> =
                    names.iter().flat_map(|name| [name.clone(), self.version(model, name)]).collect();
                values.extend(pairs);
                values
            }
            Statement::SwapAll => {
                let mut values = self.each(&names, |steps, name| steps.version(model, name));
                values.extend(self.swapped(model, &names));
                values.extend(names);
                values
            }
            Statement::InsertHeld => {
                let names: Vec<Value> = self.distinct(rows).collect();
                let row = |name| [name, self.session(), self.number(), self.record(), self.ttl()];
                names.into_iter().flat_map(row).collect()
            }
            Statement::Page => vec![self.random.pick(&["", "A", "a", "b"]).into(), vec![0xff_u8].into()],
            Statement::Delete => {
                let mut values = names;
                values.push(now);
                values
            }
            Statement::Find => vec!["locks".into(), "distributed_locks".into()],
            Statement::Create | Statement::Settings | Statement::Isolation | Statement::IsWritable => Vec::new(),
        }
    }

    /// Each of the columns that a swap writes.
    fn swapped(&mut self, model: &Server, names: &[Value]) -> Vec<Value> {
        let row = |name: &Value| model.table.as_ref()?.get(&bytes(name)).cloned();
        let known = |name: &Value| row(name).unwrap_or_default();
        let of = |work: fn(&Row) -> Value| move |_: &mut Self, name: &Value| work(&known(name));
        let mut values = self.each(names, of(|row| Value::Int(row.fence)));
        values.extend(self.each(names, |steps, _| if steps.random.chance(30) { Value::NULL } else { steps.session() }));
        values.extend(self.each(names, |steps, _| if steps.random.chance(30) { Value::NULL } else { steps.number() }));
        values.extend(self.each(names, |steps, _| if steps.random.chance(30) { Value::NULL } else { steps.record() }));
        values.extend(self.each(names, |steps, _| Value::Int(steps.micros + steps.random.pick(&TTLS))));
        values.extend(self.each(names, |steps, _| {
            steps.random.pick(&[None, None, Some(i64::MIN), Some(BEGIN)]).map_or(Value::NULL, Value::Int)
        }));
        values.extend(
            self.each(names, |steps, _| steps.random.pick(&["", "", r#"[{"s":"s","n":1,"h":"{}","u":9}]"#]).into()),
        );
        values
    }

    /// A value for each row: alone, or behind its name. Of a name that is there twice the first counts.
    fn each(&mut self, names: &[Value], value: impl Fn(&mut Self, &Value) -> Value) -> Vec<Value> {
        match names {
            [name] => vec![value(self, name)],
            names => names.iter().flat_map(|name| [name.clone(), value(self, name)]).collect(),
        }
    }

    /// Any names, some of them more than once.
    fn names(&mut self, count: usize) -> Vec<Value> {
        if count > NAMES.len() + 2 {
            return self.distinct(count).collect();
        }
        (0..count).map(|_| self.random.pick(&NAMES).into()).collect()
    }

    /// As many other names as are needed.
    fn distinct(&mut self, count: usize) -> impl Iterator<Item = Value> + use<> {
        let first = self.random.index(NAMES.len());
        let known = (0..count.min(NAMES.len())).map(move |step| NAMES[(first + step) % NAMES.len()].into());
        let kind = if count > 100 { "many" } else { "more" };
        known.chain((NAMES.len()..count).map(move |number| format!("{kind}/{number}").into()))
    }

    /// Mostly the row's own.
    fn version(&mut self, model: &Server, name: &Value) -> Value {
        let known = model.table.as_ref().and_then(|table| table.get(&bytes(name)));
        let is_known = self.random.chance(85);
        known.filter(|_| is_known).map_or(Value::Int(3), |row| Value::Int(row.version))
    }

    fn session(&mut self) -> Value {
        self.random.pick(&SESSIONS).into()
    }

    fn number(&mut self) -> Value {
        Value::Int(1 + i64::from(self.random.chance(30)))
    }

    fn record(&mut self) -> Value {
        self.random.pick(&["{}", r#"{"name":"c1.1"}"#, "é ' \\ \0"]).into()
    }

    fn ttl(&mut self) -> Value {
        Value::Int(self.random.pick(&TTLS))
    }
}

fn bytes(name: &Value) -> Vec<u8> {
    match name {
        Value::Bytes(bytes) => bytes.clone(),
        other => panic!("{other:?} is no name"),
    }
}
