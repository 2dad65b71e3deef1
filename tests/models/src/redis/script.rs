//! The real script in a real Lua, of the version that Redis has in it: only `redis.call` is the model's.

use super::keyspace::Bytes;
use super::reply::Reply;
use mlua::{Function, HookTriggers, Lua, Table, Value, Variadic, VmState};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What Redis puts around a script: `call` raises the errors that `pcall` returns, and an error ends the script with it.
const AROUND: &str = r"
    local raw, script = ...
    redis = { pcall = raw, call = function(...)
        local reply = raw(...)
        if type(reply) == 'table' and reply.err then error(reply, 0) end
        return reply
    end }
    local done, reply = pcall(script)
    if done or type(reply) == 'table' then return reply end
    return { err = 'ERR ' .. tostring(reply) }
";

/// The scripts that were loaded.
pub(super) struct Scripts {
    lua: Lua,
    around: Function,
    /// By their names, as long as the server knows them.
    loaded: BTreeMap<String, Function>,
    /// By their texts: compiled once.
    compiled: BTreeMap<Bytes, (String, Function)>,
}

impl Scripts {
    /// None is loaded.
    #[must_use]
    pub(super) fn new() -> Self {
        let lua = Lua::new();
        let around = lua.load(AROUND).set_name("around").into_function().expect("this is Lua");
        Self { lua, around, loaded: BTreeMap::new(), compiled: BTreeMap::new() }
    }

    /// Loads a script; returns its name, which with Redis is a digest and here is a number.
    pub(super) fn load(&mut self, text: &[u8]) -> Reply {
        if !self.compiled.contains_key(text) {
            let script = match self.lua.load(text).set_name("@user_script").into_function() {
                Ok(script) => script,
                Err(error) => return Reply::error(format!("ERR Error compiling script (new function): {error}")),
            };
            let name = format!("{:040x}", self.compiled.len() + 1);
            self.compiled.insert(text.to_vec(), (name, script));
        }
        let (name, script) = &self.compiled[text];
        self.loaded.insert(name.clone(), script.clone());
        Reply::text(name.clone())
    }

    /// From now on, how often the scripts have carried out ten of Lua's instructions.
    pub(super) fn counted(&self) -> Arc<AtomicU64> {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let each = HookTriggers::new().every_nth_instruction(10);
        let set = self.lua.set_hook(each, move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(VmState::Continue)
        });
        set.expect("a hook");
        count
    }

    /// Forgets all scripts, as a start of the server does.
    pub(super) fn forget(&mut self) {
        self.loaded.clear();
    }

    /// Runs a script; `None` if it is not loaded. `call` is what its commands do.
    pub(super) fn run(
        &self,
        name: &str,
        keys: &[Bytes],
        arguments: &[Bytes],
        call: &mut dyn FnMut(&str, &[Bytes]) -> Reply,
    ) -> Option<Reply> {
        let script = self.loaded.get(name)?;
        Some(self.run_function(script, keys, arguments, call).unwrap_or_else(|error| panic!("the script: {error}")))
    }

    fn run_function(
        &self,
        script: &Function,
        keys: &[Bytes],
        arguments: &[Bytes],
        call: &mut dyn FnMut(&str, &[Bytes]) -> Reply,
    ) -> mlua::Result<Reply> {
        let texts = |texts: &[Bytes]| {
            let texts: mlua::Result<Vec<_>> = texts.iter().map(|text| self.lua.create_string(text)).collect();
            self.lua.create_sequence_from(texts?)
        };
        self.lua.globals().set("KEYS", texts(keys)?)?;
        self.lua.globals().set("ARGV", texts(arguments)?)?;
        let call = RefCell::new(call);
        self.lua.scope(|scope| {
            let raw = scope.create_function(|lua, words: Variadic<Value>| {
                let words: Vec<Bytes> = words.iter().map(argument).collect();
                let command = String::from_utf8_lossy(&words[0]).to_uppercase();
                to_lua(lua, &(call.borrow_mut())(&command, &words[1..]))
            })?;
            from_lua(&self.around.call::<Value>((raw, script.clone()))?)
        })
    }
}

/// An argument of a command: a text, or a number as Redis writes it.
fn argument(value: &Value) -> Bytes {
    match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Integer(number) => number.to_string().into(),
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e17 => format!("{number:.0}").into(),
        other => panic!("a command with {other:?}: Redis would write it with 17 digits"),
    }
}

fn to_lua(lua: &Lua, reply: &Reply) -> mlua::Result<Value> {
    let field = |name: &str, text: &str| {
        let table = lua.create_table()?;
        table.set(name, text)?;
        Ok(Value::Table(table))
    };
    match reply {
        Reply::Nil => Ok(Value::Boolean(false)),
        #[expect(clippy::cast_precision_loss, reason = "so does Redis")]
        Reply::Int(number) => Ok(Value::Number(*number as f64)),
        Reply::Bulk(text) => Ok(Value::String(lua.create_string(text)?)),
        Reply::Status(word) => field("ok", word),
        Reply::Error(text) => field("err", text),
        Reply::Array(items) => {
            let items: mlua::Result<Vec<Value>> = items.iter().map(|item| to_lua(lua, item)).collect();
            Ok(Value::Table(lua.create_sequence_from(items?)?))
        }
        Reply::Map(_) | Reply::Push(_) => panic!("no command of a script answers so: {reply:?}"),
    }
}

fn from_lua(value: &Value) -> mlua::Result<Reply> {
    Ok(match value {
        Value::Nil | Value::Boolean(false) => Reply::Nil,
        Value::Boolean(true) => Reply::Int(1),
        Value::Integer(number) => Reply::Int(*number),
        #[expect(clippy::cast_possible_truncation, reason = "so does Redis")]
        Value::Number(number) => Reply::Int(*number as i64),
        Value::String(text) => Reply::Bulk(text.as_bytes().to_vec()),
        Value::Table(table) => from_table(table)?,
        other => panic!("a script returned {other:?}"),
    })
}

/// Up to the first nil, as Redis has it.
fn from_table(table: &Table) -> mlua::Result<Reply> {
    if let Some(error) = table.raw_get::<Option<mlua::LuaString>>("err")? {
        return Ok(Reply::error(error.to_string_lossy()));
    }
    let mut items = Vec::new();
    loop {
        match table.raw_get::<Value>(items.len() + 1)? {
            Value::Nil => return Ok(Reply::Array(items)),
            value => items.push(from_lua(&value)?),
        }
    }
}
