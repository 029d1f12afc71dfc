//! What a signature was made for, when it does not fit the request it was given for: each case in its own words.

use jiff::Timestamp;
use serde_json::Value;

/// What `signed` (found at `place`) is, seen from the request that is `asked`.
pub fn words(place: &str, signed: &str, asked: &str) -> String {
    let (Ok(signed), Ok(asked)) = (serde_json::from_str::<Value>(signed), serde_json::from_str::<Value>(asked)) else {
        return format!("it signs `{place}`, which is not a request");
    };
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or("?").to_string();
    let differs = |name: &str| signed[name] != asked[name];
    let mut found = Vec::new();
    if differs("run") {
        found.push(format!("it is for run {}, not for {}", text(&signed, "run"), text(&asked, "run")));
    }
    if differs("step") {
        found.push(format!("it is for step `{}`, not for `{}`", text(&signed, "step"), text(&asked, "step")));
    } else if differs("params") {
        found.push(format!("it is for other weights: {}; asked is {}", weights(&signed), weights(&asked)));
    }
    if differs("plan_sha256") {
        let short = |value: &Value| text(value, "plan_sha256").chars().take(12).collect::<String>();
        found.push(format!("it is for another plan ({}…, not {}…)", short(&signed), short(&asked)));
    }
    if found.is_empty() && (differs("nonce") || differs("expires")) {
        let when = signed["expires"].as_i64().and_then(|at| Timestamp::from_second(at).ok());
        let when = when.map_or(String::new(), |at| format!(", which expired at {at}"));
        found.push(format!("it is for an earlier request of this step{when}"));
    }
    if found.is_empty() {
        let members = signed.as_object().into_iter().flatten().chain(asked.as_object().into_iter().flatten());
        let mut names: Vec<&str> = members.map(|(name, _)| name.as_str()).filter(|name| differs(name)).collect();
        names.sort_unstable();
        names.dedup();
        found.push(format!("the text that was signed is not the request: `{}` was changed", names.join("`, `")));
    }
    format!("{} (from {place})", found.join("; "))
}

/// `web BLUE 0 GREEN 100`.
fn weights(request: &Value) -> String {
    let params = &request["params"];
    let side = |name: &str| params["after"][name].as_u64().map_or("?".into(), |n| n.to_string());
    format!("{} BLUE {} GREEN {}", params["route"].as_str().unwrap_or("?"), side("blue"), side("green"))
}

#[cfg(test)]
mod tests {
    use super::words;

    const ASKED: &str = r#"{"expires":200,"nonce":"aa","params":{"after":{"blue":0,"green":100},"route":"web"},"plan_sha256":"1111111111111111","run":"R2","step":"shift-100","summary":"all"}"#;

    #[test]
    fn each_difference_has_its_own_words() {
        for (from, to, said) in [
            ("\"R2\"", "\"R1\"", "it is for run R1, not for R2 (from there)"),
            (
                "1111111111111111",
                "2222222222222222",
                "it is for another plan (222222222222…, not 111111111111…) (from there)",
            ),
            (
                "\"green\":100",
                "\"green\":50",
                "it is for other weights: web BLUE 0 GREEN 50; asked is web BLUE 0 GREEN 100 (from there)",
            ),
            ("shift-100", "shift-50", "it is for step `shift-50`, not for `shift-100` (from there)"),
            (
                "\"aa\"",
                "\"bb\"",
                "it is for an earlier request of this step, which expired at 1970-01-01T00:03:20Z (from there)",
            ),
            ("\"all\"", "\"some\"", "the text that was signed is not the request: `summary` was changed (from there)"),
        ] {
            assert_eq!(words("there", &ASKED.replace(from, to), ASKED), said);
        }
    }
}
