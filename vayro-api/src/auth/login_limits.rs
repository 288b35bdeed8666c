//! Limits on signing in.
//!
//! Both limits count by the address of the client, never by the account alone, so that nobody can lock
//! somebody else out by typing wrong passwords.

use std::net::IpAddr;
use std::time::Duration;

use vayro_core::account::Email;
use vayro_core::ids::ShareId;
use vayro_core::ports::RateLimiter;
use vayro_core::timestamp::Timestamp;

use super::secret::hash;
use crate::problem::{Code, Problem};
use crate::settings::ApiSettings;

/// The two counters of one sign-in.
pub(crate) struct LoginLimits {
    address_key: String,
    account_key: String,
}

impl LoginLimits {
    /// Names the counters; addresses and e-mail addresses are hashed, so that none is stored.
    pub(crate) fn new(address: Option<IpAddr>, email: &str) -> Self {
        let network = network_of(address);
        let email = email.parse::<Email>().map_or_else(|_| email.to_lowercase(), |email| email.to_string());
        Self {
            address_key: format!("login:{}", short_hash(&network)),
            account_key: format!("login:{}", short_hash(&format!("{network} {email}"))),
        }
    }

    /// Names the counters of a try to unlock a share. The address has one counter for both.
    pub(crate) fn of_share(address: Option<IpAddr>, id: ShareId) -> Self {
        let network = network_of(address);
        Self {
            address_key: format!("login:{}", short_hash(&network)),
            account_key: format!("share:{}", short_hash(&format!("{network} {id}"))),
        }
    }

    /// Counts one try.
    ///
    /// A limiter that is away does not stop people from signing in; the bounded number of password
    /// checks at one time still slows down whoever guesses.
    pub(crate) async fn hit(
        &self,
        limits: &dyn RateLimiter,
        settings: &ApiSettings,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let counters = [
            (&self.address_key, settings.login_tries_per_address),
            (&self.account_key, settings.login_tries_per_account),
        ];
        let mut wait: Option<Duration> = None;
        for (key, limit) in counters {
            match limits.hit(key, limit, settings.login_window, now).await {
                Ok(decision) if decision.is_allowed => {}
                Ok(decision) => wait = wait.max(Some(decision.resets_in)),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "sign-ins are not limited");
                }
            }
        }
        match wait {
            None => Ok(()),
            Some(wait) => Err(Problem::new(Code::RateLimited, "too many sign-ins, wait before the next one")
                .retry_after(wait)),
        }
    }

    /// Forgets the tries for this account after a success; those of the address go on counting.
    pub(crate) async fn reset(&self, limits: &dyn RateLimiter) {
        if let Err(error) = limits.reset(&self.account_key).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "sign-in limit is not reset");
        }
    }
}

/// Names the network of an address without telling it.
pub(crate) fn network_key(address: Option<IpAddr>) -> String {
    short_hash(&network_of(address))
}

fn network_of(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "unknown".to_owned(), network)
}

/// One customer line usually has a whole IPv6 /64.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

fn short_hash(text: &str) -> String {
    use std::fmt::Write as _;
    hash(text)[..16].iter().fold(String::with_capacity(32), |mut hex, byte| {
        // Writing into a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_follow_the_network_and_the_account() {
        let limits = |address: &str, email| LoginLimits::new(address.parse().ok(), email);
        let one = limits("192.0.2.1", "ada@example.com");
        assert_eq!(one.account_key, limits("::ffff:192.0.2.1", "ADA@example.com").account_key);
        assert_ne!(one.account_key, limits("192.0.2.1", "bob@example.com").account_key);
        assert_ne!(one.account_key, limits("192.0.2.2", "ada@example.com").account_key);
        assert_eq!(
            limits("2001:db8:1:2::1", "a").address_key,
            limits("2001:db8:1:2:ffff::9", "b").address_key
        );
        assert!(!one.address_key.contains("192"));
    }
}
