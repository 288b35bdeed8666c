//! What a user agent says: browser, operating system, kind of device, robot.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use uaparser::{Parser as _, UserAgentParser};

use super::bots::{BotRulesError, Bots};
use super::device::{DeviceType, device_type};
use super::family;

/// How browsers and systems are told apart: `regexes.yaml` of uap-core, unmodified.
const BUILT_IN: &[u8] = include_bytes!("../data/uap-core-regexes.yaml");

/// What is known about a visitor's software.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// Browser, such as `Chrome`; empty if unknown.
    pub browser: Box<str>,
    /// Operating system, such as `iOS`; empty if unknown.
    pub os: Box<str>,
    /// Kind of device.
    pub device: DeviceType,
    /// The rule that sees a robot.
    pub bot: Option<Box<str>>,
}

/// Rules for user agents cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UserAgentError {
    /// The file with rules for browsers cannot be used.
    #[error("user agent rules cannot be used")]
    Rules(#[source] uaparser::Error),
    /// The file with rules for browsers cannot be read.
    #[error("user agent rules cannot be read")]
    Io(#[source] std::io::Error),
    /// The file with rules for robots cannot be used.
    #[error(transparent)]
    Bots(#[from] BotRulesError),
}

/// Reads user agents and remembers the answers.
///
/// Reading one takes hundreds of microseconds, as uap-core is hundreds of regular expressions tried in
/// order; ten popular user agents make up half of all visits. Both the number of remembered answers and
/// the length of a user agent are bounded, since anyone can send anything.
pub struct UserAgents {
    parser: UserAgentParser,
    bots: Bots,
    cache: Cache<Box<str>, Arc<Agent>>,
    read: AtomicU64,
}

impl UserAgents {
    /// Compiles the rules, the built-in ones where no file is given, remembering at most `capacity` answers.
    pub fn new(
        rules: Option<&Path>,
        bot_rules: Option<&Path>,
        capacity: usize,
    ) -> Result<Self, UserAgentError> {
        let rules = match rules {
            Some(path) => std::borrow::Cow::Owned(std::fs::read(path).map_err(UserAgentError::Io)?),
            None => std::borrow::Cow::Borrowed(BUILT_IN),
        };
        let bots = Bots::load(bot_rules)?;
        // The device rules name models and are three quarters of all rules; nothing here needs them.
        let parser = UserAgentParser::builder()
            .with_device(false)
            .with_unicode_support(false)
            .build_from_bytes(&rules)
            .map_err(UserAgentError::Rules)?;
        Ok(Self { parser, bots, cache: Cache::new(capacity), read: AtomicU64::new(0) })
    }

    /// Returns what `user_agent` says. Its length is bounded by the caller.
    pub fn get(&self, user_agent: &str) -> Arc<Agent> {
        if let Some(agent) = self.cache.get(user_agent) {
            return agent;
        }
        self.read.fetch_add(1, Ordering::Relaxed);
        let agent = Arc::new(self.read(user_agent));
        self.cache.insert(user_agent.into(), Arc::clone(&agent));
        agent
    }

    /// Returns how many user agents had to be read since start.
    pub fn misses(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Returns how many answers are remembered.
    pub fn remembered(&self) -> usize {
        self.cache.len()
    }

    fn read(&self, user_agent: &str) -> Agent {
        let os = self.parser.parse_os(user_agent).family;
        Agent {
            browser: family::browser(&self.parser.parse_user_agent(user_agent).family),
            os: family::os(&os),
            device: device_type(user_agent, &os),
            bot: self.bots.find(user_agent).map(Into::into),
        }
    }
}
