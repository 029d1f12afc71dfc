//! Secrets: values that cannot be printed by accident, and the mask that keeps them out of every text we write.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// A secret value. It has no `Display`, and `Debug` shows three stars.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Secret(Zeroizing::new(value.into()))
    }

    /// The value itself; the name says that the caller takes care.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The secrets of one run by reference (`${env:NAME}`), resolved once, before anything moves.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    values: BTreeMap<String, Secret>,
    mask: Mask,
}

impl Secrets {
    pub fn new(values: BTreeMap<String, Secret>) -> Self {
        let mask = Mask::new(values.values());
        Secrets { values, mask }
    }

    /// The text with every `${…}` reference replaced. Compile has made sure that all are known.
    pub fn resolve(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(len) = rest[start..].find('}') else { break };
            let reference = &rest[start..=start + len];
            out.push_str(&rest[..start]);
            out.push_str(self.values.get(reference).map_or(reference, |s| s.expose()));
            rest = &rest[start + len + 1..];
        }
        out.push_str(rest);
        out
    }

    /// The text with every secret replaced by `[secret]`, whichever usual form it takes.
    pub fn mask(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.mask.bytes(text.as_bytes())).into_owned()
    }

    /// A mask for output that comes in pieces.
    pub fn stream(&self) -> Masking {
        Masking { mask: self.mask.clone(), held: Vec::new() }
    }
}

/// What stands where a secret stood.
const MASKED: &str = "[secret]";
/// Secrets and forms shorter than this are not looked for: they would mask half of every text.
const LEAST: usize = 6;

/// Finds every secret in every form in which programs usually print one: as it is, in hex, %-encoded, escaped for JSON, and
/// inside base64 at each of its three positions, in both alphabets.
#[derive(Clone, Default)]
struct Mask {
    forms: Option<AhoCorasick>,
    longest: usize,
}

impl Mask {
    fn new<'s>(secrets: impl Iterator<Item = &'s Secret>) -> Self {
        let mut all: Vec<Zeroizing<Vec<u8>>> = secrets.flat_map(|secret| forms(secret.expose())).collect();
        all.sort_by(|a, b| a[..].cmp(&b[..]));
        all.dedup();
        let longest = all.iter().map(|form| form.len()).max().unwrap_or(0);
        let build = || AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(all.iter().map(|f| &f[..]));
        let forms = (!all.is_empty()).then(|| build().expect("BUG: secrets are far smaller than an automaton may be"));
        Mask { forms, longest }
    }

    fn bytes(&self, text: &[u8]) -> Vec<u8> {
        match &self.forms {
            None => text.to_vec(),
            Some(forms) => {
                let mut out = Vec::with_capacity(text.len());
                forms.replace_all_with_bytes(text, &mut out, |_, _, out| {
                    out.extend_from_slice(MASKED.as_bytes());
                    true
                });
                out
            }
        }
    }
}

/// The automaton holds the secrets, so it shows nothing.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Masks a stream: holds back what may be the beginning of a secret until its end is seen.
pub struct Masking {
    mask: Mask,
    held: Vec<u8>,
}

impl Masking {
    /// Takes the next piece and gives what is sure by now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let Some(forms) = &self.mask.forms else { return std::mem::take(&mut self.held) };
        let keep = self.mask.longest - 1;
        let mut sure = self.held.len().saturating_sub(keep);
        // Never cut inside a match. One that begins before the border is final: all it could grow to has been seen.
        if let Some(found) = forms.find_iter(&self.held).find(|found| found.start() < sure && sure < found.end()) {
            sure = found.end();
        }
        let rest = self.held.split_off(sure);
        let out = self.mask.bytes(&self.held);
        self.held = rest;
        out
    }

    /// Gives the rest.
    pub fn finish(&mut self) -> Vec<u8> {
        let out = self.mask.bytes(&self.held);
        self.held.clear();
        out
    }
}

