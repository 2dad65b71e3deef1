//! What each command does to the keys: those of the script, and those of strangers.

use super::keyspace::{Bytes, Keyspace, Value};
use super::reply::Reply;

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";

/// What the server looks at before it runs a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    /// It frees memory, or needs none.
    Write,
    /// It may need memory: refused first if there is none.
    Grow,
}

/// The kind of a command on keys; `None` if the model has no such command.
pub(super) fn kind(command: &str) -> Option<Kind> {
    Some(match command {
        "GET" | "MGET" | "GETRANGE" | "STRLEN" | "EXISTS" | "TYPE" | "PTTL" | "HGET" | "HMGET" | "HGETALL" | "HLEN"
        | "HSTRLEN" | "ZCARD" | "ZRANGE" | "ZRANGEBYSCORE" | "ZSCORE" | "KEYS" => Kind::Read,
        "DEL" | "PEXPIRE" | "HDEL" | "ZREM" => Kind::Write,
        "SET" | "INCRBY" | "HSET" | "ZADD" => Kind::Grow,
        _ => return None,
    })
}

/// Those arguments of a command that are keys, or the channel of a shard.
pub(super) fn keys_of<'a>(command: &str, arguments: &'a [Bytes]) -> &'a [Bytes] {
    match command {
        "DEL" | "EXISTS" | "MGET" => arguments,
        "TIME" | "SCAN" | "KEYS" | "PUBLISH" => &[],
        _ => &arguments[..arguments.len().min(1)],
    }
}

/// Runs a command on keys.
pub(super) fn run(keys: &mut Keyspace, command: &str, arguments: &[Bytes]) -> Reply {
    apply(keys, command, arguments).unwrap_or_else(Reply::error)
}

fn apply(keys: &mut Keyspace, command: &str, arguments: &[Bytes]) -> Result<Reply, String> {
    let [key, rest @ ..] = arguments else {
        return Err(format!("ERR wrong number of arguments for '{}' command", command.to_lowercase()));
    };
    match (command, rest) {
        ("GET", []) => text(keys, key).map(|text| text.map_or(Reply::Nil, |text| Reply::Bulk(text.clone()))),
        ("GETRANGE", [from, to]) => get_range(text(keys, key)?, integer(from)?, integer(to)?),
        ("MGET", _) => {
            let text = |key: &Bytes| match keys.value(key) {
                Some(Value::Text(text)) => Reply::Bulk(text.clone()),
                _ => Reply::Nil,
            };
            Ok(Reply::Array(arguments.iter().map(text).collect()))
        }
        ("STRLEN", []) => Ok(size(text(keys, key)?.map_or(0, Vec::len))),
        ("EXISTS", _) => Ok(size(arguments.iter().filter(|key| keys.value(key).is_some()).count())),
        ("TYPE", []) => Ok(Reply::Status(keys.value(key).map_or("none", Value::kind))),
        ("KEYS", []) if key == b"*" => {
            Ok(Reply::Array(keys.iter().map(|(name, _)| Reply::text(name.clone())).collect()))
        }
        ("PTTL", []) => Ok(Reply::Int(keys.pttl(key))),
        ("DEL", _) => Ok(size(arguments.iter().filter(|key| keys.delete(key)).count())),
        ("INCRBY", [by]) => increase(keys, key, integer(by)?),
        ("PEXPIRE", [px]) => {
            let px = integer(px)?;
            Ok(count(keys.pexpire(key, px)))
        }
        ("SET", [value, options @ ..]) => set(keys, key, value, options),
        ("HGET" | "HMGET" | "HGETALL" | "HLEN" | "HSTRLEN" | "HSET" | "HDEL", _) => hash(keys, command, key, rest),
        ("ZADD" | "ZCARD" | "ZREM" | "ZRANGE" | "ZRANGEBYSCORE" | "ZSCORE", _) => sorted(keys, command, key, rest),
        _ => panic!("the model has no {command} with {} arguments", arguments.len()),
    }
}

