//! Two newcomers: a router and a channel to copy, each one file of less than 150 lines and one row. They pass the same suites
//! as those that ship.

mod pager;
mod router;

use std::path::PathBuf;

use async_trait::async_trait;
use bgctl::people::pager as pagers;
use bgctl::routers;
use bgctl::runbook::{Kinds, Language};
use serde_json::{Value, json};

use crate::common::kinds::Table;
use crate::router::Place;

/// The rows, as they would stand in the tables.
pub const ROUTERS: &[routers::Kind] = &[router::KIND];
const PAGERS: &[pagers::Kind] = &[pager::KIND];

/// A proxy's file.
struct Proxy {
    folder: tempfile::TempDir,
}

impl Proxy {
    fn new() -> Proxy {
        let proxy = Proxy { folder: tempfile::tempdir().expect("a folder") };
        let targets = json!({ "blue": ["10.0.0.1", "10.0.0.2"], "green": ["10.0.0.3", "10.0.0.4"] });
        proxy.write(&json!({ "weights": { "blue": 100, "green": 0 }, "targets": targets, "timeout": 30 }));
        proxy
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("split.json")
    }

    fn document(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file()).expect("the file")).expect("a document")
    }

    fn write(&self, document: &Value) {
        std::fs::write(self.file(), document.to_string()).expect("the file is written");
    }
}

#[async_trait(?Send)]
impl Place for Proxy {
    fn settings(&self) -> Value {
        json!({ "file": self.file() })
    }

    fn names_calls(&self) -> bool {
        false
    }

    async fn witness(&self) -> (u32, u32) {
        let document = self.document();
        let weight = |name: &str| document["weights"][name].as_u64().and_then(|w| u32::try_from(w).ok());
        (weight("blue").expect("a weight"), weight("green").expect("a weight"))
    }

    fn everything_else(&self) -> Value {
        let mut document = self.document();
        document["weights"] = Value::Null;
        document["targets"]["green"] = Value::Null;
        document
    }

    fn meddle(&self, blue: u32, green: u32) {
        let mut document = self.document();
        document["weights"] = json!({ "blue": blue, "green": green });
        self.write(&document);
    }

    fn empty_green(&self) {
        let mut document = self.document();
        document["targets"]["green"] = json!([]);
        self.write(&document);
    }
}

#[tokio::test]
async fn a_new_router_is_one_file_and_one_row() {
    for kind in ROUTERS {
        crate::router::suite(kind, &Proxy::new()).await;
    }
    // With the row its keys are in the runbook, each with its text.
    let language = Language::new(Kinds { routers: ROUTERS, ..Kinds::default() });
    let route = &language.schema["$defs"]["Route"];
    assert_eq!(route["oneOf"], json!([{ "required": ["weights_file"] }]));
    let settings = route["properties"]["weights_file"]["$ref"].as_str().expect("settings of its own");
    let settings = language.schema.pointer(&settings[1..]).expect("they are defined");
    assert_eq!(settings["additionalProperties"], false, "a misspelt key is a mistake");
    assert_eq!(settings["properties"]["file"]["description"], "The file: `/etc/proxy/split.json`.");
    let table = Table {
        of: "router",
        kinds: ROUTERS.iter().map(|kind| (kind.name, kind.page)).collect(),
        topic: None,
        places: vec!["weights_file"],
    };
    assert_eq!(table.lacks(|name| Some(ROUTERS.iter().find(|kind| kind.name == name)?.page.into())), [""; 0]);
}

#[test]
fn a_new_pager_is_one_file_and_one_row() {
    for kind in PAGERS {
        crate::pager::suite(kind, &json!({ "sms": "${env:KEY}", "to": "+49 151 0000000" }));
    }
    let table = Table {
        of: "pager",
        kinds: PAGERS.iter().map(|kind| (kind.name, kind.page)).collect(),
        topic: Some("paging"),
        places: vec!["sms"],
    };
    assert_eq!(table.lacks(|_| Some(PAGERS.iter().map(|kind| kind.page).collect())), [""; 0]);
}

/// What a newcomer has to read and write: little, and nothing that is not public.
#[test]
fn what_is_to_be_copied_stays_short_and_stands_on_what_is_public() {
    for (name, text) in [("router", include_str!("router.rs")), ("pager", include_str!("pager.rs"))] {
        assert!(text.lines().count() < 150, "{name}.rs has {} lines", text.lines().count());
        assert!(!text.contains("crate::") && !text.contains("super::"), "{name}.rs reaches into the tests");
        // Each member says what it promises.
        for (at, _) in text
            .match_indices("fn ")
            .filter(|(at, _)| text[..*at].ends_with("\n    ") || text[..*at].ends_with("async "))
        {
            let above = text[..at].lines().rev().find(|line| !line.trim().is_empty() && line.trim() != "async");
            assert!(above.is_some_and(|line| line.trim().starts_with("///")), "{name}.rs: {}", &text[at..at + 30]);
        }
    }
}
