//! Router `slack_manifest`: the request URLs of a Slack app, all of them at once, through `apps.manifest.*`.
//!
//! It changes the URLs that lead to one of the two stacks and sends everything else in the manifest back as it was read. An
//! update replaces the whole configuration and has no condition, so it reads and compares right before it, has Slack validate
//! what it is going to send, and sends it once. It cannot split users, and says so before a run begins.
#![doc = include_str!("../slack_manifest.md")]

mod api;
mod settings;
mod tokens;
mod urls;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{
    Access, Call, Health, Identity, Kind, NativeWayBack, Reading, RouteView, RouterError, TrafficRouter, Trouble,
};
use crate::child::quoted;
use crate::clock::{Clock, SystemClock};
use crate::diag::Mistake;
use crate::plan::{Color, Split};
use crate::rehearsal::InLab;
use crate::secret::Secret;

use api::{Answer, Api, Failure};
use settings::Settings;
use tokens::{Place, Tokens};
use urls::{RequestUrl, all_to, differences, request_urls, split};

/// The row of [`super::KINDS`].
pub const KIND: Kind = Kind {
    name: "slack_manifest",
    about: "route: the request URLs of a Slack app, all at once",
    page: include_str!("../slack_manifest.md"),
    schema: settings::schema,
    lab: InLab::Missing("Slack app whose request URLs could be moved"),
    view: |value, access| Ok(Rc::new(SlackManifest::new(value, access)?)),
    open: |value, access| Ok(Rc::new(SlackManifest::new(value, access)?)),
};

/// How long an export may lag behind an update. Slack publishes no number.
const SETTLE: Duration = Duration::from_secs(10);
/// How long an update whose answer was lost is still reckoned with. Slack publishes no number, and takes about one update a
/// minute: what has not been applied by then would meet the next one.
const LANDS_WITHIN: Duration = Duration::from_secs(60);
/// The longest a pause that Slack asks for is waited out here; a longer one is kept, and reported to the caller until it is over.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// A token with less than this left is rotated when a run is armed: a way back may be hours away, and 12 h is all there is.
const ENOUGH: Duration = Duration::from_secs(11 * 3600);

/// The request URLs of one app.
pub struct SlackManifest {
    settings: Settings,
    tokens: RefCell<Option<Tokens>>,
    /// When Slack takes updates again.
    not_before: Cell<Duration>,
}

impl SlackManifest {
    /// Checks the settings; asks nobody.
    pub fn new(value: &Value, _: &Access) -> Result<Self, Vec<Mistake>> {
        let settings = Settings::read(value)?;
        Ok(SlackManifest { settings, tokens: RefCell::new(None), not_before: Cell::new(Duration::ZERO) })
    }

    fn api(&self) -> Result<Api, RouterError> {
        Api::new(&self.settings.api)
    }

    fn app(&self) -> String {
        format!("app {}", self.settings.app)
    }

    fn tokens(&self) -> Result<Tokens, RouterError> {
        if let Some(tokens) = self.tokens.borrow().as_ref() {
            return Ok(tokens.clone());
        }
        let tokens = Tokens::read(&self.settings.tokens)?;
        *self.tokens.borrow_mut() = Some(tokens.clone());
        Ok(tokens)
    }

