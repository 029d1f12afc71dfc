//! The mistakes that can be seen in a gate's settings without asking anybody.
//!
//! What a query means by itself is for [`promql`]; here it is held against the limit and everything else the gate says.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::by_label::ByLabel;
use super::by_stack::Sides;
use super::gate::{Gate, OnInstance, WHOLE, is_stack};
use super::promql;
use super::promql::Query;
use super::server::Server;
use super::source;
use crate::diag::Mistake;
use crate::scalar::{Margin, Unit};

/// What came of looking at a gate's settings.
pub struct Checked {
    /// The settings with every default filled in, for the plan; None when they cannot be used.
    pub config: Option<Value>,
    pub mistakes: Vec<Mistake>,
    /// Doubtful, but usable.
    pub warnings: Vec<Mistake>,
}

/// Checks everything that can be checked without a server.
pub fn check(settings: &Value) -> Checked {
    let gate = match Gate::deserialize(settings) {
        Ok(gate) => gate,
        Err(e) => {
            let mistake = Mistake { at: String::new(), message: e.to_string(), help: None };
            return Checked { config: None, mistakes: vec![mistake], warnings: Vec::new() };
        }
    };
    let mut review = Review::default();
    review.limits(&gate);
    review.weights(&gate);
    match source::chosen(settings) {
        Err(mistake) => review.mistakes.push(mistake),
        Ok((kind, own)) => match gate.source.promql() {
            Some(text) => review.expression(&gate, text),
            None => review.source(&gate, kind, own),
        },
    }
    let Review { mistakes, warnings } = review;
    let config = mistakes.is_empty().then(|| serde_json::to_value(&gate).expect("BUG: a gate is plain data"));
    Checked { config, mistakes, warnings }
}

const SECOND: Duration = Duration::from_secs(1);
const NO_INSTANCES: &str = "instances are told apart only in a share of requests from Prometheus";
/// What to do with a query that cannot be read.
const READ: &str =
    "try it in Prometheus first; a function of its newest versions, and a variable of a dashboard, are not known here";

#[derive(Default)]
struct Review {
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
}

fn mistake(at: &str, message: impl Into<String>, help: &str) -> Mistake {
    Mistake { at: at.into(), message: message.into(), help: Some(help.into()) }
}

impl Review {
    fn wrong(&mut self, at: &str, message: impl Into<String>, help: &str) {
        self.mistakes.push(mistake(at, message, help));
    }

    fn limits(&mut self, gate: &Gate) {
        if let Some(objective) = &gate.objective {
            if gate.max.is_some() || gate.min.is_some() || gate.versus_blue.is_some() || gate.delta {
                self.wrong(
                    "/objective",
                    "a gate with an `objective` takes no other limit",
                    "make it a gate of its own",
                );
            }
            if objective.unit != Unit::Percent || !(0.5..1.0).contains(&objective.value) {
                self.wrong(
                    "/objective",
                    format!("`{objective}` is not an objective"),
                    "write a share under 100%: `99.9%`",
                );
            }
            if gate.source.promql().is_none() {
                self.wrong(
                    "/objective",
                    "a burning budget is seen in Prometheus only",
                    "give the share of bad requests as PromQL",
                );
            }
        } else if gate.max.is_some() == gate.min.is_some() {
            self.wrong("", "a gate takes exactly one of `max` and `min`", "write `max: 0.5%`");
        }
        if let (Some(Margin::Plus(by)), Some(limit)) = (&gate.versus_blue, gate.limit())
            && by.unit != limit.unit
        {
            let message = format!("the limit `{limit}` and the margin `+{by}` are not of one unit");
            self.wrong("/versus_blue", message, "write both as percentages, as durations or as numbers");
        }
    }

    fn weights(&mut self, gate: &Gate) {
        match (gate.weight, gate.critical) {
            (Some(0 | 101..), _) => self.wrong("/weight", "a weight is 1 to 100", "100 fails a bake alone"),
            (Some(weight), Some(true)) if weight < WHOLE => {
                let message = format!("a critical gate weighs {WHOLE}, not {weight}");
                self.wrong("/weight", message, "leave one of the two out");
            }
            (None, Some(false)) => {
                self.wrong("/critical", "a gate that is not critical needs its `weight`", "write `weight: 50`");
            }
            _ => {}
        }
    }

