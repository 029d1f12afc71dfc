//! Text formats of the schema: each name with the function that says what is wrong with a text.

use crate::plan::Principal;
use crate::scalar::{Duration, Limit, Margin, Percent};

/// What is wrong with a text of this format; `None` for a good text or a format nobody here knows.
pub fn complaint(format: &str, text: &str) -> Option<String> {
    match format {
        "duration" => Duration::parse(text).err(),
        "percent" => Percent::parse(text).err(),
        "limit" => Limit::parse(text).err(),
        "margin" => Margin::parse(text).err(),
        "name" => name(text),
        "principal" => Principal::parse(text).err(),
        "path" => (!text.starts_with('/')).then(|| format!("`{text}` is not a path; begin it with a slash")),
        "http-url" => http_url(text),
        _ => None,
    }
}

/// What to write for a text that lacks only its unit.
pub fn cure(format: &str, text: &str) -> Option<String> {
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match format {
        "duration" if bare => Some(format!("write `{text}m` for minutes, `{text}s` for seconds")),
        "percent" if text.parse::<f64>().is_ok_and(|n| (0.0..=100.0).contains(&n)) => Some(format!("write `{text}%`")),
        "principal" => Some("write an address, as the allowed signers have it: `you@example.com`".into()),
        "duration" => Some("write `90s`, `5m` or `1h30m`".into()),
        "percent" => Some("write a share from `0%` to `100%`, in steps of `0.1%`".into()),
        _ => None,
    }
}

/// A name of a service or an environment, as a command line takes it.
pub fn named(text: &str) -> Result<String, String> {
    name(text).map_or_else(|| Ok(text.into()), Err)
}

fn name(text: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    (!first || text.len() > 64 || !text.chars().all(good))
        .then(|| format!("`{text}` is not a name; take letters, digits, `-`, `_` and `.`, at most 64"))
}

fn http_url(text: &str) -> Option<String> {
    let wrong = || Some(format!("`{text}` is not an address; write `http://host:port` or `https://host`"));
    let Ok(url) = reqwest::Url::parse(text) else { return wrong() };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return wrong();
    }
    if url.password().is_some() {
        return Some("a password in an address is a secret in clear text".into());
    }
    None
}
