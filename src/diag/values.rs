//! Sorts of values that several kinds take, each with one judge, so that the same text is good or bad wherever it is written.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::Review;

/// The longest name of a header that is sent or looked for.
const LONGEST_NAME: usize = 100;
/// The longest value of a header.
const LONGEST_VALUE: usize = 4096;
/// The longest name of DNS (RFC 1035, 2.3.4), and the longest label of one.
const LONGEST_HOST: usize = 253;
const LONGEST_LABEL: usize = 63;
/// The longest name that somebody gives a thing of theirs.
const LONGEST_THING: usize = 255;
/// What a request needs for itself.
const RESERVED: [&str; 5] = ["connection", "content-length", "content-type", "transfer-encoding", "upgrade"];

/// A name of a header, as HTTP spells one (RFC 9110, 5.6.2).
pub fn is_header(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(token)
}

/// The name of a host: labels of letters, digits, `-` and `_`. One that ends in a number is an address, or none.
pub fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.chars().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= LONGEST_HOST && name.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// The name of a host with the domain that it is in.
pub fn is_whole_name(text: &str) -> bool {
    is_host(text) && text.trim_end_matches('.').contains('.')
}

/// Host and port of a server, `192.0.2.53`, `[2001:db8::53]:5353` or `ns1.example.com:53`; `port` where it says none.
pub fn server(text: &str, port: Option<u16>) -> Option<(String, u16)> {
    let known = |(host, port): (String, u16)| (port > 0).then_some((host, port));
    if let Ok(address) = text.parse::<SocketAddr>() {
        return known((address.ip().to_string(), address.port()));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return known((address.to_string(), port?));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, port?),
    };
    known((host.into(), port)).filter(|_| is_host(host))
}

/// A region of AWS by its form: `us-east-1`, `us-gov-west-1`.
pub fn is_region(text: &str) -> bool {
    let word = |part: &&str| (2..=9).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase());
    let number = |part: &str| part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit()) && !part.starts_with('0');
    let parts: Vec<&str> = text.split('-').collect();
    let Some((last, words)) = parts.split_last() else { return false };
    (2..=3).contains(&words.len()) && words.iter().all(word) && words[0].len() <= 4 && !last.is_empty() && number(last)
}

/// The name that somebody gave a thing of theirs: a cluster, a route, a node.
pub fn is_thing(text: &str) -> bool {
    (1..=LONGEST_THING).contains(&text.len()) && text.trim() == text && !text.contains(char::is_control)
}

impl Review {
    /// The name of a thing.
    pub fn thing(&mut self, at: &str, name: &str) {
        if !is_thing(name) {
            let help = format!("one has 1 to {LONGEST_THING} characters, without blanks around it");
            self.wrong(at, format!("`{}` is not a name", shortened(name)), Some(&help));
        }
    }

    /// A region of AWS.
    pub fn region(&mut self, at: &str, text: &str) {
        if !is_region(text) {
            let help = "write it as AWS does, such as `us-east-1`";
            self.wrong(at, format!("`{}` is no region of AWS", shortened(text)), Some(help));
        }
    }

    /// The name of a header.
    pub fn header(&mut self, at: &str, name: &str) {
        if !is_header(name) {
            let help = format!("one has 1 to {LONGEST_NAME} letters, digits and hyphens, such as `x-bot-version`");
            self.wrong(at, format!("`{}` is no name of a header", shortened(name)), Some(&help));
        }
    }

    /// Headers that are sent along. A value may be a reference, whose content is not known here.
    pub fn headers(&mut self, at: &str, headers: &BTreeMap<String, String>) {
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in headers {
            let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            let lower = name.to_ascii_lowercase();
            self.header(&at, name);
            if RESERVED.contains(&lower.as_str()) {
                self.wrong(&at, format!("`{name}` is what a request says of itself"), Some("leave it out"));
            }
            if seen.contains(&lower) {
                self.wrong(&at, format!("`{name}` is there twice: headers do not differ by case"), None);
            }
            if value.len() > LONGEST_VALUE || !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
                let help = format!("one has at most {LONGEST_VALUE} characters of ASCII, on one line");
                self.wrong(&at, format!("the value of `{name}` is none of a header"), Some(&help));
            }
            seen.push(lower);
        }
    }
}

