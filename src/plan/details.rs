//! Everything a person agrees to with a step, as rows they can read: what the digests bind, in words.

use serde_json::Value;

use super::{Lane, Plan, StepRef};

impl Plan {
    /// Every setting of a step, and forward every gate by which its users are watched. One row a setting,
    /// `environment.REGION: eu-1`: a text stands as it is, everything else as JSON.
    pub fn details(&self, at: StepRef) -> Vec<String> {
        let mut rows = Vec::new();
        spread(&self.step(at).config, "", &mut rows);
        if at.lane == Lane::Forward {
            self.gates.iter().for_each(|(name, gate)| spread(gate, &format!("gate {name}"), &mut rows));
        }
        rows
    }
}

fn spread(value: &Value, path: &str, rows: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                spread(value, &path, rows);
            }
        }
        Value::Null => {}
        Value::String(text) => rows.push(format!("{path}: {text}")),
        other => rows.push(format!("{path}: {other}")),
    }
}
