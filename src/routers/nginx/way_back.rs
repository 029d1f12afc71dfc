//! The way back without bgctl: the file of each host as it is to be, put there, tried and loaded.

use super::Nginx;
use super::fleet::Kept;
use super::host::Host;
use super::include::bare;
use crate::child::quoted;
use crate::plan::Color;
use crate::routers::NativeWayBack;

/// The line that ends the file inside the script: none of bgctl's own lines, and none that people write.
const END: &str = "END_OF_BGCTL_INCLUDE";

impl Nginx {
    /// One script for all hosts that get the same file, and one command a host. Hosts of which nothing was kept get the file
    /// that the settings alone say.
    pub fn way_back(&self, route: &str, kept: &[Kept]) -> NativeWayBack {
        let text = |host: &Host| match kept.iter().find(|kept| kept.host == host.name) {
            Some(kept) => kept.text.clone(),
            None => bare(Color::Blue, &self.settings),
        };
        let (mut files, mut lines): (Vec<(String, String)>, Vec<String>) = (Vec::new(), Vec::new());
        for host in &self.hosts {
            let script = self.script(&text(host));
            let known = files.iter().find(|(_, other)| *other == script).map(|(name, _)| name.clone());
            let name = known.unwrap_or_else(|| {
                let name = format!("{route}-nginx-{}.txt", files.len() + 1);
                files.push((name.clone(), script));
                name
            });
            lines.push(format!("{}sh -s < {name}", host.typed()));
        }
        NativeWayBack { files, command: lines.join("\n") }
    }

    fn script(&self, text: &str) -> String {
        let file = quoted(&self.settings.include);
        let nginx: Vec<String> = self.settings.nginx.iter().map(|word| quoted(word)).collect();
        let nginx = nginx.join(" ");
        // Shell reads a whole line before it does anything, and a text without its last line break would not end there.
        let text = if text.ends_with('\n') { text.to_string() } else { format!("{text}\n") };
        format!(
            "f=$(readlink -f {file}) && cp -p \"$f\" \"$f.new\" && cat > \"$f.new\" <<'{END}' && mv \"$f.new\" \"$f\" && {nginx} -t && {nginx} -s reload\n{text}{END}\n"
        )
    }
}