/// What a person needs of a text to find it.
fn shortened(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{}{more}", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_a_server_a_region_and_a_name_are_judged_alike_everywhere() {
        let label = "x".repeat(64);
        for good in
            ["bot.example.com", "bot.example.com.", "ns1", "_dmarc.example.com", "1.example.com", "xn--bcher-kva.ch"]
        {
            assert!(is_host(good), "{good}");
        }
        let long = vec!["abcdefghi"; 26].join(".");
        for bad in ["", ".", "999.1.1.1", "10", "a..b", "-a.com", "a-.com", "a b.com", "a.com/x", &label, &long] {
            assert!(!is_host(bad), "{bad}");
        }
        assert!(is_whole_name("bot.example.com") && !is_whole_name("bot") && !is_whole_name("bot."));
        for (text, port, wanted) in [
            ("192.0.2.53", Some(53), Some(("192.0.2.53", 53))),
            ("2001:db8::53", Some(53), Some(("2001:db8::53", 53))),
            ("[2001:db8::53]:5353", None, Some(("2001:db8::53", 5353))),
            ("ns1.example.com:5353", None, Some(("ns1.example.com", 5353))),
            ("ns1", Some(53), Some(("ns1", 53))),
            ("999.1.1.1", Some(53), None),
            ("192.0.2.300:53", None, None),
            ("192.0.2.53:0", None, None),
            ("192.0.2.53", None, None),
            ("ns1:70000", None, None),
            ("ns1:53:53", None, None),
            ("user@ns1:53", None, None),
        ] {
            assert_eq!(server(text, port), wanted.map(|(host, port)| (host.into(), port)), "{text}");
        }
        for good in
            ["us-east-1", "us-gov-west-1", "cn-northwest-1", "ap-southeast-7", "us-isob-east-1", "eusc-de-east-1"]
        {
            assert!(is_region(good), "{good}");
        }
        for bad in [
            "",
            "-",
            "us",
            "us-east",
            "us-east-",
            "us-east-1a",
            "us-east-0",
            "us-east-100",
            "US-EAST-1",
            "east-1",
            "----1",
        ] {
            assert!(!is_region(bad), "{bad}");
        }
        assert!(is_thing("bot blue") && is_thing(&"x".repeat(LONGEST_THING)));
        for bad in ["", " ", " blue", "blue\n", &"x".repeat(5000)] {
            assert!(!is_thing(bad), "{bad}");
        }
        let mut review = Review::default();
        review.thing("/blue", &"x".repeat(5000));
        assert!(review.0[0].message.len() < 100, "nobody reads a name of 5,000 characters");
    }

    #[test]
    fn headers_are_those_of_http() {
        let said = |name: &str, value: &str| {
            let mut review = Review::default();
            review.headers("/headers", &[(name.to_string(), value.to_string())].into());
            review.0.into_iter().map(|m| format!("{} {}", m.at, m.message)).collect::<Vec<_>>()
        };
        let long = "x".repeat(LONGEST_NAME + 1);
        for (name, value) in [("x-stack", "green"), ("Authorization", "${env:EDGE_LOGIN}"), ("x", ""), ("host", "a b")]
        {
            assert_eq!(said(name, value), [""; 0], "{name}: {value}");
        }
        for (name, value, words) in [
            ("", "green", "/headers/ `` is no name of a header"),
            ("x stack", "green", "/headers/x stack `x stack` is no name"),
            ("x/stack", "green", "/headers/x~1stack `x/stack` is no name"),
            ("x\r\ny", "green", r"`x\r\ny` is no name"),
            (long.as_str(), "green", "is no name of a header"),
            ("Content-Length", "0", "is what a request says of itself"),
            ("x-stack", "green\r\nx-admin: yes", "/headers/x-stack the value of `x-stack` is none of a header"),
            ("x-stack", "grün", "is none of a header"),
        ] {
            let found = said(name, value);
            assert!(found.len() == 1 && found[0].contains(words), "{name}: {found:?}");
        }
        let mut review = Review::default();
        review.headers("", &["X-Stack", "x-stack"].map(|name| (name.to_string(), "green".to_string())).into());
        assert!(review.0.len() == 1 && review.0[0].message.contains("twice"), "{:?}", review.0);
    }
}