/// The key keeps its expiry.
fn increase(keys: &mut Keyspace, key: &[u8], by: i64) -> Result<Reply, String> {
    let before = text(keys, key)?.map_or(Ok(0), |text| strict_integer(text))?;
    let after = before.checked_add(by).ok_or("ERR increment or decrement would overflow")?;
    *keys.value_mut(key, || Value::Text(Vec::new())) = Value::Text(after.to_string().into());
    Ok(Reply::Int(after))
}

/// As the server would write it: no sign, no zero and no space in front of it.
fn strict_integer(text: &[u8]) -> Result<i64, String> {
    let number = integer(text)?;
    if number.to_string().as_bytes() == text { Ok(number) } else { Err(NOT_AN_INTEGER.to_owned()) }
}

fn set(keys: &mut Keyspace, key: &[u8], value: &[u8], options: &[Bytes]) -> Result<Reply, String> {
    let (mut px, mut rest) = (None, options);
    let (mut must_be_absent, mut must_exist, mut keeps_ttl) = (false, false, false);
    while let [option, more @ ..] = rest {
        rest = more;
        match option.as_slice() {
            b"NX" => must_be_absent = true,
            b"XX" => must_exist = true,
            b"KEEPTTL" => keeps_ttl = true,
            b"PX" => {
                let [time, more @ ..] = more else { return Err("ERR syntax error".to_owned()) };
                let time = u64::try_from(integer(time)?).ok().filter(|time| *time > 0);
                px = Some(time.ok_or("ERR invalid expire time in 'set' command")?);
                rest = more;
            }
            _ => return Err("ERR syntax error".to_owned()),
        }
    }
    let exists = keys.value(key).is_some();
    if (must_be_absent && exists) || (must_exist && !exists) {
        return Ok(Reply::Nil);
    }
    if keeps_ttl {
        *keys.value_mut(key, || Value::Text(Vec::new())) = Value::Text(value.to_vec());
    } else {
        keys.set(key, Value::Text(value.to_vec()), px);
    }
    Ok(Reply::Status("OK"))
}

fn hash(keys: &mut Keyspace, command: &str, key: &[u8], rest: &[Bytes]) -> Result<Reply, String> {
    let fields = match keys.value(key) {
        None => &[][..],
        Some(Value::Hash(fields)) => fields,
        Some(_) => return Err(WRONG_TYPE.to_owned()),
    };
    let value = |name: &Bytes| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
    let reply = |name: &Bytes| value(name).map_or(Reply::Nil, |value| Reply::Bulk(value.clone()));
    Ok(match (command, rest) {
        ("HGET", [name]) => reply(name),
        ("HMGET", names) => Reply::Array(names.iter().map(reply).collect()),
        ("HLEN", []) => size(fields.len()),
        ("HSTRLEN", [name]) => size(value(name).map_or(0, Vec::len)),
        ("HGETALL", []) => Reply::Array(
            fields.iter().flat_map(|(name, value)| [name, value].map(|text| Reply::text(text.clone()))).collect(),
        ),
        ("HSET", pairs) if !pairs.is_empty() && pairs.len() % 2 == 0 => {
            let Value::Hash(fields) = keys.value_mut(key, || Value::Hash(Vec::new())) else {
                unreachable!("seen above")
            };
            let before = fields.len();
            for pair in pairs.chunks(2) {
                match fields.iter_mut().find(|(field, _)| *field == pair[0]) {
                    Some((_, value)) => value.clone_from(&pair[1]),
                    None => fields.push((pair[0].clone(), pair[1].clone())),
                }
            }
            size(fields.len() - before)
        }
        ("HDEL", names) => {
            let before = fields.len();
            if before == 0 {
                return Ok(Reply::Int(0));
            }
            let Value::Hash(fields) = keys.value_mut(key, || Value::Hash(Vec::new())) else {
                unreachable!("seen above")
            };
            fields.retain(|(field, _)| !names.contains(field));
            let removed = before - fields.len();
            keys.tidy(key);
            size(removed)
        }
        _ => return Err(format!("ERR wrong number of arguments for '{}' command", command.to_lowercase())),
    })
}

