//! The verifier made of standard tools: the second opinion, also for those who have no bgctl. Shares no code with the rest of
//! the journal on purpose; tests compare its verdicts with ours on changed, forged and made-up logs.
//!
//! One script to print, kept in parts by what they judge: lists and keys, bytes and chain, spelling, who is believed, seals,
//! witnesses, rules, hashes and signatures. What it does not read as bgctl does it says, with an exit code of its own.

pub const SCRIPT: &str = concat!(
    include_str!("head.sh"),
    "cat > keys.jq <<'JQ'\n",
    include_str!("keys.jq"),
    "JQ\ncat keys.jq - > lists.jq <<'JQ'\n",
    include_str!("lists.jq"),
    "JQ\n",
    include_str!("lists.sh"),
    include_str!("bytes.sh"),
    include_str!("spelling.jq"),
    include_str!("spelling.sh"),
    include_str!("people.jq"),
    include_str!("believed.jq"),
    include_str!("seals.jq"),
    include_str!("witness.jq"),
    include_str!("placed.jq"),
    include_str!("plan.jq"),
    include_str!("rules.jq"),
    include_str!("lines.jq"),
    include_str!("signatures.sh"),
);
