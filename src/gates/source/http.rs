//! Source `http`: a number in a JSON document that a stack, or anything else, serves.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{About, Document, Kind, Picks, shortened};
use crate::diag::{Mistake, Review};
use crate::document;
use crate::rehearsal::{InLab, Place, at};
use crate::world::{Gap, Request, World};

/// The longest an answer may take.
const WITHIN: Duration = Duration::from_secs(5);

/// A JSON document with a number in it. `{url}`, `{stack}`, `{version}` and `{since}` are filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// What is asked: `{url}/signals` asks each stack for itself.
    pub url: String,
    /// Where the number stands, `/checkout/per_minute`; left out, the document is the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where the number of bad requests stands, in place of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
    /// Where the number of all requests stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// Headers of the request, with secrets as references.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

pub const KIND: Kind = Kind {
    name: "http",
    page: super::PAGE,
    schema: super::schema::<Http>,
    whole: super::whole::<Http>,
    lab: InLab::To(places),
    check: super::check::<Http>,
    open: super::open::<Http>,
};

/// A stack's own address is looked at where the stack is.
fn places(settings: &Value) -> Vec<Place> {
    let mut places = at(settings, &["/url"]);
    places.retain(|place| !place.address.starts_with("{url}"));
    places
}

#[async_trait(?Send)]
impl Document for Http {
    fn picks(&self) -> Picks {
        Picks { value: self.value.clone(), bad: self.bad.clone(), requests: self.requests.clone() }
    }

    fn question(&self) -> String {
        format!("GET {}", self.url)
    }

    fn review(&self, found: &mut Vec<Mistake>) {
        let pointers = [("/value", &self.value), ("/bad", &self.bad), ("/requests", &self.requests)];
        for (at, pointer) in pointers.iter().filter_map(|(at, pointer)| Some((at, pointer.as_ref()?))) {
            if !pointer.starts_with('/') {
                found.push(Mistake {
                    at: (*at).into(),
                    message: format!("`{pointer}` is no place in a document"),
                    help: Some(format!("write `/{pointer}`, a JSON pointer")),
                });
            }
        }
        let mut review = Review::default();
        review.headers("/headers", &self.headers);
        found.extend(review.0);
        let known = ["http://", "https://", "{url}", "${"];
        if !known.iter().any(|start| self.url.starts_with(start)) {
            found.push(Mistake {
                at: "/url".into(),
                message: format!("`{}` is no URL", self.url),
                help: Some("begin it with `{url}`, `http://` or `https://`".into()),
            });
        }
    }

    async fn ask(&self, world: &World, about: &About) -> Result<Value, Gap> {
        let mut request = Request::get(about.fill(&self.url, &world.secrets)?, WITHIN);
        request.headers.push(("accept".into(), "application/json".into()));
        let mut headers = if self.url.starts_with("{url}") { about.headers() } else { BTreeMap::new() };
        headers.extend(self.headers.clone());
        let request = request.with(&headers, &world.secrets);
        let response = world.web.exchange(request).await.map_err(|e| Gap::Silent(e.to_string()))?;
        match response.status {
            200 => {}
            // The server cannot serve now; anything else is its word on the question.
            407 => {
                return Err(Gap::Silent(
                    "a proxy on the way answered 407: it wants a login (HTTPS_PROXY, NO_PROXY)".into(),
                ));
            }
            status @ (429 | 500..) => return Err(Gap::Silent(format!("the answer is {status}"))),
            status => return Err(Gap::Unknown(format!("the answer is {status}, not 200"))),
        }
        let document = document::read(&response.body)
            .map_err(|e| Gap::Unknown(format!("the answer is no JSON ({e}): `{}`", shortened(&response.text()))))?;
        Ok(document)
    }
}
