//! `rfc3161`: a time stamp by an authority, made and checked through `openssl ts`. The authority keeps nothing: the answer
//! lies beside the log and in its record, and it proves that the head was there at that time.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Anchor, AnchorError, Kept, Kind, PATIENCE, Reach, receipts, typed};
use crate::file;
use crate::journal::heads::Head;
use crate::rehearsal::InLab;
use crate::world::{Exit, Request};

pub const KIND: Kind = Kind {
    name: "rfc3161",
    page: super::PAGE,
    schema: |generator| generator.subschema_for::<Settings>(),
    whole: super::whole::<Settings>,
    named: |url, ca| match ca {
        Some(ca) => Ok(json!({ "url": url, "ca": ca })),
        None => Err("the authority's certificates: --ca FILE".into()),
    },
    // A time stamp is checked without its authority.
    alone: true,
    place: |settings| format!("rfc3161:{}", settings["url"].as_str().unwrap_or_default()),
    lab: InLab::LeftOut,
    open: |settings, reach| {
        let Settings { url, ca } = typed(settings);
        Box::new(Rfc3161Anchor { url, ca: reach.beside_policy.join(ca), reach })
    },
};

/// A time stamp of an RFC 3161 authority.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rfc3161Anchor")]
struct Settings {
    /// The authority's address.
    #[schemars(extend("format" = "http-url"))]
    url: String,
    /// The authority's certificates, a file beside the policy: `tsa-ca.pem`.
    #[schemars(length(min = 1))]
    ca: String,
}

struct Rfc3161Anchor {
    url: String,
    ca: PathBuf,
    reach: Rc<Reach>,
}

impl Rfc3161Anchor {
    async fn openssl(&self, arguments: &[&str]) -> Result<Vec<String>, AnchorError> {
        let argv = ["openssl", "ts"].iter().chain(arguments).map(|word| word.to_string()).collect();
        let ran = self.reach.run(argv, None).await;
        let (exit, out, said) = ran.map_err(|e| AnchorError(format!("openssl cannot be run: {e}")))?;
        match exit {
            Exit::Status(0) => Ok(out),
            Exit::TimedOut => Err(AnchorError("openssl did not end in time".into())),
            Exit::Status(_) | Exit::Signal(_) => {
                // `…:time stamp routines:ts_check_imprints:message imprint mismatch:…`: the words after the function.
                let mut reasons = said.iter().filter_map(|line| line.split_once("routines:")?.1.split(':').nth(1));
                let last = said.iter().chain(&out).rfind(|line| !line.trim().is_empty()).map(String::as_str);
                let reason = reasons.next().or(last).unwrap_or("no reason given");
                Err(AnchorError(format!("openssl ts {}: {}", arguments[0], reason.trim())))
            }
        }
    }

    async fn check(&self, head: &Path, answer: &Path) -> Result<(), AnchorError> {
        let (head, answer, ca) = (text(head), text(answer), text(&self.ca));
        self.openssl(&["-verify", "-data", &head, "-in", &answer, "-CAfile", &ca]).await.map(|_| ())
    }
}

#[async_trait(?Send)]
impl Anchor for Rfc3161Anchor {
    fn kind(&self) -> &'static str {
        "rfc3161"
    }

    fn place(&self) -> String {
        format!("rfc3161:{}", self.url)
    }

    async fn keep(&self, head: &Head, receipts: &Path) -> Result<Kept, AnchorError> {
        let path = |extension| receipts::path(receipts, head, "rfc3161", &self.place(), extension);
        let (data, query, answer) = (path("head"), path("tsq"), path("tsr"));
        let failed = |e: std::io::Error| AnchorError(format!("cannot write in `{}`: {e}", receipts.display()));
        file::write(&data, head.text()).map_err(failed)?;
        self.openssl(&["-query", "-data", &text(&data), "-sha256", "-cert", "-out", &text(&query)]).await?;
        let request = Request {
            method: "POST",
            url: self.url.clone(),
            headers: vec![("content-type".into(), "application/timestamp-query".into())],
            body: file::read(&query, file::SHORT).map_err(failed)?,
            timeout: PATIENCE,
            ..Request::default()
        };
        let said = self.reach.web.exchange(request).await.map_err(|e| AnchorError(e.what))?;
        if said.status != 200 {
            return Err(AnchorError(format!("the authority answers {}", said.status)));
        }
        // Under another name until it is found good, so that no refused answer is ever taken for a time stamp.
        let unchecked = path("unchecked");
        file::write(&unchecked, &said.body).map_err(failed)?;
        let (ca, asked) = (text(&self.ca), text(&query));
        self.openssl(&["-verify", "-queryfile", &asked, "-in", &text(&unchecked), "-CAfile", &ca]).await?;
        fs::rename(&unchecked, &answer).map_err(failed)?;
        let lines = self.openssl(&["-reply", "-in", &text(&answer), "-text"]).await?;
        let time = lines.iter().find_map(|line| line.strip_prefix("Time stamp: ")).unwrap_or("no time given");
        let line = format!("stamped {time}, in {}", answer.display());
        Ok(Kept { receipt: STANDARD.encode(&said.body), line, warning: None })
    }

    async fn heads(&self, _: &str, receipts: Option<&Path>) -> Result<Vec<Head>, AnchorError> {
        let Some(folder) = receipts else {
            return Err(AnchorError("the authority's answers lie in a run's folder, and this log is in none".into()));
        };
        let mut heads = Vec::new();
        let entries = fs::read_dir(folder).map_err(|e| AnchorError(format!("`{}`: {e}", folder.display())))?;
        for answer in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            if answer.extension().is_none_or(|e| e != "tsr") {
                continue;
            }
            let data = answer.with_extension("head");
            self.check(&data, &answer).await.map_err(|e| AnchorError(format!("`{}`: {e}", answer.display())))?;
            let said = file::text(&data, file::SHORT).map_err(|e| AnchorError(format!("`{}`: {e}", data.display())))?;
            heads.extend(Head::parse(&said));
        }
        Ok(heads)
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
