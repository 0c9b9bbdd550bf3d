//! Checks a JSON value against a schema of `openapi.json`.
//!
//! Only the keywords that the file uses. Invariant: a keyword that is not known here is a failure, so
//! that nothing in the file goes unchecked.

use serde_json::Value;

/// What is wrong with `value`, if anything: one sentence for each place.
pub(crate) fn faults(openapi: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(openapi, schema, value, "$", &mut found);
    found
}

fn check(openapi: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (keyword, says) in schema.as_object().expect("a schema is an object") {
        let holds = match keyword.as_str() {
            "description" => true,
            "$ref" => {
                let pointer = says.as_str().expect("a pointer").trim_start_matches('#');
                let schema = openapi.pointer(pointer).expect("a pointer leads somewhere");
                check(openapi, schema, value, at, found);
                true
            }
            "type" => types(says).iter().any(|name| is(value, name)),
            "enum" => says.as_array().expect("a list").contains(value),
            "minimum" => number(value).is_none_or(|number| number >= number_of(says)),
            "maximum" => number(value).is_none_or(|number| number <= number_of(says)),
            "anyOf" => {
                let schemas = says.as_array().expect("a list").iter();
                schemas.clone().any(|schema| faults(openapi, schema, value).is_empty())
            }
            "required" => value.as_object().is_none_or(|object| {
                let names = says.as_array().expect("a list").iter().filter_map(Value::as_str);
                names.clone().all(|name| object.contains_key(name))
            }),
            "additionalProperties" => value.as_object().is_none_or(|object| {
                assert_eq!(says, false, "only closed objects are checked");
                object.keys().all(|name| schema["properties"].get(name).is_some())
            }),
            "properties" => {
                for (name, schema) in says.as_object().expect("an object") {
                    if let Some(value) = value.get(name) {
                        check(openapi, schema, value, &format!("{at}.{name}"), found);
                    }
                }
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(openapi, says, item, &format!("{at}[{index}]"), found);
                }
                true
            }
            unknown => panic!("the keyword {unknown} of {at} is not checked"),
        };
        if !holds {
            found.push(format!("{at}: {keyword} {says} does not hold for {value}"));
        }
    }
}

fn types(says: &Value) -> Vec<&str> {
    match says {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => vec![name.as_str().expect("a type has a name")],
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("the type {unknown} is not checked"),
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}

fn number_of(says: &Value) -> f64 {
    says.as_f64().expect("a bound is a number")
}