fn sorted(keys: &mut Keyspace, command: &str, key: &[u8], rest: &[Bytes]) -> Result<Reply, String> {
    let members = match keys.value(key) {
        None => &[][..],
        Some(Value::Sorted(members)) => members,
        Some(_) => return Err(WRONG_TYPE.to_owned()),
    };
    Ok(match (command, rest) {
        ("ZADD", [score, member]) => {
            let score: f64 = parsed(score).ok_or("ERR value is not a valid float")?;
            let is_new = !members.iter().any(|(_, known)| known == member);
            let Value::Sorted(members) = keys.value_mut(key, || Value::Sorted(Vec::new())) else {
                unreachable!("seen above")
            };
            members.retain(|(_, known)| known != member);
            members.push((score, member.clone()));
            members.sort_by(|one, two| one.0.total_cmp(&two.0).then_with(|| one.1.cmp(&two.1)));
            count(is_new)
        }
        ("ZSCORE", [member]) => {
            let known = members.iter().find(|(_, known)| known == member);
            known.map_or(Reply::Nil, |(score, _)| Reply::text(score.to_string()))
        }
        ("ZCARD", []) => size(members.len()),
        ("ZRANGEBYSCORE", [from, to]) if from == b"-inf" => {
            let to: f64 = parsed(to).ok_or("ERR min or max is not a float")?;
            let inside = members.iter().filter(|(score, _)| *score <= to);
            Reply::Array(inside.map(|(_, member)| Reply::Bulk(member.clone())).collect())
        }
        ("ZREM", [member]) => {
            let known = members.iter().any(|(_, known)| known == member);
            if known {
                let Value::Sorted(members) = keys.value_mut(key, || Value::Sorted(Vec::new())) else {
                    unreachable!("seen above")
                };
                members.retain(|(_, known)| known != member);
                keys.tidy(key);
            }
            count(known)
        }
        ("ZRANGE", [from, to, with @ ..]) => {
            let range = range(members.len(), integer(from)?, integer(to)?);
            let with_scores = with.first().is_some_and(|option| option == b"WITHSCORES");
            let shown = |(score, member): &(f64, Bytes)| {
                let score = with_scores.then(|| Reply::text(score.to_string()));
                [Some(Reply::Bulk(member.clone())), score].into_iter().flatten()
            };
            Reply::Array(members[range].iter().flat_map(shown).collect())
        }
        _ => return Err(format!("ERR wrong number of arguments for '{}' command", command.to_lowercase())),
    })
}

fn text<'a>(keys: &'a Keyspace, key: &[u8]) -> Result<Option<&'a Bytes>, String> {
    match keys.value(key) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(WRONG_TYPE.to_owned()),
    }
}

fn get_range(text: Option<&Bytes>, from: i64, to: i64) -> Result<Reply, String> {
    let Some(text) = text else { return Ok(Reply::text("")) };
    Ok(Reply::text(&text[range(text.len(), from, to)]))
}

/// The range from one index to another, both included; negative ones count from the end.
fn range(length: usize, from: i64, to: i64) -> std::ops::Range<usize> {
    let index = |index: i64| match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let from = index(from).unwrap_or(0).min(length);
    let to = index(to).map_or(0, |to| (to + 1).min(length));
    from..to.max(from)
}

fn integer(text: &[u8]) -> Result<i64, String> {
    parsed(text).ok_or_else(|| NOT_AN_INTEGER.to_owned())
}

fn parsed<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn count(is_one: bool) -> Reply {
    Reply::Int(i64::from(is_one))
}

fn size(size: usize) -> Reply {
    Reply::Int(i64::try_from(size).expect("a small number"))
}
