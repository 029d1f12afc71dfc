//! The way back without bgctl: the file as it is to be, put there by a move, and proven by Envoy's own word.

use super::fleet::Exact;
use super::settings::Settings;
use crate::child::quoted;
use crate::routers::NativeWayBack;

/// The line that ends the file inside the script: none that stands in a file of routes.
const END: &str = "END_OF_BGCTL_ROUTES";

/// A script that does it and fails with Envoy's words.
pub fn way_back(route: &str, exact: &Exact, settings: &Settings) -> NativeWayBack {
    let Some(text) = &exact.file else { return NativeWayBack::default() };
    let name = format!("{route}-envoy.sh");
    let file = quoted(&settings.file);
    // A text without its last line break would not end there.
    let text = if text.ends_with('\n') { text.clone() } else { format!("{text}\n") };
    let mut script = format!(
        "# Puts the routes of before back: Envoy takes a file that is moved there, and no other. Then it is asked, by curl.
f={file}
new=$(dirname \"$f\")/.$(basename \"$f\").by-hand
{{ [ ! -e \"$f\" ] || cp -p \"$f\" \"$new\"; }} && cat > \"$new\" <<'{END}' && mv \"$new\" \"$f\" || exit 1
{text}{END}
failed=0
"
    );
    let version = exact.envoys.first().map(|stood| stood.version.as_str()).unwrap_or_default();
    for admin in settings.admin.all() {
        let (at, stats) = (quoted(admin), quoted(&format!("{admin}/stats?filter=version_text")));
        script += &match version {
            "" => format!("echo {at}: the file names no version, so see what it runs: curl {stats}\n"),
            version => format!(
                "n=0
until curl -gsS -m 3 {stats} | grep -qF {}; do
  n=$((n+1))
  [ $n -lt 50 ] || {{ echo {at}: it does not say that it runs this file, see its log >&2; failed=1; break; }}
  sleep 0.1
done
",
                quoted(&format!(".rds.{}.version_text: \"{version}\"", settings.route_config.replace(':', "_")))
            ),
        };
    }
    script += "exit $failed\n";
    NativeWayBack { command: format!("sh {name}"), files: vec![(name, script)] }
}