    fn expression(&mut self, gate: &Gate, text: &str) {
        if gate.objective.is_some() {
            return self.objective(text);
        }
        let sides = Sides::example();
        let by = match ByLabel::new(gate, text, &sides) {
            Err(e) => {
                return self.wrong("/prometheus", format!("this cannot be read as PromQL: {e}"), READ);
            }
            Ok(by) => by,
        };
        let query = by.query();
        let (wrong, doubtful) = query.review(&gate.label, is_stack(&gate.label_value).then_some(["blue", "green"]));
        let place = |flaw: promql::Flaw| mistake("/prometheus", flaw.message, &flaw.help);
        self.mistakes.extend(wrong.into_iter().map(place));
        self.warnings.extend(doubtful.into_iter().map(place));
        self.meaning(gate, query);
        self.sides(gate, &by, &sides);
        if gate.delta && query.grown(SECOND).is_none() {
            let help = format!("write the counter alone: `sum by ({}) (dead_letters_total)`", gate.label);
            self.wrong("/delta", "there is no counter whose growth could be judged", &help);
        }
        if gate.versus_blue.is_some() && !gate.delta && query.grows_with_traffic() {
            let message = "the value grows with the share of users a stack has, so green and blue are never equal";
            self.warnings.push(mistake("/versus_blue", message, "divide it by the requests of the stack"));
        }
        let countable = query.counts(SECOND).is_some() || query.observations(SECOND).is_some();
        if gate.min_requests.is_some_and(|n| n > 0) && gate.requests.is_none() && !countable {
            let message = "`min_requests` has nothing to count: the query is neither a share nor a quantile";
            let help = format!("add `requests: sum by ({}) (rate(…[1m]))`", gate.label);
            self.wrong("/min_requests", message, &help);
        }
        if let Some(requests) = &gate.requests {
            let help = format!("write a rate: `sum by ({}) (rate(http_requests_total[1m]))`", gate.label);
            if source::asks_of_a_stack(requests) {
                self.wrong("/requests", "requests of both stacks are asked at once", &help);
            } else if let Err(e) = promql::count_of(requests, SECOND) {
                self.wrong("/requests", format!("requests cannot be counted by this: {e}"), &help);
            }
        }
    }

    /// Whether each stack is asked about, and only about itself.
    fn sides(&mut self, gate: &Gate, by: &ByLabel, sides: &Sides) {
        let [blue, green] = &by.label().values;
        if blue == green {
            let help = "write `\"{stack}\"`, `\"{version}\"`, or something around them";
            self.wrong("/label_value", format!("`{}` is the same for both stacks", gate.label_value), help);
        }
        if let Some(selector) = by.of_both(sides) {
            let help = "put `{stack}` or `{version}` into every selector, as `label=\"{version}\"`";
            let message = format!("`{selector}` does not tell the stacks apart, and the rest of the query does");
            self.wrong("/prometheus", message, help);
        }
    }

    fn objective(&mut self, text: &str) {
        match Query::parse(text, "") {
            Err(e) => self.wrong("/prometheus", format!("this cannot be read as PromQL: {e}"), READ),
            Ok(query) if query.burning().is_none() => {
                let help = "write `sum(rate(errors_total[5m])) / sum(rate(requests_total[5m]))`; the ranges are put in";
                self.wrong("/prometheus", "the query is no share of bad requests among all", help);
            }
            Ok(_) => {}
        }
    }

