//! The place of the router `route53`: weighted records on moto behind a proxy that keeps the rules of the real Route 53. The other
//! hand is the AWS CLI.

use std::process::Command;

use async_trait::async_trait;
use bgctl::routers::{Access, Kind, NativeWayBack};
use serde_json::{Value, json};

use crate::common::route53::{BLUE, GREEN, NAME, Zone, record};
use crate::router::{Place, suite, walked};

#[async_trait(?Send)]
impl Place for Zone {
    fn settings(&self) -> Value {
        Zone::settings(self)
    }

    fn access(&self) -> Access {
        Zone::access(self)
    }

    async fn witness(&self) -> (u32, u32) {
        let (blue, green) = self.weights().await;
        (blue as u32, green as u32)
    }

    fn everything_else(&self) -> Value {
        let args = ["route53", "list-resource-record-sets", "--hosted-zone-id", &self.id];
        let mut listed = self.api.cli_json(&args)["ResourceRecordSets"].clone();
        let records = listed.as_array_mut().expect("a list");
        records.retain(|record| record["Name"] != format!("_bgctl.{NAME}."));
        for record in records.iter_mut().filter(|record| record["Name"] == format!("{NAME}.")) {
            record["Weight"] = json!(0);
        }
        listed
    }

    fn meddle(&self, blue: u32, green: u32) {
        let change = |side: &str, weight: u32, address: &str| {
            let mut record = record(side, weight, 60, address);
            record["ResourceRecords"] = json!([{ "Value": address }]);
            json!({ "Action": "UPSERT", "ResourceRecordSet": record })
        };
        let batch =
            json!({ "Changes": [change("bot-blue", blue, BLUE), change("bot-green", green, GREEN)] }).to_string();
        let args = ["route53", "change-resource-record-sets", "--hosted-zone-id", &self.id, "--change-batch", &batch];
        self.api.cli_json(&args);
    }

    fn empty_green(&self) {
        *self.bots[1].well.lock().expect("a word") = false;
    }

    fn walk_back(&self, way: &NativeWayBack) {
        let folder = tempfile::tempdir().expect("a folder");
        let cli = self.api.cli_command();
        let path = std::path::Path::new(cli.get_program()).parent().expect("a folder").display().to_string();
        let way = NativeWayBack { command: format!("PATH={path}:$PATH; {}", way.command), ..way.clone() };
        walked(&way, folder.path(), Command::new("sh").envs(cli.get_envs().filter_map(|(k, v)| Some((k, v?)))));
    }
}

pub async fn records_on_moto(kind: &Kind) {
    let Some(zone) = Zone::start(60).await else { return };
    suite(kind, &zone).await;
}
