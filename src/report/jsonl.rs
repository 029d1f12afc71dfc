//! One JSON object a record, on stdout as it happens: `v`, `ts`, `run`, `seq`, `type` and `data`, the last three exactly as
//! in the journal. Nothing else is ever written to that stream.

use std::io::Write;

use serde_json::json;

use super::{Closing, Reporter};
use crate::journal::Entry;

/// `-o jsonl`.
pub struct Jsonl {
    out: Box<dyn Write>,
    run: String,
}

impl Jsonl {
    pub fn new(out: Box<dyn Write>, run: impl Into<String>) -> Self {
        Jsonl { out, run: run.into() }
    }

    /// A reader who went away does not stop a cutover, so errors of the pipe are nobody's business here.
    fn line(&mut self, value: &serde_json::Value) {
        let _ = writeln!(self.out, "{value}").and_then(|()| self.out.flush());
    }
}

impl Reporter for Jsonl {
    fn record(&mut self, entry: &Entry) {
        self.line(&json!({
            "v": 1, "ts": entry.ts, "run": self.run, "seq": entry.seq, "type": entry.kind, "data": entry.data,
        }));
    }

    fn closing(&mut self, closing: &Closing) {
        self.line(&json!({
            "v": 1, "run": self.run, "type": "closing", "data": {
                "outcome": closing.outcome.name(), "exit": closing.exit, "users": closing.users, "lines": closing.lines,
            },
        }));
    }
}
