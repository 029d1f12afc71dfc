//! The fields of an `alb` route's settings, read one by one: what each says, and every mistake at its place. Nothing is asked of
//! the provider.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::arn::{Arn, Sort};
use super::names::{By, Known, Listener, Spot, Which, is_name};
use super::place::Place;
use crate::diag::{self, Mistake, Review, is_region};

const KEYS: [&str; 8] = ["region", "load_balancer", "listener", "rule", "blue", "green", "test", "min_healthy"];
const BY: &str = "write `{ name: bot-blue }`, `{ tags: { app: bot } }` or the ARN";
const REGION: &str = "write `region: us-east-1`, the load balancer's own: neither AWS_REGION nor a profile is asked, so that a \
                      runbook leads to the same place on every machine";

/// The fields, and what is wrong with them.
pub struct Fields<'a> {
    fields: &'a Map<String, Value>,
    pub review: Review,
}

impl Fields<'_> {
    pub fn new(fields: &Map<String, Value>) -> Fields<'_> {
        let mut new = Fields { fields, review: Review::default() };
        new.keys();
        new
    }

    fn keys(&mut self) {
        for key in self.fields.keys().filter(|k| !KEYS.contains(&k.as_str())) {
            let near = KEYS.iter().max_by(|a, b| strsim::jaro(a, key).total_cmp(&strsim::jaro(b, key)));
            let help = near.map(|n| format!("did you mean `{n}`? `alb` takes {}", KEYS.join(", ")));
            let at = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            self.review.wrong(&at, format!("unknown field `{key}`"), help.as_deref());
        }
    }

    fn arn(&mut self, key: &str, sort: Sort, text: &str) -> Option<Arn> {
        let read = Arn::read(text, sort);
        // A bare word is a name that somebody forgot to call one.
        let meant = is_name(text) && matches!(sort, Sort::TargetGroup);
        let help = if meant { format!("did you mean `{{ name: {text} }}`?") } else { sort.shape() };
        read.map_err(|why| self.review.wrong(&format!("/{key}"), format!("`{key}` is {why}"), Some(&help))).ok()
    }

    /// A field that is a mapping, with what is wrong with it at its place.
    fn mapping<T: DeserializeOwned>(&mut self, key: &str, value: &Value, help: &str) -> Option<T> {
        let place = |m: Mistake| Mistake { at: format!("/{key}{}", m.at), help: Some(help.into()), ..m };
        diag::settings(value).map_err(|found| self.review.0.extend(found.into_iter().map(place))).ok()
    }

    fn reviewed(&mut self, key: &str, judge: impl FnOnce(&mut Review)) {
        let mut own = Review::default();
        judge(&mut own);
        self.review.0.extend(own.0.into_iter().map(|m| Mistake { at: format!("/{key}{}", m.at), ..m }));
    }

    fn by(&mut self, key: &str, value: &Value) -> Option<Known> {
        let by: By = self.mapping(key, value, BY)?;
        self.reviewed(key, |review| by.review(review));
        Some(Known::By(by))
    }

    fn no_text(&mut self, key: &str, sort: Sort, value: &Value) {
        let message = format!("`{key}` is no text: an ARN is a string, not {value}");
        self.review.wrong(&format!("/{key}"), message, Some(&sort.shape()));
    }

    pub fn group(&mut self, key: &str, words: &str) -> Option<Known> {
        match self.fields.get(key) {
            None => {
                let help = format!("the target group that {words}: {BY}");
                self.review.wrong("", format!("`alb` lacks `{key}`"), Some(&help));
                None
            }
            Some(Value::String(text)) => self.arn(key, Sort::TargetGroup, text).map(Known::Arn),
            Some(value @ Value::Object(_)) => self.by(key, value),
            Some(other) => {
                self.no_text(key, Sort::TargetGroup, other);
                None
            }
        }
    }

    fn load_balancer(&mut self) -> Option<Known> {
        let key = "load_balancer";
        match self.fields.get(key)? {
            Value::String(text) if text.starts_with("arn:") => self.arn(key, Sort::LoadBalancer, text).map(Known::Arn),
            Value::String(text) => {
                let by = By::Name(text.clone());
                // Its place is the text itself.
                let mut own = Review::default();
                by.review(&mut own);
                self.review.0.extend(own.0.into_iter().map(|m| Mistake { at: format!("/{key}"), ..m }));
                Some(Known::By(by))
            }
            value => self.by(key, value),
        }
    }

    /// The listener's ARN, or its port.
    fn listener(&mut self) -> Option<Result<Arn, u16>> {
        let port = |number: u64| u16::try_from(number).ok().filter(|port| *port > 0);
        match self.fields.get("listener")? {
            Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() => {
                let read = text.parse().ok().and_then(port);
                self.port(read, text)
            }
            Value::String(text) => self.arn("listener", Sort::Listener, text).map(Ok),
            number @ Value::Number(_) => {
                let read = number.as_u64().and_then(port);
                self.port(read, &number.to_string())
            }
            other => {
                self.no_text("listener", Sort::Listener, other);
                None
            }
        }
    }

    fn port(&mut self, read: Option<u16>, text: &str) -> Option<Result<Arn, u16>> {
        if read.is_none() {
            self.review.wrong("/listener", format!("`{text}` is no port: one is 1 to 65535"), None);
        }
        read.map(Err)
    }

    fn rule(&mut self) -> Option<Result<Arn, Which>> {
        match self.fields.get("rule")? {
            Value::String(text) => self.arn("rule", Sort::Rule, text).map(Ok),
            value @ Value::Object(_) => {
                let help = "write `priority`, `tags`, `host`, `path` or `header` below it, or the ARN in its place";
                let which: Which = self.mapping("rule", value, help)?;
                self.reviewed("rule", |review| which.review(review));
                Some(Err(which))
            }
            other => {
                self.no_text("rule", Sort::Rule, other);
                None
            }
        }
    }

    /// The rule that is meant. Whatever says one thing twice, or half of one, is a mistake.
    pub fn spot(&mut self) -> Option<Spot> {
        let has = |key: &str| self.fields.contains_key(key);
        let (in_balancer, in_listener, in_rule) = (has("load_balancer"), has("listener"), has("rule"));
        let (balancer, listener, rule) = (self.load_balancer(), self.listener(), self.rule());
        let by_arn = matches!(self.fields.get("rule"), Some(Value::String(_)));
        let review = &mut self.review;
        if !in_balancer && !in_listener && !in_rule {
            let help = "write `rule:` with the ARN of a listener rule, `listener:` with that of a listener for its default rule, or \
                        `load_balancer:` and `listener:` with a name and a port";
            review.wrong("", "`alb` names no place", Some(help));
        }
        if by_arn && in_listener {
            review.wrong(
                "/listener",
                "`rule` and `listener` exclude each other: the ARN of a rule says its listener",
                None,
            );
        }
        if by_arn && in_balancer {
            review.wrong("/load_balancer", "the ARN of `rule` says its load balancer already", None);
        }
        if in_balancer && matches!(listener, Some(Ok(_))) {
            review.wrong("/load_balancer", "the ARN of `listener` says its load balancer already", None);
        }
        if in_balancer && !in_listener && !by_arn {
            review.wrong(
                "/load_balancer",
                "a load balancer alone is no listener",
                Some("write `listener:` with its port"),
            );
        }
        if !in_balancer && matches!(listener, Some(Err(_))) {
            let help = "write `load_balancer:` with its name, or the ARN of the listener";
            review.wrong("/listener", "a port alone is no listener", Some(help));
        }
        if matches!(rule, Some(Err(_))) && !in_listener && !in_balancer {
            let help = "write `load_balancer:` and `listener:` with a name and a port, or `listener:` with its ARN";
            review.wrong("/rule", "`rule` does not say of which listener", Some(help));
        }
        let listener = match (listener, balancer) {
            (Some(Ok(arn)), _) => Some(Listener::Arn(arn)),
            (Some(Err(port)), Some(load_balancer)) => Some(Listener::At { load_balancer, port }),
            _ => None,
        };
        match (rule, listener, in_rule) {
            (Some(Ok(arn)), ..) => Some(Spot::Arn(Place::Rule(arn))),
            (Some(Err(which)), Some(listener), _) => Some(Spot::Of { listener, rule: Some(which) }),
            (None, Some(Listener::Arn(arn)), false) => Some(Spot::Arn(Place::Listener(arn))),
            (None, Some(listener), false) => Some(Spot::Of { listener, rule: None }),
            _ => None,
        }
    }

    /// What is looked at before users: another listener of the load balancer, or another rule of it.
    pub fn test(&mut self, users: Option<&Spot>) -> Option<Spot> {
        let written = self.fields.get("test")?;
        let help = "write `{ listener: 8443 }`, `{ rule: { header: { name: …, value: … } } }`, both, or the ARN of one";
        let Some(fields) = written.as_object() else {
            self.review.wrong("/test", "`test` is no mapping", Some(help));
            return None;
        };
        let mut own = Fields { fields, review: Review::default() };
        for key in fields.keys().filter(|key| !["listener", "rule"].contains(&key.as_str())) {
            let at = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            own.review.wrong(&at, format!("unknown field `{key}`"), Some(help));
        }
        let (listener, rule) = (own.listener(), own.rule());
        if fields.is_empty() {
            own.review.wrong("", "`test` names no place", Some(help));
        }
        if matches!(rule, Some(Ok(_))) && fields.contains_key("listener") {
            own.review.wrong("/listener", "the ARN of `rule` says its listener already", None);
        }
        let wrong = !own.review.0.is_empty();
        self.review.0.extend(own.review.0.into_iter().map(|m| Mistake { at: format!("/test{}", m.at), ..m }));
        let spot = match (listener, rule) {
            _ if wrong => return None,
            (_, Some(Ok(arn))) => Spot::Arn(Place::Rule(arn)),
            (Some(Ok(arn)), None) => Spot::Arn(Place::Listener(arn)),
            (Some(Ok(arn)), Some(Err(which))) => Spot::Of { listener: Listener::Arn(arn), rule: Some(which) },
            (Some(Err(port)), which) => {
                let listener = Listener::At { load_balancer: balancer_of(users?)?, port };
                Spot::Of { listener, rule: which.and_then(Result::err) }
            }
            (None, which) => Spot::Of { listener: listener_of(users?)?, rule: Some(which?.err()?) },
        };
        let same = |(key, arn): (_, &Arn)| users.and_then(Spot::arn) == Some((key, arn));
        if matches!((&spot, users), (Spot::Arn(_), Some(Spot::Arn(_)))) && spot.arn().is_some_and(same) {
            self.review.wrong(
                "/test",
                "`test` is where users are: nothing could be looked at before they are there",
                None,
            );
        }
        Some(spot)
    }

    pub fn min_healthy(&mut self) -> Option<u32> {
        match self.fields.get("min_healthy")?.as_u64() {
            Some(count @ 1..=1000) => u32::try_from(count).ok(),
            _ => {
                self.review.wrong("/min_healthy", "`min_healthy` is a number of targets, 1 to 1000", None);
                None
            }
        }
    }

    pub fn region(&mut self) -> Option<String> {
        match self.fields.get("region")? {
            Value::String(text) if is_region(text) => Some(text.clone()),
            other => {
                self.review.wrong("/region", format!("{other} is not a region"), Some(REGION));
                None
            }
        }
    }

    /// The region of the whole: as it is written, or as an ARN says it. All ARNs are of one region and account, and the two
    /// sides are two groups.
    pub fn home(
        &mut self,
        region: Option<String>,
        [users, test]: [Option<&Spot>; 2],
        [blue, green]: [&Known; 2],
    ) -> Option<String> {
        if blue == green {
            self.review.wrong("/green", "`green` is the same target group as `blue`", None);
        }
        let group = |key, known: &Known| match known {
            Known::Arn(arn) => Some((key, arn.clone())),
            Known::By(_) => None,
        };
        let place = users.and_then(Spot::arn).map(|(key, arn)| (key, arn.clone()));
        let test = test.and_then(Spot::arn).map(|(_, arn)| ("test", arn.clone()));
        let arns: Vec<(&str, Arn)> =
            place.into_iter().chain(group("blue", blue)).chain(group("green", green)).chain(test).collect();
        if let Some((key, first)) = arns.first()
            && let Some(region) = region.as_ref().filter(|region| **region != first.region)
        {
            let message = format!("`{key}` is in `{}`, and `region` says `{region}`", first.region);
            self.review.wrong("/region", message, None);
        }
        for (key, arn) in arns.iter().skip(1) {
            let (_, first) = &arns[0];
            if (&arn.region, &arn.account) != (&first.region, &first.account) {
                let home = format!("region `{}`, account `{}`", first.region, first.account);
                self.review.wrong(
                    &format!("/{key}"),
                    format!("`{key}` is not where its load balancer is ({home})"),
                    None,
                );
            }
        }
        let home = region.or(arns.first().map(|(_, arn)| arn.region.clone()));
        if home.is_none() && !self.fields.contains_key("region") {
            self.review.wrong("", "`alb` does not say in which region", Some(REGION));
        }
        home
    }
}

/// The load balancer of a place.
fn balancer_of(spot: &Spot) -> Option<Known> {
    match spot {
        Spot::Of { listener: Listener::At { load_balancer, .. }, .. } => Some(load_balancer.clone()),
        spot => Arn::read(&spot.arn()?.1.load_balancer(), Sort::LoadBalancer).ok().map(Known::Arn),
    }
}

/// The listener of a place.
fn listener_of(spot: &Spot) -> Option<Listener> {
    match spot {
        Spot::Of { listener, .. } => Some(listener.clone()),
        Spot::Arn(place) => Arn::read(&place.arn().listener(), Sort::Listener).ok().map(Listener::Arn),
    }
}
