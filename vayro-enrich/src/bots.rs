//! Robots, recognized by their user agents.

use std::hash::Hasher as _;
use std::path::Path;

use aho_corasick::AhoCorasick;
use regex::{Regex, RegexSet, RegexSetBuilder};
use serde::Deserialize;
use siphasher::sip::SipHasher24;
use vayro_core::click::clean;

/// Robots known from the npm package of this name, unmodified.
const BUILT_IN: &str = include_str!("../data/crawler-user-agents.json");
/// Most rules a file may have.
const RULES_MAX: usize = 20_000;
/// Longest name of a rule, in bytes; the column's length.
const NAME_LEN_MAX: usize = 100;
/// Memory the compiled patterns that are not plain text may take, in bytes.
const PATTERNS_BYTES_MAX: usize = 16 << 20;

/// The rule for a visit without any user agent; browsers always send one.
pub const EMPTY_USER_AGENT: &str = "empty";
/// The rule for robots that nobody listed but that call themselves one.
pub const GENERIC_BOT: &str = "generic";
/// What robots call themselves and how they name their page (`+https://…`); Cubot makes phones.
const GENERIC: &str = r"(?i)(?:^|[^u]|(?:^|[^c])u)(?:bot|crawler|spider)\b|\+ ?https?://";

/// A file of robots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BotRulesError {
    /// The file cannot be read.
    #[error("robot rules cannot be read")]
    Io(#[from] std::io::Error),
    /// It is not a JSON array of objects with a `pattern`.
    #[error("robot rules are not a list of patterns in JSON")]
    Json(#[from] serde_json::Error),
    /// It has no rule, or too many.
    #[error("{0} robot rules, expected 1 to {RULES_MAX}")]
    Count(usize),
    /// A pattern is not a regular expression.
    #[error("a robot rule is not a regular expression")]
    Pattern(#[from] regex::Error),
    /// The plain patterns cannot be compiled together.
    #[error("robot rules cannot be compiled")]
    Literals(#[from] aho_corasick::BuildError),
}

#[derive(Deserialize)]
struct Rule {
    pattern: String,
}

/// Rules that as they are also see phones (`HTC Butterfly`, `ViewSonic`, `L008`), and what they mean.
const NARROWED: [(&str, &str); 3] =
    [("Butterfly", r"\bButterfly/"), ("Sonic", r"\b(?:Rank)?Sonic(?:SiteAuditor)?/"), (r"008\/", "^008/")];

/// Rules left out of those built in: tools with which people try their own links by hand, and wonder when
/// that visit is not counted.
const BY_HAND: [&str; 2] = ["^curl", r"^HTTPie\/"];

/// Compiled rules for robots. All but a few dozen of the 1,500 patterns are plain text and are searched for at
/// once; the rest is one regular expression.
pub struct Bots {
    literals: AhoCorasick,
    /// Rule of each literal.
    literal_rules: Vec<usize>,
    patterns: RegexSet,
    /// Rule of each pattern.
    pattern_rules: Vec<usize>,
    /// Readable name of each rule.
    names: Vec<Box<str>>,
    generic: Regex,
    /// Hash of the text the rules were read from.
    hash: u64,
}

impl Bots {
    /// Compiles the rules of a file in the format of `crawler-user-agents.json`, or those that are built in.
    ///
    /// # Errors
    ///
    /// [`BotRulesError`] if the file cannot be used.
    pub fn load(file: Option<&Path>) -> Result<Self, BotRulesError> {
        match file {
            Some(file) => Self::from_json(&std::fs::read_to_string(file)?),
            None => Self::built_in(),
        }
    }

    /// Compiles the rules that are built in.
    fn built_in() -> Result<Self, BotRulesError> {
        let mut rules: Vec<Rule> = serde_json::from_str(BUILT_IN)?;
        rules.retain(|rule| !BY_HAND.contains(&rule.pattern.as_str()));
        Self::compile(&rules, BUILT_IN)
    }

    /// Compiles rules in the format of `crawler-user-agents.json`.
    fn from_json(json: &str) -> Result<Self, BotRulesError> {
        Self::compile(&serde_json::from_str::<Vec<Rule>>(json)?, json)
    }

    fn compile(rules: &[Rule], text: &str) -> Result<Self, BotRulesError> {
        if rules.is_empty() || rules.len() > RULES_MAX {
            return Err(BotRulesError::Count(rules.len()));
        }
        let (mut literals, mut literal_rules) = (Vec::new(), Vec::new());
        let (mut patterns, mut pattern_rules) = (Vec::new(), Vec::new());
        for (index, rule) in rules.iter().enumerate() {
            let narrowed = NARROWED.iter().find(|(broad, _)| *broad == rule.pattern);
            if let Some((_, narrow)) = narrowed {
                patterns.push((*narrow).to_owned());
                pattern_rules.push(index);
            } else if let Some(literal) = literal(&rule.pattern) {
                literals.push(literal);
                literal_rules.push(index);
            } else {
                patterns.push(unescape_slashes(&rule.pattern));
                pattern_rules.push(index);
            }
        }
        Ok(Self {
            literals: AhoCorasick::new(literals)?,
            literal_rules,
            patterns: RegexSetBuilder::new(patterns).size_limit(PATTERNS_BYTES_MAX).build()?,
            pattern_rules,
            names: rules.iter().map(|rule| name(&rule.pattern)).collect(),
            generic: Regex::new(GENERIC)?,
            hash: hash(text),
        })
    }

    /// Returns a name for exactly these rules.
    pub fn fingerprint(&self) -> String {
        format!("{} rules, {:016x}", self.names.len(), self.hash)
    }

    /// Returns the name of the first rule that sees a robot.
    pub fn find(&self, user_agent: &str) -> Option<&str> {
        if user_agent.trim().is_empty() {
            return Some(EMPTY_USER_AGENT);
        }
        let literal = self
            .literals
            .find_overlapping_iter(user_agent)
            .map(|found| self.literal_rules[found.pattern().as_usize()])
            .min();
        let pattern = self.patterns.matches(user_agent).into_iter().next().map(|at| self.pattern_rules[at]);
        let first = match (literal, pattern) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        match first {
            Some(rule) => Some(&self.names[rule]),
            None => self.generic.is_match(user_agent).then_some(GENERIC_BOT),
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Returns the text a pattern stands for if it stands for exactly one.
fn literal(pattern: &str) -> Option<String> {
    let mut text = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                escaped if escaped.is_ascii_punctuation() || escaped == ' ' => text.push(escaped),
                _ => return None,
            },
            '.' | '^' | '$' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' => return None,
            c => text.push(c),
        }
    }
    (!text.is_empty()).then_some(text)
}

/// The list is written for JavaScript, where `/` is escaped.
fn unescape_slashes(pattern: &str) -> String {
    pattern.replace("\\/", "/")
}

/// Returns what people call the robot: the pattern without escapes and without a version's slash.
fn name(pattern: &str) -> Box<str> {
    let text = literal(pattern).unwrap_or_else(|| unescape_slashes(pattern));
    let text = text.trim().trim_end_matches('/');
    clean(text.as_bytes(), NAME_LEN_MAX)
}

#[cfg(test)]
mod tests {
    use vayro_core::amendment::BASIS_LEN_MAX;

    use super::*;

    #[derive(Deserialize)]
    struct Listed {
        pattern: String,
        #[serde(default)]
        instances: Vec<String>,
    }

    #[test]
    fn every_listed_robot_is_seen() {
        let bots = Bots::built_in().unwrap();
        let listed: Vec<Listed> = serde_json::from_str(BUILT_IN).unwrap();
        let mut seen = 0;
        for entry in listed.iter().filter(|entry| !BY_HAND.contains(&entry.pattern.as_str())) {
            for instance in &entry.instances {
                assert!(bots.find(instance).is_some(), "{} does not see `{instance}`", entry.pattern);
                seen += 1;
            }
        }
        assert!(seen > 2000, "only {seen} user agents in the list");
    }

    #[test]
    fn people_who_try_their_own_link_by_hand_are_no_robots() {
        let bots = Bots::built_in().unwrap();
        for user_agent in ["curl/8.9.1", "HTTPie/3.2.2"] {
            assert_eq!(bots.find(user_agent), None, "{user_agent}");
        }
        assert!(bots.find("PHP-Curl-Class/9.6.3").is_some());
    }

    #[test]
    fn literals_and_patterns_give_the_first_rule_of_the_file() {
        let json = r#"[{"pattern":"Foobot\\/"},{"pattern":"[fF]oo"},{"pattern":"bot"},{"pattern":"^curl"}]"#;
        let bots = Bots::from_json(json).unwrap();
        assert_eq!(bots.find("x Foobot/1"), Some("Foobot"));
        assert_eq!(bots.find("food bot"), Some("[fF]oo"));
        assert_eq!(bots.find("a bot"), Some("bot"));
        assert_eq!(bots.find("curl/8"), Some("^curl"));
        assert_eq!(bots.find("not curl"), None);
        assert_eq!(bots.find(" "), Some(EMPTY_USER_AGENT));
    }

    #[test]
    fn robots_that_nobody_listed_are_seen_by_what_they_call_themselves() {
        let bots = Bots::built_in().unwrap();
        for user_agent in ["ExampleBot/1.0", "nubot", "my-crawler", "x (+https://example.com/why)"] {
            assert_eq!(bots.find(user_agent), Some(GENERIC_BOT), "{user_agent}");
        }
        for user_agent in
            ["Mozilla/5.0 (Linux; Android 11; CUBOT NOTE 20) Mobile", "cubot", "Robotics/1", "abottle"]
        {
            assert_eq!(bots.find(user_agent), None, "{user_agent}");
        }
    }

    #[test]
    fn other_rules_have_another_fingerprint() {
        let [a, b] =
            [r#"[{"pattern":"foo"}]"#, r#"[{"pattern":"bar"}]"#].map(|json| Bots::from_json(json).unwrap());
        assert_ne!(a.fingerprint(), b.fingerprint());
        assert_eq!(a.fingerprint(), Bots::from_json(r#"[{"pattern":"foo"}]"#).unwrap().fingerprint());
        assert!(Bots::load(None).unwrap().fingerprint().len() <= BASIS_LEN_MAX);
    }

    #[test]
    fn unusable_files_are_refused() {
        assert!(matches!(Bots::from_json("{}"), Err(BotRulesError::Json(_))));
        assert!(matches!(Bots::from_json("[]"), Err(BotRulesError::Count(0))));
        assert!(matches!(Bots::from_json(r#"[{"pattern":"("}]"#), Err(BotRulesError::Pattern(_))));
    }

    // The split into literals and patterns must not change what a rule means.
    #[test]
    fn a_literal_means_what_its_pattern_means() {
        let listed: Vec<Listed> = serde_json::from_str(BUILT_IN).unwrap();
        let mut literals = 0;
        for Listed { pattern, .. } in &listed {
            if let Some(text) = literal(pattern) {
                let regex = Regex::new(&unescape_slashes(pattern)).unwrap();
                assert_eq!(regex.find(&text).map(|found| found.range()), Some(0..text.len()), "{pattern}");
                literals += 1;
            }
        }
        assert!(literals > 1400, "only {literals} of {} rules are literals", listed.len());
    }
}
