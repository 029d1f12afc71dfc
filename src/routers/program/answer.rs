//! What a program printed, read: nothing is an answer that is not written exactly as the contract says, or that cannot be.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::contract::{Described, Healthy, Manual, Nothing, Read, Refused, Sent, Settled, VERSION, Weights, Why};
use crate::document::{self, object};
use crate::secret::hidden;

/// The longest text in an answer, in bytes; the most of them in a list; and the most a state may come to.
const TEXT: usize = 400;
const LIST: usize = 100;
const STATE: usize = 64 * 1024;
/// The largest weight: more would be a mistake, and sums have to stay whole.
const WEIGHT: u32 = 1_000_000;
/// The longest a place may take until a write is seen or is known to be lost.
const HOUR: u64 = 3600;

/// Something that a program may answer.
pub trait Answer: DeserializeOwned {
    /// What in it cannot be, although it is written as it should be.
    fn wrong(&self) -> Option<String>;
}

/// Reads what a program printed: an answer, a refusal, or why it is neither.
pub fn answer<A: Answer>(printed: &[u8]) -> Result<Result<A, Refused>, String> {
    let document = document::read(printed).map_err(|e| match printed.trim_ascii().is_empty() {
        true => "it printed nothing".to_string(),
        false => format!("it printed no JSON object ({e})"),
    })?;
    let Value::Object(mut members) = document else { return Err("it printed no JSON object".into()) };
    if let Some(refused) = members.remove("refused") {
        if !members.is_empty() {
            return Err("beside `refused` there is nothing else in an answer".into());
        }
        let refused: Refused = object(refused).map_err(|e| format!("`refused`: {e}"))?;
        return wrong_refusal(&refused).map_or(Ok(Err(refused)), |why| Err(format!("`refused`: {why}")));
    }
    let answer: A = serde_json::from_value(Value::Object(members)).map_err(|e| e.to_string())?;
    answer.wrong().map_or(Ok(Ok(answer)), Err)
}

fn wrong_refusal(refused: &Refused) -> Option<String> {
    line("why", &refused.why)
        .or_else(|| line("cure", refused.cure.as_deref()?))
        .or_else(|| seconds("after_s", refused.after_s?))
        .or_else(|| weights(refused.found?))
        .or_else(|| {
            let told = refused.found.is_some();
            (told != (refused.kind == Why::Drift)).then(|| "`found` belongs to `drift`, and to nothing else".into())
        })
}

impl Answer for Described {
    fn wrong(&self) -> Option<String> {
        if self.bgctl_route != VERSION {
            return Some(format!("it speaks version {} of the contract, and this bgctl {VERSION}", self.bgctl_route));
        }
        let none = self.resources.is_empty().then(|| "`resources` names at least one thing".into());
        none.or_else(|| line("line", &self.line))
            .or_else(|| lines("resources", &self.resources))
            .or_else(|| line("identity", self.identity.as_deref()?))
            .or_else(|| seconds("settle_s", self.settle_s))
            .or_else(|| seconds("lands_within_s", self.lands_within_s))
    }
}

impl Answer for Read {
    fn wrong(&self) -> Option<String> {
        let large = (self.state.to_string().len() > STATE).then(|| format!("`state` is longer than {STATE} bytes"));
        large.or_else(|| weights(self.weights)).or_else(|| lines("remarks", &self.remarks))
    }
}

impl Answer for Healthy {
    fn wrong(&self) -> Option<String> {
        let more = self.healthy > self.total;
        more.then(|| format!("{} of {} targets cannot be healthy", self.healthy, self.total))
            .or_else(|| lines("ailing", &self.ailing))
    }
}

impl Answer for Sent {
    fn wrong(&self) -> Option<String> {
        line("request", self.request.as_deref()?)
    }
}

impl Answer for Settled {
    fn wrong(&self) -> Option<String> {
        line("line", self.line.as_deref()?)
    }
}

impl Answer for Nothing {
    fn wrong(&self) -> Option<String> {
        None
    }
}

impl Answer for Manual {
    fn wrong(&self) -> Option<String> {
        let Manual { command } = self;
        let odd = command.chars().any(|c| hidden(c) && c != '\n');
        match command.trim().is_empty() || command.len() > STATE || odd {
            true => Some(format!("`command` is up to {STATE} bytes of shell, without control characters")),
            false => None,
        }
    }
}

fn weights(weights: Weights) -> Option<String> {
    let most = weights.blue.max(weights.green);
    (most > WEIGHT).then(|| format!("a weight is at most {WEIGHT}, not {most}"))
}

fn seconds(name: &str, value: u64) -> Option<String> {
    (value > HOUR).then(|| format!("`{name}` is at most {HOUR} seconds, not {value}"))
}

