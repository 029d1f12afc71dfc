//! Source `prometheus`: the one sample of an expression. Gates ask more than that, see `gates::probe`.

use async_trait::async_trait;
use serde_json::Value;

use super::{About, Kind, Reading, Source, asks_of_a_stack};
use crate::diag::Mistake;
use crate::gates::prometheus::Prometheus;
use crate::gates::promql::Query;
use crate::gates::server::Server;
use crate::rehearsal::InLab;
use crate::world::{Gap, World};

/// A number that rests on nothing newer than this is of another time.
const STALE: f64 = 120.0;

pub const KIND: Kind = Kind {
    name: "prometheus",
    page: super::PAGE,
    schema: |_| {
        schemars::json_schema!({
            "type": "string",
            "description": "PromQL. For a gate one sample per stack, told apart by the colour label: `sum by (color) \
                (rate(requests_total{code='500'}[1m])) / sum by (color) (rate(requests_total[1m]))`; elsewhere one sample."
        })
    },
    whole: super::whole::<String>,
    lab: InLab::Nowhere,
    check,
    open: |settings, server| {
        let text = settings.as_str().ok_or("PromQL is text")?;
        Ok(Box::new(Asked { text: text.into(), server: server.clone() }))
    },
};

fn check(settings: &Value) -> Vec<Mistake> {
    let Some(text) = settings.as_str() else { return Vec::new() };
    match Query::parse(text, "") {
        Ok(_) => Vec::new(),
        Err(e) => vec![Mistake {
            at: String::new(),
            message: format!("this is no PromQL: {e}"),
            help: Some("try it in Prometheus first".into()),
        }],
    }
}

/// A colour or a version as it stands inside a quoted matcher.
pub fn quoted(word: &str) -> String {
    word.replace('\\', "\\\\").replace('"', "\\\"")
}

struct Asked {
    text: String,
    server: Server,
}

#[async_trait(?Send)]
impl Source for Asked {
    fn question(&self) -> String {
        self.text.clone()
    }

    fn of_a_stack(&self) -> bool {
        asks_of_a_stack(&self.text)
    }

    async fn read(&self, world: &World, about: &About) -> Result<Reading, Gap> {
        let server = self.server.reached(&world.secrets);
        let prometheus = Prometheus::new(world.web.as_ref(), server, world.clock.now());
        let text = about.fill_as(&self.text, &world.secrets, quoted)?;
        let query = Query::parse(&text, "").map_err(Gap::Unknown)?;
        let value = match prometheus.ask(&text).await?.only()? {
            Some(value) => value,
            None => return Err(Gap::Unknown(format!("`{text}` has no sample"))),
        };
        // An instant value stands for five minutes after its target has died.
        if let Some(age) = query.newest()
            && let Some(age) = prometheus.ask(&age).await?.only()?
            && age > STALE
        {
            return Err(Gap::Unknown(format!("the newest data of `{text}` is {age:.0} s old")));
        }
        Ok(Reading { value, requests: None, minutes: None })
    }
}
