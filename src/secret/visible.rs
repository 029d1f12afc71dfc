//! What a terminal may be shown of a text that came from outside.

use std::borrow::Cow;

/// Characters a terminal would act on or not show: control characters, and those that change the direction, are invisible, or
/// are drawn as blanks.
pub fn hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
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

    #[test]
    fn what_a_terminal_would_act_on_is_written_out() {
        assert_eq!(visible("plain \t text"), "plain \t text");
        assert_eq!(visible("\u{1b}[2K\u{202e}x\r"), "\\u{1b}[2K\\u{202e}x\\u{d}");
        assert_eq!(visible("a\u{e0041}\u{ad}b"), "a\\u{e0041}\\u{ad}b");
    }
}