fn forms(secret: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let bytes = secret.as_bytes();
    if bytes.len() < LEAST {
        return Vec::new();
    }
    let mut forms = vec![bytes.to_vec()];
    // A value with several lines is often printed line by line.
    forms.extend(secret.lines().map(|line| line.as_bytes().to_vec()));
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    forms.push(hex.to_uppercase().into_bytes());
    forms.push(hex.into_bytes());
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    for (keep, plus, upper) in
        [(&b""[..], false, true), (b"", false, false), (b"", true, true), (b"*", true, true), (b"/", false, true)]
    {
        let mut text = String::new();
        for b in bytes {
            match *b {
                b' ' if plus => text.push('+'),
                b if unreserved(b) || keep.contains(&b) => text.push(char::from(b)),
                b if upper => text.push_str(&format!("%{b:02X}")),
                b => text.push_str(&format!("%{b:02x}")),
            }
        }
        forms.push(text.into_bytes());
    }
    let json = serde_json::to_string(secret).expect("BUG: a text is JSON");
    let inner = &json[1..json.len() - 1];
    forms.push(inner.as_bytes().to_vec());
    forms.push(inner.replace('/', "\\/").into_bytes());
    let ascii: String = inner.chars().fold(String::new(), |mut out, c| {
        match c {
            ' '..='~' => out.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
        out
    });
    forms.push(ascii.into_bytes());
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for before in 0..3 {
            let mut shifted = vec![0; before];
            shifted.extend_from_slice(bytes);
            let text = engine.encode(&shifted);
            // The first and last characters depend on what stands around the secret.
            let (start, end) = ([0, 2, 3][before], shifted.len() * 8 / 6);
            forms.push(text.as_bytes()[start..end].to_vec());
        }
    }
    forms.into_iter().filter(|form| form.len() >= LEAST).map(Zeroizing::new).collect()
}

/// Characters a terminal would act on or not show: control characters, and those that change the direction or are invisible.
pub fn hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// The text as it may stand on a terminal: what [`hidden`] names is written out, so no output can imitate a line of bgctl.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| hidden(c) && c != '\t') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' => out.push('\t'),
            c if hidden(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "p/ss w\u{f6}rd+\"x\"&y=7";

    fn secrets() -> Secrets {
        let of = |(name, value): (&str, &str)| (name.to_string(), Secret::new(value));
        Secrets::new([("${env:A}", KEY), ("${env:B}", "xoxb-1234567890-abcdef"), ("${env:C}", "short")].map(of).into())
    }

    #[test]
    fn every_usual_form_is_masked() {
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        let secrets = secrets();
        let hex: String = KEY.bytes().map(|b| format!("{b:02x}")).collect();
        let mut texts = vec![
            KEY.to_string(),
            hex.to_uppercase(),
            hex,
            "p%2Fss%20w%C3%B6rd%2B%22x%22%26y%3D7".into(),
            "p%2Fss+w%C3%B6rd%2B%22x%22%26y%3D7".into(),
            serde_json::to_string(KEY).unwrap(),
            r#"p\/ss w\u00f6rd+\"x\"&y=7"#.replace("\\u00f6", "ö"),
            r#"p/ss w\u00f6rd+\"x\"&y=7"#.into(),
        ];
        for before in ["", "a", "ab", "abc"] {
            for after in ["", "z", "zz"] {
                texts.push(STANDARD.encode(format!("{before}{KEY}{after}")));
                texts.push(URL_SAFE.encode(format!("{before}{KEY}{after}")));
            }
        }
        for text in texts {
            let masked = secrets.mask(&format!("before {text} after"));
            assert!(masked.contains(MASKED) && masked.starts_with("before ") && masked.ends_with(" after"), "{text}");
            // Of base64 up to four characters at the ends belong to the neighbours too.
            assert!(masked.len() < "before  after".len() + MASKED.len() + 12, "{text} -> {masked}");
        }
        assert_eq!(secrets.mask("short is no secret to look for"), "short is no secret to look for");
        assert_eq!(format!("{secrets:?}").matches(KEY).count(), 0);
    }

    #[test]
    fn what_a_terminal_would_act_on_is_written_out() {
        assert_eq!(visible("plain \t text"), "plain \t text");
        assert_eq!(visible("\u{1b}[2K\u{202e}x\r"), "\\u{1b}[2K\\u{202e}x\\u{d}");
    }

    proptest! {
        #[test]
        fn a_stream_masks_like_a_whole_text(
            parts in prop::collection::vec(prop_oneof![Just(KEY.to_string()), Just("xoxb-1234567890-abcdef".into()), "[a-z/ x-]{0,12}"], 0..8),
            size in 1usize..40,
        ) {
            let secrets = secrets();
            let text = parts.concat();
            let mut stream = secrets.stream();
            let mut out: Vec<u8> = text.as_bytes().chunks(size).flat_map(|piece| stream.push(piece)).collect();
            out.extend(stream.finish());
            prop_assert_eq!(String::from_utf8(out).unwrap(), secrets.mask(&text));
        }
    }
}