    /// Exchanges the pair for a new one and writes it back, unless another process has just done so.
    async fn rotate(&self, old: &Tokens) -> Result<Tokens, RouterError> {
        let place = Place::prepare(&self.settings.tokens).await?;
        let written = Tokens::read(&self.settings.tokens)?;
        if written.token.expose() != old.token.expose() {
            *self.tokens.borrow_mut() = Some(written.clone());
            return Ok(written);
        }
        let Some(refresh) = &written.refresh else {
            let what = "the configuration token has run out, and there is no refresh token beside it";
            return Err(RouterError::new(Trouble::NoCredentials, what)
                .cure("make a new pair of configuration tokens at https://api.slack.com/apps"));
        };
        let answer = exchange(&self.settings.api, refresh)?;
        let fields = answer.result.map_err(|e| e.error("tooling.tokens.rotate", "the configuration tokens", false))?;
        let fresh = Tokens::of(fields).ok_or_else(|| {
            RouterError::new(Trouble::Unreachable, "`tooling.tokens.rotate` answers without a configuration token")
        })?;
        // The old pair is void from here on, so this run goes on with the new one even if it cannot be kept.
        *self.tokens.borrow_mut() = Some(fresh.clone());
        place.keep(&fresh).map_err(|e| {
            let what = format!(
                "the new configuration tokens could not be written to `{}` ({e}), and the old ones are void",
                self.settings.tokens.display()
            );
            RouterError::new(Trouble::NoCredentials, what)
                .cure("make a new pair of configuration tokens at https://api.slack.com/apps")
        })?;
        Ok(fresh)
    }

    /// Calls a method with a token that Slack takes. A token that has run out was refused before the call was looked at, so
    /// it is exchanged and the call made once more.
    async fn call(
        &self,
        method: &str,
        form: &[(&str, &str)],
    ) -> Result<(Call, Result<Map<String, Value>, Failure>), RouterError> {
        let api = self.api()?;
        let mut tokens = self.tokens()?;
        if tokens.left().is_some_and(|left| left.is_zero()) {
            tokens = self.rotate(&tokens).await?;
        }
        let answer = api.call(method, Some(&tokens.token), form).await;
        let expired = matches!(&answer.result, Err(Failure::Refused(code, _)) if code == "token_expired");
        if !expired {
            return Ok((answer.call, answer.result));
        }
        let tokens = self.rotate(&tokens).await?;
        let answer = api.call(method, Some(&tokens.token), form).await;
        Ok((answer.call, answer.result))
    }

    /// The manifest as Slack holds it now. Reading may be repeated, so a short pause that Slack asks for is waited out once.
    async fn export(&self) -> Result<Value, RouterError> {
        let form = [("app_id", self.settings.app.as_str())];
        let mut result = self.call("apps.manifest.export", &form).await?.1;
        if let Err(Failure::Throttled(pause)) = &result
            && *pause <= LONGEST_PAUSE
        {
            SystemClock.sleep(*pause).await;
            result = self.call("apps.manifest.export", &form).await?.1;
        }
        let mut fields = result.map_err(|e| e.error("apps.manifest.export", &self.app(), false))?;
        match fields.shift_remove("manifest") {
            Some(manifest @ Value::Object(_)) => Ok(manifest),
            _ => Err(RouterError::new(
                Trouble::Unreachable,
                format!("the manifest of {} came without content", self.app()),
            )),
        }
    }

    /// Has Slack check a manifest, which changes nothing.
    async fn validate(&self, manifest: &Value) -> Result<(), RouterError> {
        let text = manifest.to_string();
        let form = [("app_id", self.settings.app.as_str()), ("manifest", text.as_str())];
        let (_, result) = self.call("apps.manifest.validate", &form).await?;
        result.map(drop).map_err(|e| e.error("apps.manifest.validate", &self.app(), false))
    }

    /// The request URLs of a manifest, or why there is nothing to move.
    fn urls(&self, manifest: &Value) -> Result<Vec<RequestUrl>, RouterError> {
        let invalid = |what: String| RouterError::new(Trouble::Invalid, format!("{} {what}", self.app()));
        if manifest.pointer("/settings/socket_mode_enabled") == Some(&Value::Bool(true)) {
            return Err(invalid("is in Socket Mode: its request URLs are not used".into())
                .cure("use the route `socket_mode`; switching the mode may lose events, so a person has to do it"));
        }
        let found = request_urls(manifest, &self.settings);
        if found.iter().all(|url| url.stack.is_none()) {
            let (blue, green) = (&self.settings.blue, &self.settings.green);
            return Err(invalid(format!("has no request URL below `{blue}` or `{green}`"))
                .cure("write the addresses as they stand in the app's manifest"));
        }
        Ok(found)
    }

