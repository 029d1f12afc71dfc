//! The verifier made of standard tools: the second opinion, also for those who have no bgctl. Shares no code with the rest of
//! the journal on purpose; a test compares its verdicts with ours on a thousand changed logs.
//!
//! One script to print, kept in parts by what they judge: bytes and chain, spelling, seals, witnesses, rules, hashes and signatures.

pub const SCRIPT: &str = concat!(
    include_str!("bytes.sh"),
    include_str!("spelling.jq"),
    include_str!("spelling.sh"),
    include_str!("seals.jq"),
    include_str!("witness.jq"),
    include_str!("rules.jq"),
    include_str!("lines.jq"),
    include_str!("signatures.sh"),
);
