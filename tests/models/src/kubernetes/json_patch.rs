//! JSON patches, as an API server applies them: of its library only what patches of Leases need.

use serde_json::{Map, Value};

/// Applies the operations to a copy; `None` if one of them cannot be, or a `test` fails. The server does not say which.
pub(super) fn apply(object: &Value, operations: &[Value]) -> Option<Value> {
    let mut object = object.clone();
    for operation in operations {
        let text = |name: &str| operation.get(name).and_then(Value::as_str);
        let (op, path) = (text("op")?, text("path")?);
        let value = || operation.get("value").cloned().unwrap_or_default();
        let (parent, name) = parent(&mut object, path)?;
        match op {
            // What is there is replaced, and what is not there need not be.
            "add" | "replace" => drop(parent.insert(name, value())),
            "remove" => drop(parent.remove(&name)?),
            // What is not there is null.
            "test" => (parent.get(&name).unwrap_or(&Value::Null) == &value()).then_some(())?,
            _ => return None,
        }
    }
    Some(object)
}

/// The map that has, or will have, what is at this path, and its name there. The map has to be there.
fn parent<'a>(object: &'a mut Value, path: &str) -> Option<(&'a mut Map<String, Value>, String)> {
    let (parent, name) = path.rsplit_once('/')?;
    let name = name.replace("~1", "/").replace("~0", "~");
    let parent = if parent.is_empty() { Some(object) } else { object.pointer_mut(parent) };
    Some((parent?.as_object_mut()?, name))
}
