//! Names of AWS resources as a runbook gives them: checked to the letter before anything is asked.

use std::fmt;

use crate::diag::is_region;

/// What kind of resource an [`Arn`] has to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Rule,
    Listener,
    LoadBalancer,
    TargetGroup,
}

impl Sort {
    /// The resource part: its first word, and the sorts of the parts behind it.
    fn parts(self) -> &'static [Part] {
        use Part::{Balancer, Id, Name, Word};
        match self {
            Sort::Rule => &[Word("listener-rule"), Word("app"), Name, Id, Id, Id],
            Sort::Listener => &[Word("listener"), Balancer, Name, Id, Id],
            Sort::LoadBalancer => &[Word("loadbalancer"), Balancer, Name, Id],
            Sort::TargetGroup => &[Word("targetgroup"), Name, Id],
        }
    }

    fn words(self) -> &'static str {
        match self {
            Sort::Rule => "the ARN of a listener rule of an Application Load Balancer",
            Sort::Listener => "the ARN of a listener of an Application or Network Load Balancer",
            Sort::LoadBalancer => "the ARN of an Application or Network Load Balancer",
            Sort::TargetGroup => "the ARN of a target group",
        }
    }

    /// How such an ARN looks, for messages.
    pub fn shape(self) -> String {
        let parts: Vec<&str> = self.parts().iter().map(|p| p.words()).collect();
        format!("arn:aws:elasticloadbalancing:REGION:ACCOUNT:{}", parts.join("/"))
    }

    /// The same rule as a regular expression, for JSON Schema.
    pub fn pattern(self) -> String {
        let parts: Vec<&str> = self.parts().iter().map(|p| p.pattern()).collect();
        format!("^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{{12}}:{}$", parts.join("/"))
    }
}

#[derive(Clone, Copy)]
enum Part {
    Word(&'static str),
    /// Of which kind a load balancer is.
    Balancer,
    Name,
    Id,
}

impl Part {
    fn fits(self, text: &str) -> bool {
        match self {
            Part::Word(word) => text == word,
            Part::Balancer => text == "app" || text == "net",
            Part::Name => {
                (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            }
            Part::Id => text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Part::Word(word) => word,
            Part::Balancer => "app",
            Part::Name => "NAME",
            Part::Id => "16-HEX-DIGITS",
        }
    }

    fn pattern(self) -> &'static str {
        match self {
            Part::Word(word) => word,
            Part::Balancer => "(app|net)",
            Part::Name => "[A-Za-z0-9-]{1,32}",
            Part::Id => "[0-9a-f]{16}",
        }
    }
}

/// The ARN of an Elastic Load Balancing resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arn {
    text: String,
    partition: String,
    pub region: String,
    pub account: String,
    resource: String,
}