    /// Whether the query is judged as what the limit takes it for.
    fn meaning(&mut self, gate: &Gate, query: &Query) {
        if gate.absent.is_some_and(|n| n > 0) {
            self.wrong("/absent", "what has no series can only have happened 0 times", "write `absent: 0`");
        }
        let Some(limit) = gate.limit() else { return };
        if gate.bad_instance != OnInstance::Page && query.share().is_none() {
            self.wrong("/bad_instance", NO_INSTANCES, "leave it out");
        }
        if query.share().is_some() && gate.unit.is_some_and(|unit| unit != Unit::Percent) {
            self.wrong("/unit", "a share of requests is a percentage", "leave `unit` out");
        }
        if query.share().is_none() {
            let scaled = [(100.0, Unit::Percent, "hundredths"), (1000.0, Unit::Seconds, "thousandths")];
            let other = |(factor, unit, _): &(f64, Unit, &str)| query.factor() == Some(*factor) && limit.unit == *unit;
            if let Some((factor, _, what)) = scaled.into_iter().find(other) {
                let help = format!("write `{}`, or leave the factor out", Unit::Number.show(limit.value * factor));
                self.wrong("", format!("the query counts in {what}, and `{limit}` stands for {}", limit.value), &help);
            }
        }
        if gate.share == Some(true) && query.share().is_none() {
            let help =
                "write one sum of rates over another: `sum by (color) (rate(…[1m])) / sum by (color) (rate(…[1m]))`";
            self.wrong("/share", "the query cannot be counted as a share", help);
        }
        if gate.absent.is_some() && query.share().is_none() {
            self.wrong("/absent", "only a share has parts that may be absent", "leave `absent` out");
        }
        if let Some(why) = query.undecided()
            && query.may_be_share(limit)
        {
            let help = match query.burning() {
                Some(_) => {
                    "write `share: true` if everything counted above the line is counted below it too: it is then judged by \
                     counts. Otherwise write `share: false`: it is judged as a number, window by window"
                }
                None => {
                    "to have it judged by counts, write one sum of rates over another. Otherwise write `share: false`: it is \
                     judged as a number, window by window"
                }
            };
            self.wrong("/prometheus", format!("not clear whether this is a share of requests: {why}"), help);
        }
        let at = if gate.max.is_some() { "/max" } else { "/min" };
        match query.share() {
            Some(_) if gate.delta => {}
            Some(share) => {
                let whole = if limit.unit == Unit::Percent { 1.0 } else { share.scale };
                let above = if gate.max.is_some() { limit.value >= whole } else { limit.value > whole };
                let out_of_reach = above || limit.value < 0.0 || (gate.min.is_some() && limit.value == 0.0);
                if limit.unit == Unit::Seconds {
                    self.wrong(
                        at,
                        format!("a share of requests has no seconds: `{limit}`"),
                        "write a percentage: `0.5%`",
                    );
                } else if out_of_reach {
                    let help = "write a percentage between 0 and 100: `0.5%`";
                    self.wrong(at, format!("no share of requests is on the wrong side of {limit}"), help);
                }
            }
            None => {
                if let Some((name, unit)) = query.measures()
                    && let Some(flaw) = unit.against(limit)
                {
                    self.wrong(at, format!("`{name}` {flaw}, and the limit is `{limit}`"), unit.cure());
                }
            }
        }
    }

    fn source(&mut self, gate: &Gate, kind: &source::Kind, own: &Value) {
        let found = (kind.check)(own);
        let sound = found.is_empty();
        self.mistakes.extend(found.into_iter().map(|m| Mistake { at: format!("/{}{}", kind.name, m.at), ..m }));
        if gate.requests.is_some() {
            let help = format!("write it inside of `{}`", kind.name);
            self.wrong("/requests", "`requests` is PromQL, and this gate asks no Prometheus", &help);
        }
        let of_promql = [
            ("/share", gate.share.is_some()),
            ("/absent", gate.absent.is_some()),
            ("/label_value", !is_stack(&gate.label_value)),
        ];
        for (at, _) in of_promql.into_iter().filter(|(_, given)| *given) {
            let message = format!("`{}` is about PromQL, and this gate asks no Prometheus", at.trim_start_matches('/'));
            self.wrong(at, message, "leave it out");
        }
        if gate.bad_instance != OnInstance::Page {
            self.wrong("/bad_instance", NO_INSTANCES, "leave it out");
        }
        let Ok(source) = (kind.open)(own, &Server::none()) else { return };
        if !sound {
            return;
        }
        let at = format!("/{}", kind.name);
        let since = own.to_string().contains("{since}");
        if source.counts() && !since && !source.counts_since() && !gate.delta {
            let message = "nothing says since when `bad` and `requests` are counted";
            self.wrong(&at, message, "ask with `{since}`, or write `delta: true` where they only ever grow");
        }
        if gate.delta && (since || source.counts_since()) {
            self.wrong("/delta", "these numbers begin at the shift already", "leave `delta` or `{since}` out");
        }
        if gate.min_requests.is_some_and(|n| n > 0) && !source.counts_requests() {
            self.wrong(
                "/min_requests",
                "`min_requests` has nothing to count",
                &format!("give `requests` in `{}`", kind.name),
            );
        }
        if !source.of_a_stack() {
            if gate.versus_blue.is_some() {
                let help = "ask with `{stack}`, `{version}` or `{url}`";
                self.wrong(
                    "/versus_blue",
                    "the source gives one number for both stacks, so nothing can be compared",
                    help,
                );
            }
            let message = "one number for both stacks hides a bad green behind a large blue";
            self.warnings.push(mistake(&at, message, "ask with `{stack}`, `{version}` or `{url}`"));
        }
    }
}
