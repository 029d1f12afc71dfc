//! Anchors as a person names them on a command line: `file:DIR`, `git:REF`, `slack:CHANNEL`, `rfc3161:URL`.

use crate::policy::{Anchor, GitAnchor, Rfc3161Anchor, SlackAnchor};

/// Reads the name of a place; a path alone is a folder. `ca` is the file of an authority's certificates.
pub fn parse(text: &str, ca: Option<&str>) -> Result<Anchor, String> {
    let (kind, rest) = text.split_once(':').unwrap_or((if text == "rfc3161" { text } else { "" }, ""));
    let needs = |what: &str| {
        if rest.is_empty() { Err(format!("`{kind}:` needs {what} behind it")) } else { Ok(rest.to_string()) }
    };
    match kind {
        "file" => Ok(Anchor::File(needs("a folder")?)),
        "git" => {
            Ok(Anchor::Git(GitAnchor { repository: ".".into(), reference: needs("a ref, such as refs/notes/bgctl")? }))
        }
        "slack" => Ok(Anchor::Slack(SlackAnchor {
            channel: needs("a channel's id")?,
            token: "${env:SLACK_BOT_TOKEN}".into(),
            api: SlackAnchor::api(),
        })),
        "rfc3161" => match ca {
            Some(ca) => Ok(Anchor::Rfc3161(Rfc3161Anchor { url: rest.into(), ca: ca.into() })),
            None => Err("`rfc3161` needs the authority's certificates: --ca FILE".into()),
        },
        _ if text.contains('/') || text == "." || text == ".." || !text.contains(':') => Ok(Anchor::File(text.into())),
        other => Err(format!("`{other}` is no kind of anchor; known are file, git, slack and rfc3161")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_or_its_mistake_is_named() {
        let file = |path: &str| Ok(Anchor::File(path.into()));
        assert_eq!(parse("file:/mnt/audit", None), file("/mnt/audit"));
        assert_eq!(parse("/mnt/audit", None), file("/mnt/audit"));
        assert_eq!(parse("audit", None), file("audit"));
        assert!(matches!(parse("git:refs/notes/bgctl", None), Ok(Anchor::Git(git)) if git.repository == "."));
        assert!(matches!(parse("slack:C0123", None), Ok(Anchor::Slack(slack)) if slack.token.starts_with("${env:")));
        let authority = parse("rfc3161:https://tsa.test/", Some("ca.pem"));
        assert!(matches!(authority, Ok(Anchor::Rfc3161(a)) if a.url == "https://tsa.test/" && a.ca == "ca.pem"));
        assert!(parse("rfc3161:https://tsa.test/", None).unwrap_err().contains("--ca"));
        assert!(parse("s3:bucket", None).unwrap_err().contains("known are file"));
        assert!(parse("file:", None).unwrap_err().contains("needs a folder"));
    }
}
