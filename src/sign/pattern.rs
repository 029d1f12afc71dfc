//! OpenSSH's pattern lists, for principals and namespaces.

/// Whether a name fits a list: `*`, `?`, and `!` in front, which wins.
pub(super) fn listed(patterns: &[String], name: &str) -> bool {
    let hit = |pattern: &str| wild(pattern.as_bytes(), name.as_bytes());
    let refused = patterns.iter().filter_map(|p| p.strip_prefix('!')).any(hit);
    !refused && patterns.iter().filter(|p| !p.starts_with('!')).any(|p| hit(p))
}

/// Whether a pattern fits more than its own text.
pub(super) fn is_open(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// Walks both at once and remembers the last star: no recursion, so no pattern can make it slow.
fn wild(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    n = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_openssh() {
        let list = |text: &str| text.split(',').map(String::from).collect::<Vec<_>>();
        for (patterns, name, fits) in [
            ("*@example.com", "rm@example.com", true),
            ("*@example.com", "rm@example.org", false),
            ("!eve@example.com,*@example.com", "eve@example.com", false),
            ("bgctl-*", "bgctl-open-v1", true),
            ("bgctl-*", "git", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
        ] {
            assert_eq!(listed(&list(patterns), name), fits, "{patterns} {name}");
        }
    }
}