    fn remarks(&self, found: &[RequestUrl]) -> Vec<String> {
        let mut remarks = vec![
            "all request URLs move at once, there are no weights; how long Slack takes to use them everywhere is not published"
                .into(),
            "Slack takes about one manifest update a minute: going back may be refused (429) for up to a minute; it is then \
             sent again when Slack allows it"
                .into(),
        ];
        for url in found.iter().filter(|url| url.stack.is_none()) {
            remarks.push(format!("`{}` leads to neither stack and is left alone", url.at));
        }
        if split(found).only().is_none() {
            let green = found.iter().filter(|url| url.stack == Some(Color::Green)).map(|url| format!("`{}`", url.at));
            remarks
                .push(format!("request URLs lead to both stacks; to GREEN: {}", green.collect::<Vec<_>>().join(", ")));
        }
        remarks
    }
}

#[async_trait(?Send)]
impl RouteView for SlackManifest {
    fn line(&self) -> String {
        format!("request URLs of Slack app {} (`apps.manifest`)", self.settings.app)
    }

    fn resources(&self, _: Option<&Reading>) -> Vec<String> {
        vec![format!("slack_manifest {}", self.settings.app)]
    }

    fn takes(&self, to: Split) -> Result<(), String> {
        match to.only() {
            Some(_) => Ok(()),
            None => Err("request URLs lead to one stack or the other: there are no weights; write `100%`".into()),
        }
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let manifest = self.export().await?;
        let found = self.urls(&manifest)?;
        let exact = json!({ "app": self.settings.app, "manifest": manifest });
        Ok(Reading { split: split(&found), exact, remarks: self.remarks(&found) })
    }

    /// There is one address a stack, and it answers 200 or it does not.
    async fn health(&self, stack: Color) -> Result<Health, RouterError> {
        let url = format!("{}{}", self.settings.base(stack), self.settings.health);
        Ok(match self.api()?.status(&url).await {
            Ok(200) => Health { healthy: 1, total: 1, ..Health::default() },
            Ok(status) => {
                Health { healthy: 0, total: 1, ailing: vec![format!("{url} answers {status}")], ..Health::default() }
            }
            Err(why) => Health { healthy: 0, total: 1, ailing: vec![format!("{url}: {why}")], ..Health::default() },
        })
    }

    async fn controller(&self) -> Result<Option<String>, RouterError> {
        Ok(None)
    }

    /// Also has Slack validate what would be sent, in both directions, with the token that would send it.
    async fn identity(&self) -> Result<Identity, RouterError> {
        let mut tokens = self.tokens()?;
        if tokens.refresh.is_some() && tokens.left().is_some_and(|left| left < ENOUGH) {
            tokens = self.rotate(&tokens).await?;
        }
        let manifest = self.export().await?;
        for color in Color::BOTH {
            self.validate(&all_to(&manifest, &self.settings, color)).await?;
        }
        let name = |word: &Option<String>| word.clone().unwrap_or_else(|| "not said".into());
        let left = tokens.left();
        let words = match (left, &tokens.refresh) {
            (Some(left), _) => format!("{}m left", left.as_secs() / 60),
            (None, Some(_)) => "expiry not said, a refresh token is there".into(),
            (None, None) => "expiry not said, and no refresh token".into(),
        };
        Ok(Identity {
            line: format!("configuration token of user {}, team {}, {words}", name(&tokens.user), name(&tokens.team)),
            left,
            renews: tokens.refresh.is_some(),
        })
    }

