//! The mask: finds every known secret in one pass over a text, whatever its form.

use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use zeroize::Zeroizing;

use super::forms::forms;
use super::{MASKED, Secret, TagKey, patterns};

/// Finds the known secrets, and what looks like one.
#[derive(Clone, Default)]
pub struct Mask {
    forms: Option<AhoCorasick>,
    /// All forms, sorted; beside each whose form it is.
    words: Arc<Vec<(Zeroizing<Vec<u8>>, usize)>>,
    /// Whether a form begins with this byte: most ends of a text are no beginning of anything.
    begins: Arc<[bool]>,
    secrets: Vec<Secret>,
    longest: usize,
    key: Option<TagKey>,
    /// What stands in the place of each secret.
    labels: Vec<String>,
}

impl Mask {
    pub fn new<'s>(secrets: impl Iterator<Item = &'s Secret>) -> Self {
        let secrets: Vec<Secret> = secrets.cloned().collect();
        let all =
            secrets.iter().enumerate().flat_map(|(n, secret)| forms(secret.expose()).into_iter().map(move |f| (f, n)));
        let mut words: Vec<(Zeroizing<Vec<u8>>, usize)> = all.collect();
        words.sort_by(|a, b| a.0[..].cmp(&b.0[..]));
        words.dedup_by(|b, a| a.0[..] == b.0[..]);
        let longest = words.iter().map(|(form, _)| form.len()).max().unwrap_or(0);
        let build =
            || AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(words.iter().map(|(f, _)| &f[..]));
        let forms =
            (!words.is_empty()).then(|| build().expect("BUG: secrets are far smaller than an automaton may be"));
        let labels = vec![MASKED.to_string(); secrets.len()];
        let begins = (0..=u8::MAX).map(|byte| words.iter().any(|(form, _)| form[0] == byte)).collect();
        let words = Arc::new(words);
        Mask { forms, words, begins, secrets, longest, key: None, labels }
    }

    pub fn tagged(mut self, key: TagKey) -> Self {
        self.labels = self.secrets.iter().map(|secret| key.tag(secret.expose().as_bytes())).collect();
        self.key = Some(key);
        self
    }

    /// The bytes without known secrets.
    pub fn bytes(&self, text: &[u8]) -> Vec<u8> {
        match &self.forms {
            None => text.to_vec(),
            Some(forms) => {
                let mut out = Vec::with_capacity(text.len());
                forms.replace_all_with_bytes(text, &mut out, |found, _, out| {
                    let (_, secret) = self.words[found.pattern().as_usize()];
                    out.extend_from_slice(self.labels[secret].as_bytes());
                    true
                });
                out
            }
        }
    }

    /// The text without known secrets.
    pub fn known(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    /// The text without known secrets and without what looks like a credential.
    pub fn all(&self, text: &str) -> String {
        self.unknown(&self.known(text))
    }

    /// The text without what looks like a credential.
    pub fn unknown(&self, text: &str) -> String {
        patterns::replace(text, |found| self.label(found))
    }

    /// What stands in the place of a value nobody told us about.
    pub fn label(&self, found: &str) -> String {
        self.key.as_ref().map_or_else(|| MASKED.to_string(), |key| key.tag(found.as_bytes()))
    }

    /// How many bytes from the front are final: what comes later cannot make them part of a secret.
    pub fn sure(&self, held: &[u8]) -> usize {
        let Some(forms) = &self.forms else { return held.len() };
        // The longest end that is the beginning of a form, and not yet all of it.
        let most = held.len().min(self.longest - 1);
        let begins = |end: &[u8]| {
            if !self.begins[usize::from(end[0])] {
                return false;
            }
            let at = self.words.partition_point(|(form, _)| &form[..] < end);
            self.words
                .get(at..)
                .into_iter()
                .flatten()
                .take_while(|(form, _)| form.starts_with(end))
                .any(|(f, _)| f.len() > end.len())
        };
        let open = (1..=most).rev().find(|len| begins(&held[held.len() - len..])).unwrap_or(0);
        let sure = held.len() - open;
        // Never cut inside a match. One that begins before the border is final: all it could grow to has been seen.
        match forms.find_iter(held).find(|found| found.start() < sure && sure < found.end()) {
            Some(found) => found.end(),
            None => sure,
        }
    }
}

/// The automaton holds the secrets, so it shows nothing.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;

    const KEY: &str = "p/ss w\u{f6}rd+\"x\"&y=7";

    fn mask() -> Mask {
        Mask::new([Secret::new(KEY), Secret::new("xoxb-1234567890-abcdef"), Secret::new("short")].iter())
    }

    #[test]
    fn every_usual_form_is_masked() {
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        let mask = mask();
        let hex: String = KEY.bytes().map(|b| format!("{b:02x}")).collect();
        let mut texts = vec![
            KEY.to_string(),
            hex.to_uppercase(),
            hex,
            "p%2Fss%20w%C3%B6rd%2B%22x%22%26y%3D7".into(),
            "p%2Fss+w%C3%B6rd%2B%22x%22%26y%3D7".into(),
            serde_json::to_string(KEY).unwrap(),
            format!("{KEY:?}"),
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
            let masked = mask.known(&format!("before {text} after"));
            assert!(masked.contains(MASKED) && masked.starts_with("before ") && masked.ends_with(" after"), "{text}");
            // Of base64 up to four characters at the ends belong to the neighbours too.
            assert!(masked.len() < "before  after".len() + MASKED.len() + 12, "{text} -> {masked}");
        }
        assert_eq!(mask.known("short is no secret to look for"), "short is no secret to look for");
        assert_eq!(format!("{mask:?}"), "***");
    }

    #[test]
    fn no_size_of_the_pieces_lets_a_secret_through() {
        let mask = mask();
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("ab{KEY}"));
        let text: String = (0..20)
            .map(|n| {
                let secret = [KEY, "xoxb-1234567890-abcdef", &encoded, "xoxb-1234567890-abcde"][n % 4];
                format!("{}{secret}{}", ".".repeat(211 + n), if n % 3 == 0 { secret } else { "" })
            })
            .collect();
        let whole = mask.bytes(text.as_bytes());
        assert!(text.len() > 4096 && !String::from_utf8_lossy(&whole).contains(KEY));
        for size in 1..=4096 {
            let (mut held, mut out) = (Vec::new(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                held.extend_from_slice(piece);
                let rest = held.split_off(mask.sure(&held));
                out.extend(mask.bytes(&held));
                held = rest;
            }
            out.extend(mask.bytes(&held));
            assert!(out == whole, "pieces of {size} bytes");
        }
    }

    #[test]
    fn one_secret_has_one_tag_in_all_its_forms() {
        let mask = mask().tagged(TagKey::of_run(&[1; 32], "bot", "run"));
        let plain = mask.all(KEY);
        let encoded = mask.all("p%2Fss%20w%C3%B6rd%2B%22x%22%26y%3D7");
        assert_eq!(plain, encoded);
        assert_ne!(plain, mask.all("xoxb-1234567890-abcdef"));
        assert_eq!(mask.all(&plain), plain, "masking twice changes nothing");
    }
}