fn lines(name: &str, values: &[String]) -> Option<String> {
    let many = (values.len() > LIST).then(|| format!("`{name}` has more than {LIST} members"));
    many.or_else(|| values.iter().find_map(|value| line(name, value)))
}

/// A text for a person has to be one line that nothing hides in.
fn line(name: &str, text: &str) -> Option<String> {
    let odd = text.trim().is_empty() || text.len() > TEXT || text.contains(hidden);
    odd.then(|| format!("`{name}` is one line of 1 to {TEXT} bytes without control characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_exactly_what_the_contract_says() {
        let read = |text: &str| answer::<Read>(text.as_bytes());
        let good = read(r#"{"weights":{"blue":90,"green":10},"state":{"v":1}}"#).unwrap().unwrap();
        assert_eq!((good.weights.green, good.remarks.len()), (10, 0));
        let table = [
            ("", "printed nothing"),
            ("ok", "no JSON object"),
            ("[]", "no JSON object"),
            ("{}", "missing field `weights`"),
            (r#"{"weights":{"blue":1,"green":0}} extra"#, "no JSON object"),
            (r#"{"weights":{"blue":1,"green":0},"weights":{"blue":0,"green":1}}"#, "given twice"),
            (r#"{"weights":[1,0]}"#, "invalid type"),
            (r#"{"refused":["denied","no"]}"#, "invalid type"),
            (r#"{"weights":{"blue":1}}"#, "missing field `green`"),
            (r#"{"weights":{"blue":1,"green":0,"red":0}}"#, "unknown field `red`"),
            (r#"{"weights":{"blue":-1,"green":0}}"#, "invalid value"),
            (r#"{"weights":{"blue":0.5,"green":0}}"#, "invalid type"),
            (r#"{"weights":{"blue":"1","green":0}}"#, "invalid type"),
            (r#"{"weights":{"blue":1000001,"green":0}}"#, "at most 1000000"),
            (r#"{"weights":{"blue":1,"green":0},"remark":[]}"#, "unknown field `remark`"),
            (r#"{"weights":{"blue":1,"green":0},"remarks":["a\u001b[2Kb"]}"#, "one line"),
            (r#"{"weights":{"blue":1,"green":0},"remarks":["\u202eb"]}"#, "one line"),
            (r#"{"weights":{"blue":1,"green":0},"refused":{"kind":"denied","why":"no"}}"#, "nothing else"),
            (r#"{"refused":{"kind":"no","why":"no"}}"#, "unknown variant"),
            (r#"{"refused":{"kind":"denied","why":""}}"#, "one line"),
            (r#"{"refused":{"kind":"drift","why":"moved"}}"#, "`found` belongs"),
            (r#"{"refused":{"kind":"denied","why":"no","found":{"blue":1,"green":0}}}"#, "`found` belongs"),
            (r#"{"refused":{"kind":"throttled","why":"busy","after_s":3601}}"#, "at most 3600"),
        ];
        for (text, words) in table {
            let why = read(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
        let refused = read(r#"{"refused":{"kind":"drift","why":"moved","found":{"blue":1,"green":1}}}"#);
        assert_eq!(refused.unwrap().unwrap_err().kind, Why::Drift);
    }

    #[test]
    fn what_cannot_be_is_no_answer() {
        let described = |change: &str| {
            let text = r#"{"bgctl_route":1,"line":"x","resources":["x"],"lands_within_s":1}"#;
            answer::<Described>(
                text.replacen(change.split('>').next().unwrap(), change.split('>').nth(1).unwrap(), 1).as_bytes(),
            )
        };
        assert!(described("x>x").is_ok());
        for (change, words) in [
            (r#""bgctl_route":1>"bgctl_route":2"#, "speaks version 2"),
            (r#"["x"]>[]"#, "at least one"),
            (r#""lands_within_s":1>"lands_within_s":4000"#, "at most 3600"),
            (r#""line":"x">"line":"a\nb""#, "one line"),
        ] {
            let why = described(change).unwrap_err();
            assert!(why.contains(words), "{change}: {why}");
        }
        assert!(answer::<Healthy>(br#"{"healthy":2,"total":1}"#).unwrap_err().contains("2 of 1"));
        assert!(
            answer::<Manual>(br#"{"command":" "}"#).is_err() && answer::<Manual>(br#"{"command":"a\rb"}"#).is_err()
        );
        let long = format!(r#"{{"weights":{{"blue":1,"green":0}},"state":"{}"}}"#, "x".repeat(STATE));
        assert!(answer::<Read>(long.as_bytes()).unwrap_err().contains("longer"));
    }
}