impl Arn {
    /// Reads an ARN of one sort. The error says what is wrong with it, without naming the field.
    pub fn read(text: &str, sort: Sort) -> Result<Arn, String> {
        let wrong = |why: &str| Err(format!("not {}: {why}", sort.words()));
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [arn, partition, service, region, account, resource] = parts[..] else {
            return wrong("an ARN has six parts between colons");
        };
        if arn != "arn" || !partition.starts_with("aws") {
            return wrong("it does not begin with `arn:aws`");
        }
        if service != "elasticloadbalancing" {
            return wrong(&format!("its service is `{service}`, not `elasticloadbalancing`"));
        }
        if !is_region(region) {
            return wrong(&format!("`{region}` is not a region"));
        }
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return wrong(&format!("`{account}` is not an account: write twelve digits"));
        }
        let given: Vec<&str> = resource.split('/').collect();
        match (given.first().copied(), given.get(1).copied()) {
            (Some("listener-rule"), Some("net")) => {
                return wrong("a Network Load Balancer has no rules: write `listener:`");
            }
            (Some("listener-rule"), _) if sort == Sort::Listener => return wrong("it names a rule: write `rule:`"),
            (Some("listener"), _) if sort == Sort::Rule => return wrong("it names a listener: write `listener:`"),
            _ => {}
        }
        if given.len() != sort.parts().len() {
            return wrong(&format!("`{resource}` has not the parts {}", shape_of(sort)));
        }
        match sort.parts().iter().zip(&given).find(|(part, text)| !part.fits(text)) {
            Some((part, text)) => wrong(&format!("`{text}` stands where {} belongs", part.words())),
            None => Ok(Arn {
                text: text.into(),
                partition: partition.into(),
                region: region.into(),
                account: account.into(),
                resource: resource.into(),
            }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// It is of a Network Load Balancer, or is one.
    pub fn is_network(&self) -> bool {
        self.resource.split('/').nth(1) == Some("net")
    }

    /// The name a person gave the load balancer or target group.
    pub fn name(&self) -> &str {
        let skip = if self.resource.starts_with("targetgroup/") { 1 } else { 2 };
        self.resource.split('/').nth(skip).unwrap_or_default()
    }

    /// The last part, which tells rules and listeners of one load balancer apart.
    pub fn id(&self) -> &str {
        self.resource.rsplit('/').next().unwrap_or_default()
    }

    /// The resource as metrics name it: `app/bot/50dc6c495c0c9188` of a rule or listener, `targetgroup/…` of a target group.
    pub fn dimension(&self) -> String {
        match self.resource.starts_with("targetgroup/") {
            true => self.resource.clone(),
            false => self.resource.split('/').skip(1).take(3).collect::<Vec<_>>().join("/"),
        }
    }

    /// The listener a rule belongs to; a listener itself.
    pub fn listener(&self) -> String {
        self.with(&self.resource.replacen("listener-rule/", "listener/", 1), 5)
    }

    /// The load balancer a rule or listener belongs to.
    pub fn load_balancer(&self) -> String {
        let resource = self.resource.replacen("listener-rule/", "loadbalancer/", 1);
        self.with(&resource.replacen("listener/", "loadbalancer/", 1), 4)
    }

    fn with(&self, resource: &str, parts: usize) -> String {
        let kept: Vec<&str> = resource.split('/').take(parts).collect();
        format!("arn:{}:elasticloadbalancing:{}:{}:{}", self.partition, self.region, self.account, kept.join("/"))
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn shape_of(sort: Sort) -> String {
    let shape = sort.shape();
    shape.rsplit(':').next().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/bot/50dc6c495c0c9188/0467ef3c8400ae65/8c1f3f0a1e2d3c4b";

    #[test]
    fn a_rule_knows_its_listener_and_load_balancer() {
        let arn = Arn::read(RULE, Sort::Rule).unwrap();
        assert_eq!((arn.region.as_str(), arn.account.as_str()), ("eu-west-1", "123456789012"));
        assert_eq!((arn.name(), arn.id()), ("bot", "8c1f3f0a1e2d3c4b"));
        assert_eq!(
            arn.listener(),
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/bot/50dc6c495c0c9188/0467ef3c8400ae65"
        );
        assert_eq!(
            arn.load_balancer(),
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/bot/50dc6c495c0c9188"
        );
        let flows = Arn::read(&arn.listener().replace("/app/", "/net/"), Sort::Listener).unwrap();
        assert!(flows.is_network() && !arn.is_network() && flows.load_balancer().contains("loadbalancer/net/bot"));
        let listener = Arn::read(&arn.listener(), Sort::Listener).unwrap();
        assert_eq!(listener.load_balancer(), arn.load_balancer());
    }

    #[test]
    fn mistakes_are_named() {
        let table: &[(&str, Sort, &str)] = &[
            ("", Sort::Rule, "six parts"),
            ("my-rule", Sort::Rule, "six parts"),
            ("arn:aws:s3:::bucket", Sort::TargetGroup, "its service is `s3`"),
            (&RULE.replace("123456789012", "1234"), Sort::Rule, "`1234` is not an account"),
            (&RULE.replace("eu-west-1", ""), Sort::Rule, "is not a region"),
            (&RULE.replace("eu-west-1", "eu-west"), Sort::Rule, "`eu-west` is not a region"),
            (&RULE.replace("/app/", "/net/"), Sort::Rule, "a Network Load Balancer has no rules: write `listener:`"),
            (&RULE.replace("/app/", "/gwy/"), Sort::Rule, "`gwy` stands where app belongs"),
            (RULE, Sort::Listener, "write `rule:`"),
            (RULE, Sort::TargetGroup, "has not the parts targetgroup/NAME/16-HEX-DIGITS"),
            (&RULE.replace("8c1f3f0a1e2d3c4b", "8C1F"), Sort::Rule, "`8C1F` stands where 16-HEX-DIGITS belongs"),
            (&format!("{RULE} "), Sort::Rule, "stands where"),
            (
                "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/bot/50dc6c495c0c9188/0467ef3c8400ae65",
                Sort::Rule,
                "write `listener:`",
            ),
        ];
        for (text, sort, wanted) in table {
            let error = Arn::read(text, *sort).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
