//! Patches: merge (RFC 7386), strategic merge, JSON patch (RFC 6902).

use serde_json::{Map, Value};

use super::refusal::{Answer, Refusal};
use super::schema::{Shape, list_shape, same_item};

/// Applies a patch of this media type to an object.
pub fn patched(object: &Value, patch: Value, media_type: &str) -> Answer<Value> {
    let mut object = object.clone();
    match media_type {
        "application/merge-patch+json" => merge(&mut object, patch),
        "application/strategic-merge-patch+json" => merge_strategic(&mut object, patch, ""),
        "application/json-patch+json" => apply_operations(&mut object, &patch)?,
        _ => return Err(unsupported(media_type)),
    }
    Ok(object)
}

fn unsupported(media_type: &str) -> Refusal {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: \
         application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
         application/apply-patch+yaml; it was {media_type:?}"
    );
    Refusal::new(415, "UnsupportedMediaType", message, Value::Null)
}

/// Merges by RFC 7386: `null` removes, lists are replaced.
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    let target = as_map(target);
    for (field, value) in patch {
        if value.is_null() {
            target.remove(&field);
        } else {
            merge(target.entry(field).or_insert(Value::Null), value);
        }
    }
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made one above")
}

/// Merges lists of things with names item by item; of the directives only `$patch: delete` is known.
fn merge_strategic(target: &mut Value, patch: Value, field: &str) {
    match patch {
        Value::Object(patch) => {
            let target = as_map(target);
            for (field, value) in patch {
                if value.is_null() {
                    target.remove(&field);
                } else {
                    let slot = target.entry(field.clone()).or_insert(Value::Null);
                    merge_strategic(slot, value, &field);
                }
            }
        }
        Value::Array(items) if target.is_array() => match list_shape(field, &items) {
            Shape::Keyed(keys) => merge_items(target, items, keys),
            Shape::Set => {
                let old = target.as_array_mut().expect("it is matched above");
                old.extend(items);
                old.dedup();
            }
            Shape::Atomic => *target = Value::Array(items),
        },
        patch => *target = patch,
    }
}

fn merge_items(target: &mut Value, items: Vec<Value>, keys: &[&str]) {
    let Some(old) = target.as_array_mut() else { return };
    for item in items {
        let position = old.iter().position(|other| same_item(other, &item, keys));
        match position {
            Some(position) if item["$patch"] == "delete" => {
                old.remove(position);
            }
            Some(position) => merge_strategic(&mut old[position], item, ""),
            None => old.push(item),
        }
    }
}

/// Carries out the operations of a JSON patch (`add`, `replace`, `remove`, `test`).
fn apply_operations(object: &mut Value, patch: &Value) -> Answer<()> {
    let operations = patch.as_array().ok_or_else(|| Refusal::bad_request("a JSON patch is a list"))?;
    operations.iter().try_for_each(|operation| apply_operation(object, operation))
}

fn apply_operation(object: &mut Value, operation: &Value) -> Answer<()> {
    let path = operation["path"].as_str().unwrap_or_default();
    let (parent, last) = path.rsplit_once('/').unwrap_or_default();
    let last = last.replace("~1", "/").replace("~0", "~");
    let value = operation["value"].clone();
    let missing = || {
        let why =
            format!("the server rejected our request due to an error in our request: {path} is missing");
        Refusal::new(422, "Invalid", why, Value::Object(Map::new()))
    };
    if operation["op"] == "test" {
        let holds = object.pointer(path) == Some(&value);
        let why =
            format!("the server rejected our request due to an error in our request: testing {path} failed");
        return if holds {
            Ok(())
        } else {
            Err(Refusal::new(422, "Invalid", why, Value::Object(Map::new())))
        };
    }
    match (operation["op"].as_str().unwrap_or_default(), object.pointer_mut(parent).ok_or_else(missing)?) {
        ("add", Value::Object(map)) => drop(map.insert(last, value)),
        ("replace", Value::Object(map)) => *map.get_mut(&last).ok_or_else(missing)? = value,
        ("remove", Value::Object(map)) => drop(map.remove(&last).ok_or_else(missing)?),
        ("add", Value::Array(list)) if last == "-" => list.push(value),
        (op, Value::Array(list)) => {
            let index = last.parse::<usize>().ok().filter(|index| *index < list.len()).ok_or_else(missing)?;
            match op {
                "add" => list.insert(index, value),
                "replace" => list[index] = value,
                _ => drop(list.remove(index)),
            }
        }
        _ => return Err(missing()),
    }
    Ok(())
}
