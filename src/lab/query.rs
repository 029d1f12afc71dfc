//! The AWS query protocol: form bodies in (`Actions.member.1.Type=forward`), XML out.

use std::collections::BTreeMap;

/// The parameters of a call as the tree their dotted names describe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    text: Option<String>,
    parts: BTreeMap<String, Node>,
}

/// No shape of this API is deeper.
const DEPTH: usize = 12;

impl Node {
    pub fn parse(body: &[u8]) -> Node {
        let mut root = Node::default();
        for (name, value) in form_urlencoded::parse(body) {
            let mut place = &mut root;
            for part in name.split('.').take(DEPTH) {
                place = place.parts.entry(part.to_string()).or_default();
            }
            place.text = Some(value.into_owned());
        }
        root
    }

    /// The text at a dotted name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name)?.text.as_deref()
    }

    /// The part at a dotted name.
    pub fn find(&self, name: &str) -> Option<&Node> {
        name.split('.').try_fold(self, |node, part| node.parts.get(part))
    }

    /// The members of a list, in order. An empty list and no list are the same to this protocol.
    pub fn members(&self, name: &str) -> Vec<&Node> {
        self.find(name).and_then(|list| list.parts.get("member")).map(Node::numbered).unwrap_or_default()
    }

    /// The texts of a list.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.members(name).into_iter().filter_map(|node| node.text.as_deref()).collect()
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.parts.insert(name.to_string(), Node { text: Some(value.to_string()), ..Node::default() });
    }

    /// Takes a part away, and says whether it was there.
    pub fn take(&mut self, name: &str) -> bool {
        self.parts.remove(name).is_some()
    }

    fn numbered(&self) -> Vec<&Node> {
        let mut members: Vec<(u32, &Node)> =
            self.parts.iter().filter_map(|(number, node)| Some((number.parse().ok()?, node))).collect();
        members.sort_by_key(|(number, _)| *number);
        members.into_iter().map(|(_, node)| node).collect()
    }
}

/// XML being written.
#[derive(Debug, Default)]
pub struct Xml(String);

impl Xml {
    /// An element around what `inner` writes.
    pub fn tag(&mut self, name: &str, inner: impl FnOnce(&mut Xml)) {
        self.0.extend(["<", name, ">"]);
        inner(self);
        self.0.extend(["</", name, ">"]);
    }

    /// An element with text.
    pub fn leaf(&mut self, name: &str, text: impl ToString) {
        self.tag(name, |xml| xml.text(&text.to_string()));
    }

    pub fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                _ => self.0.push(c),
            }
        }
    }

    /// A list of elements called `member`.
    pub fn list<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, each: impl Fn(&mut Xml, T)) {
        self.tag(name, |xml| {
            for item in items {
                xml.tag("member", |xml| each(xml, item));
            }
        });
    }

    /// A part of a call given back as it came: lists and maps become repeated `member` and `entry` elements.
    pub fn echo(&mut self, name: &str, node: &Node) {
        if let Some(text) = &node.text {
            return self.leaf(name, text);
        }
        self.tag(name, |xml| {
            for (part, inner) in &node.parts {
                if part == "member" || part == "entry" {
                    inner.numbered().into_iter().for_each(|item| xml.echo(part, item));
                } else {
                    xml.echo(part, inner);
                }
            }
        });
    }

    /// The whole answer of a call.
    pub fn answer(action: &str, namespace: &str, request_id: &str, result: Xml) -> String {
        let mut xml = Xml(format!("<{action}Response xmlns=\"{namespace}\">"));
        xml.tag(&format!("{action}Result"), |xml| xml.0.push_str(&result.0));
        xml.tag("ResponseMetadata", |xml| xml.leaf("RequestId", request_id));
        xml.0 + &format!("</{action}Response>")
    }

    /// The answer of a call that was refused.
    pub fn refusal(namespace: &str, request_id: &str, fault: &str, code: &str, message: &str) -> String {
        let mut xml = Xml(format!("<ErrorResponse xmlns=\"{namespace}\">"));
        xml.tag("Error", |xml| {
            xml.leaf("Type", fault);
            xml.leaf("Code", code);
            xml.leaf("Message", message);
        });
        xml.leaf("RequestId", request_id);
        xml.0 + "</ErrorResponse>"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_names_become_a_tree_and_lists_keep_their_order() {
        let names: Vec<String> = (1..=11).map(|n| format!("L.member.{n}=v{n}")).collect();
        let node = Node::parse(format!("A.B=x+y%26&{}", names.join("&")).as_bytes());
        assert_eq!(node.get("A.B"), Some("x y&"));
        assert_eq!((node.get("A"), node.get("A.B.C"), node.get("Z")), (None, None, None));
        assert_eq!(node.texts("L")[8..], ["v9", "v10", "v11"]);
        assert!(node.members("A").is_empty());
        let deep = vec!["a"; 100_000].join(".");
        Node::parse(deep.as_bytes());
    }

    #[test]
    fn a_part_is_given_back_as_it_came() {
        let node = Node::parse(b"P.entry.1.key=a&P.entry.1.value=%3Cb%3E&L.member.1=x&T=t");
        let mut xml = Xml::default();
        xml.echo("C", &node);
        assert_eq!(
            xml.0,
            "<C><L><member>x</member></L><P><entry><key>a</key><value>&lt;b&gt;</value></entry></P><T>t</T></C>"
        );
    }
}
