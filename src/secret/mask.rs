//! The mask: finds every known secret in one pass over a text, whatever its form.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use aho_corasick::{AhoCorasick, MatchKind};
use zeroize::Zeroizing;

use super::forms::forms;
use super::patterns::{self, Reading};
use super::wraps::{Unwrapped, wrapped};
use super::{LEAST, MASKED, Secret, TagKey};

/// A word of so many bytes without a blank, at the end of a line, may go on in the next.
const WORD: usize = 32;
/// Beginnings of forms are looked up by so many bytes.
const HEAD: usize = 4;

/// Finds the known secrets, and what looks like one.
#[derive(Clone, Default)]
pub struct Mask {
    secrets: Vec<Secret>,
    key: Option<TagKey>,
    /// What stands in the place of each secret.
    labels: Vec<String>,
    /// Made when it is first needed: a process learns its secrets bit by bit.
    forms: Arc<OnceLock<Forms>>,
}

/// All forms of all secrets.
struct Forms {
    automaton: AhoCorasick,
    /// Sorted; beside each whose form it is.
    words: Vec<(Zeroizing<Vec<u8>>, usize)>,
    /// Which first bytes a form has, as bits of their hash: most ends of a text are no beginning of anything.
    heads: Vec<u64>,
    longest: usize,
}

impl Forms {
    fn of(secrets: &[Secret]) -> Self {
        let all =
            secrets.iter().enumerate().flat_map(|(n, secret)| forms(secret.expose()).into_iter().map(move |f| (f, n)));
        let mut words: Vec<(Zeroizing<Vec<u8>>, usize)> = all.collect();
        words.sort_by(|a, b| a.0[..].cmp(&b.0[..]));
        words.dedup_by(|b, a| a.0[..] == b.0[..]);
        let longest = words.iter().map(|(form, _)| form.len()).max().unwrap_or(0);
        let automaton =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(words.iter().map(|(f, _)| &f[..]));
        let automaton = automaton.expect("BUG: secrets are far smaller than an automaton may be");
        let mut heads = vec![0; 1 << 14];
        for (form, _) in &words {
            let bit = head(form);
            heads[bit / 64] |= 1 << (bit % 64);
        }
        Forms { automaton, words, heads, longest }
    }

    /// Whether this end of a text is the beginning of a form, and not yet all of it.
    fn begins(&self, end: &[u8]) -> bool {
        if end.len() >= HEAD {
            let bit = head(end);
            if self.heads[bit / 64] & (1 << (bit % 64)) == 0 {
                return false;
            }
        }
        let at = self.words.partition_point(|(form, _)| &form[..] < end);
        let open = self.words[at..].iter().take_while(|(form, _)| form.starts_with(end));
        open.take(2).any(|(form, _)| form.len() > end.len())
    }

    /// The longest end that is such a beginning.
    fn open(&self, text: &[u8]) -> usize {
        let most = text.len().min(self.longest.saturating_sub(1));
        (1..=most).rev().find(|len| self.begins(&text[text.len() - len..])).unwrap_or(0)
    }
}

fn head(bytes: &[u8]) -> usize {
    let head: [u8; HEAD] = bytes[..HEAD].try_into().expect("BUG: forms and ends are longer");
    (u32::from_le_bytes(head).wrapping_mul(0x9e37_79b1) >> 12) as usize
}

impl Mask {
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let secrets: Vec<Secret> = secrets.into_iter().collect();
        let labels = vec![MASKED.to_string(); secrets.len()];
        Mask { secrets, key: None, labels, forms: Arc::default() }
    }

    pub fn tagged(mut self, key: TagKey) -> Self {
        self.labels = self.secrets.iter().map(|secret| key.tag(secret.expose().as_bytes())).collect();
        self.key = Some(key);
        self
    }

    fn forms(&self) -> Option<&Forms> {
        let any = self.secrets.iter().any(|secret| secret.expose().len() >= LEAST);
        any.then(|| self.forms.get_or_init(|| Forms::of(&self.secrets)))
    }

    /// Where known secrets stand, and which; none over another.
    fn found(&self, text: &[u8]) -> Vec<(Range<usize>, usize)> {
        let Some(forms) = self.forms() else { return Vec::new() };
        let whose = |found: aho_corasick::Match| (found.range(), forms.words[found.pattern().as_usize()].1);
        let mut all: Vec<(Range<usize>, usize)> = forms.automaton.find_iter(text).map(whose).collect();
        if wrapped(text) {
            let whole = Unwrapped::of(text);
            let found = forms.automaton.find_iter(&whole.bytes).map(whose);
            all.extend(found.map(|(span, secret)| (whole.place(span.start)..whole.place(span.end - 1) + 1, secret)));
            all.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
            all.dedup_by(|next, first| {
                let over = next.0.start < first.0.end;
                if over {
                    first.0.end = first.0.end.max(next.0.end);
                }
                over
            });
        }
        all
    }

    /// Which of the secrets stand in a text.
    pub fn stands(&self, text: &str) -> Vec<&Secret> {
        let mut found: Vec<usize> = self.found(text.as_bytes()).into_iter().map(|(_, secret)| secret).collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|n| &self.secrets[n]).collect()
    }

    /// The bytes without known secrets.
    pub fn bytes(&self, text: &[u8]) -> Vec<u8> {
        self.without(text, self.found(text))
    }

    fn without(&self, text: &[u8], found: Vec<(Range<usize>, usize)>) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut from = 0;
        for (span, secret) in found {
            out.extend_from_slice(&text[from..span.start]);
            out.extend_from_slice(self.labels[secret].as_bytes());
            from = span.end;
        }
        out.extend_from_slice(&text[from..]);
        out
    }

    /// Takes from the front of a text that goes on what is final, and gives it without known secrets.
    pub fn front(&self, held: &mut Vec<u8>) -> Vec<u8> {
        let mut found = self.found(held);
        let mut sure = self.sure(held);
        // Never cut inside a match. One that begins before the border is final: all it could grow to has been seen.
        found.retain(|(span, _)| span.start < sure);
        sure = found.last().map_or(sure, |(span, _)| span.end.max(sure));
        let rest = held.split_off(sure);
        let front = std::mem::replace(held, rest);
        self.without(&front, found)
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
        patterns::replace(text, Reading::Prose, |found| self.label(found))
    }

    /// What stands in the place of a value nobody told us about.
    pub fn label(&self, found: &str) -> String {
        self.key.as_ref().map_or_else(|| MASKED.to_string(), |key| key.tag(found.as_bytes()))
    }

    /// Up to where nothing begins that may become a secret with what comes later.
    fn sure(&self, held: &[u8]) -> usize {
        let Some(forms) = self.forms() else { return held.len() };
        let sure = held.len() - forms.open(held);
        if !wrapped(held) {
            return sure;
        }
        let whole = Unwrapped::of(held);
        let open = forms.open(&whole.bytes);
        if open == 0 {
            return sure;
        }
        // A line is handed on when it is whole, unless its last word goes on in the next by the look of it.
        let at_end = whole.place(whole.bytes.len() - 1) == held.len() - 1;
        let goes_on = at_end || open >= LEAST || word(&whole.bytes) >= WORD;
        if goes_on { sure.min(whole.place(whole.bytes.len() - open)) } else { sure }
    }
}

