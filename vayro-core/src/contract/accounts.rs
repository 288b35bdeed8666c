//! What stores of accounts, workspaces, domains and credentials must do.
//!
//! One module per port; in each a public function per rule and a macro that makes a
//! `#[tokio::test]` of each rule. A macro takes an expression that is evaluated anew for every
//! rule: a future of a fixture whose field `stores` is a [`super::stores::Stores`] on a fresh,
//! migrated database.
#![expect(clippy::missing_panics_doc, reason = "a rule panics when it is broken")]

pub mod audit;
pub mod domains;
pub mod keys;
pub mod sample;
pub mod sessions;
pub mod users;
pub mod workspaces;

#[cfg(test)]
mod tests {
    /// A rule that no macro names would never run.
    #[test]
    fn every_rule_is_listed_in_its_macro() {
        for (suite, source) in [
            ("audit", include_str!("accounts/audit.rs")),
            ("domains", include_str!("accounts/domains.rs")),
            ("keys", include_str!("accounts/keys.rs")),
            ("sessions", include_str!("accounts/sessions.rs")),
            ("users", include_str!("accounts/users.rs")),
            ("workspaces", include_str!("accounts/workspaces.rs")),
        ] {
            let listing = source.split("macro_rules!").nth(1).expect("a suite has a macro");
            let listed: Vec<&str> = listing.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
            let rules = source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn "))
                .filter_map(|rest| rest.split_once('(').map(|(name, _)| name));
            for rule in rules {
                assert!(listed.contains(&rule), "{suite}: {rule} is not listed");
            }
        }
    }
}