    fn native_way_back(&self, route: &str, reading: &Reading) -> NativeWayBack {
        let file = format!("{route}-manifest.json");
        let Settings { app, api, tokens, .. } = &self.settings;
        let command = format!(
            "curl -sS {} -H \"Authorization: Bearer $(jq -r .token {})\" --data-urlencode app_id={app} \
             --data-urlencode manifest@{file} | jq -e .ok",
            quoted(&format!("{api}apps.manifest.update")),
            quoted(&tokens.display().to_string()),
            file = quoted(&file),
        );
        NativeWayBack { files: vec![(file, format!("{:#}\n", reading.exact["manifest"]))], command }
    }

    fn all_on(&self, stack: Color, now: Option<&Reading>) -> Option<Reading> {
        let mut reading = now?.clone();
        let manifest = all_to(&reading.exact["manifest"], &self.settings, stack);
        reading.exact["manifest"] = manifest;
        Some(Reading { split: Split::all_on(stack), ..reading })
    }
}

#[async_trait(?Send)]
impl TrafficRouter for SlackManifest {
    async fn set(&self, from: &Reading, to: Split) -> Result<Vec<Call>, RouterError> {
        let Some(side) = to.only() else {
            let what = format!("{} is not set to {to}: its request URLs lead to one stack or the other", self.app());
            return Err(RouterError::new(Trouble::Invalid, what));
        };
        let pause = self.not_before.get().saturating_sub(SystemClock.elapsed());
        if pause > LONGEST_PAUSE {
            // Asked for once more it would be refused once more: how long to wait is for the caller to know.
            return Err(Failure::Throttled(pause).error("apps.manifest.update", &self.app(), true));
        }
        SystemClock.sleep(pause).await;
        let manifest = self.export().await?;
        let now = split(&self.urls(&manifest)?);
        if now == to {
            return Ok(Vec::new());
        }
        if now != from.split {
            let what = format!("{} is at {now}, not at {}: nothing was written", self.app(), from.split);
            return Err(RouterError::new(Trouble::Drift { found: now }, what));
        }
        let wanted = all_to(&manifest, &self.settings, side);
        self.validate(&wanted).await?;
        let text = wanted.to_string();
        let form = [("app_id", self.settings.app.as_str()), ("manifest", text.as_str())];
        let (call, result) = self.call("apps.manifest.update", &form).await?;
        let calls = vec![call];
        if let Err(failure) = result {
            if let Failure::Throttled(pause) = &failure {
                self.not_before.set(SystemClock.elapsed() + *pause);
            }
            return Err(RouterError { calls, ..failure.error("apps.manifest.update", &self.app(), true) });
        }
        // What the URLs are now is for the read-back to say. That nothing else is different is known only here.
        let Ok(after) = self.export().await else { return Ok(calls) };
        let changed = differences(&all_to(&after, &self.settings, side), &wanted);
        if changed.is_empty() {
            return Ok(calls);
        }
        let what =
            format!("the manifest of {} is not what was sent, beside its URLs: {}", self.app(), changed.join(", "));
        Err(RouterError { moved: true, calls, ..RouterError::new(Trouble::Invalid, what) }
            .cure("compare it with the exported one in the run's `undo` folder"))
    }

    fn settle(&self) -> Duration {
        SETTLE
    }

    fn lands_within(&self) -> Duration {
        LANDS_WITHIN
    }
}

/// Gives a refresh token away for a new pair.
///
/// Not a future, on purpose: the old pair is void as soon as Slack has the request, and a future that is dropped then would
/// lose the new one. A caller who loses patience waits until it is written down.
fn exchange(base: &str, refresh: &Secret) -> Result<Answer, RouterError> {
    let call = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| RouterError::new(Trouble::Unreachable, format!("no resources: {e}")))?;
        let api = Api::new(base)?;
        Ok(runtime.block_on(api.call("tooling.tokens.rotate", None, &[("refresh_token", refresh.expose())])))
    };
    // A thread of its own, since this one is in a runtime already.
    std::thread::scope(|scope| scope.spawn(call).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}