/// How long the last word is, if it is one that an encoder could have written.
fn word(text: &[u8]) -> usize {
    text.iter().rev().take_while(|b| b.is_ascii_alphanumeric() || b"+/=-_%".contains(b)).count()
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
        Mask::new([Secret::new(KEY), Secret::new("xoxb-1234567890-abcdef"), Secret::new("short")])
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

    /// One encoder as tools have it; written here with other means than the forms are.
    type Encoder = (&'static str, fn(&[u8]) -> Vec<u8>);
    const ENCODERS: [Encoder; 7] = [
        ("base64", |b| base64::engine::general_purpose::STANDARD.encode(b).into_bytes()),
        ("base64url", |b| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([b"ab", b].concat()).into_bytes()),
        ("hex", |b| b.iter().map(|b| format!("{b:02x}")).collect::<String>().into_bytes()),
        ("url", |b| {
            let one = |b: &u8| match b {
                b if b.is_ascii_alphanumeric() || b"-._~".contains(b) => char::from(*b).to_string(),
                b => format!("%{b:02X}"),
            };
            b.iter().map(one).collect::<String>().into_bytes()
        }),
        ("json", |b| serde_json::to_vec(&String::from_utf8_lossy(b)).expect("JSON")),
        ("html", |b| {
            let one = |c: char| match c {
                '&' => "&amp;".to_string(),
                '<' => "&lt;".into(),
                '>' => "&gt;".into(),
                '"' => "&quot;".into(),
                '\'' => "&#39;".into(),
                c => c.to_string(),
            };
            String::from_utf8_lossy(b).chars().map(one).collect::<String>().into_bytes()
        }),
        ("plain", <[u8]>::to_vec),
    ];

    fn wraps(text: &[u8], columns: usize, end: &[u8]) -> Vec<u8> {
        text.chunks(columns).collect::<Vec<_>>().join(end)
    }

    #[test]
    fn what_encoders_do_twice_and_break_into_lines_is_masked_too() {
        const VALUE: &str = "K/ey<0123>+\"&=\\nine-of-diamonds-and-some-more-of-it";
        let mask = Mask::new([Secret::new(VALUE)]);
        let mut tried = 0;
        for (outer, twice) in ENCODERS {
            for (inner, once) in ENCODERS {
                let text = twice(&once(VALUE.as_bytes()));
                for columns in [usize::MAX, 76, 64, 40] {
                    for end in [&b"\n"[..], b"\r\n    ", b"\\n"] {
                        let text = wraps(&text, columns, end);
                        let masked = mask.bytes(&text);
                        let said = format!("{outer} of {inner} at {columns}: {}", String::from_utf8_lossy(&masked));
                        // What is left is an encoder's own: quotes, padding, and characters that belong to neighbours too.
                        assert!(masked.len() <= MASKED.len() + 24, "{said}");
                        tried += 1;
                        // In pieces, as a pipe hands it on.
                        let mut output = crate::secret::Output::new(mask.clone());
                        let mut lines = String::new();
                        let long = [b"x y z ", &text[..], b" and so on\n"].concat();
                        long.chunks(7).for_each(|piece| output.push(piece, &mut |line| lines.push_str(line)));
                        output.finish(&mut |line| lines.push_str(line));
                        assert!(
                            lines.len() <= "x y z  and so on".len() + MASKED.len() + 32,
                            "{said} in pieces: {lines}"
                        );
                    }
                }
            }
        }
        assert_eq!(tried, 7 * 7 * 4 * 3);
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
                out.extend(mask.front(&mut held));
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
