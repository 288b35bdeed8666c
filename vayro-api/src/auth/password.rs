//! Passwords: Argon2id on blocking threads, a few at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use rand::RngCore as _;
use rand::rngs::StdRng;
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// Shortest password, in characters.
pub const PASSWORD_LEN_MIN: usize = 10;
/// Longest password, in bytes; hashing must not become an attack.
pub const PASSWORD_LEN_MAX: usize = 256;

/// Longest time a password waits for its turn to be hashed.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);
/// OWASP's choice for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The hash of a password nobody has, checked for unknown accounts so that they take as long as known
/// ones. Its parameters are those above.
const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$dmF5cm8tbm9ib2R5LTAw$S2VVzY/5gRpTSNvJNP1icdhBibeCzfQ5KNYIZMJyG5M";

/// Why a password was not hashed or checked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasswordError {
    /// Too short.
    #[error("a password has at least {PASSWORD_LEN_MIN} characters")]
    TooShort,
    /// Too long.
    #[error("a password has at most {PASSWORD_LEN_MAX} bytes")]
    TooLong,
    /// Too many at one time.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hash function failed, or a stored hash is none.
    #[error("the password cannot be hashed: {0}")]
    Hash(argon2::password_hash::Error),
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::unavailable("too many people are signing in"),
            other => {
                tracing::error!(error = &other as &dyn std::error::Error, "password hashing failed");
                Self::internal()
            }
        }
    }
}

/// Hashes and checks passwords, a bounded number at one time.
#[derive(Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("permits", &self.permits.available_permits()).finish()
    }
}

impl Passwords {
    /// Allows `concurrency` hashes at one time, at least one.
    pub fn new(concurrency: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(concurrency.max(1))) }
    }

    /// Tells whether a password may be used for an account.
    ///
    /// # Errors
    ///
    /// [`PasswordError::TooShort`] or [`PasswordError::TooLong`].
    pub fn check_new(password: &str) -> Result<(), PasswordError> {
        if password.chars().count() < PASSWORD_LEN_MIN {
            return Err(PasswordError::TooShort);
        }
        if password.len() > PASSWORD_LEN_MAX {
            return Err(PasswordError::TooLong);
        }
        Ok(())
    }

    /// Returns the Argon2id hash of a new password in PHC form.
    ///
    /// # Errors
    ///
    /// [`PasswordError`] if the password may not be used or its turn does not come.
    pub async fn hash(&self, password: String, rng: &mut StdRng) -> Result<String, PasswordError> {
        Self::check_new(&password)?;
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        self.blocking(move || {
            let salt = SaltString::encode_b64(&salt).map_err(PasswordError::Hash)?;
            let hash = argon2().hash_password(password.as_bytes(), &salt).map_err(PasswordError::Hash)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Tells whether the password belongs to the hash; `None` takes as long and is always false.
    ///
    /// # Errors
    ///
    /// [`PasswordError`] if its turn does not come or the hash is none.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        if password.len() > PASSWORD_LEN_MAX {
            return Ok(false);
        }
        self.blocking(move || {
            let is_known = hash.is_some();
            let text = hash.unwrap_or_else(|| DUMMY_HASH.to_owned());
            let parsed = PasswordHash::new(&text).map_err(PasswordError::Hash)?;
            match argon2().verify_password(password.as_bytes(), &parsed) {
                Ok(()) => Ok(is_known),
                Err(argon2::password_hash::Error::Password) => Ok(false),
                Err(error) => Err(PasswordError::Hash(error)),
            }
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = Arc::clone(&self.permits).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(TURN_WAIT_MAX, turn).await else {
            return Err(PasswordError::Busy);
        };
        // The permit travels with the work: a client that hangs up does not free its turn early.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.unwrap_or(Err(PasswordError::Busy))
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("constants within Argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[tokio::test]
    async fn passwords_are_recognised_by_their_hash() {
        let passwords = Passwords::new(1);
        let mut rng = StdRng::seed_from_u64(1);
        let hash = passwords.hash("correct horse".to_owned(), &mut rng).await.expect("hashes");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await, Ok(true));
        assert_eq!(passwords.verify("wrong horse".to_owned(), Some(hash)).await, Ok(false));
    }

    #[tokio::test]
    async fn unknown_accounts_are_checked_with_the_same_parameters() {
        let parsed = PasswordHash::new(DUMMY_HASH).expect("a PHC string");
        let params = Params::try_from(&parsed).expect("Argon2 parameters");
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (MEMORY_KIB, PASSES, LANES));
        assert_eq!(parsed.hash.map(|output| output.len()), Some(32));
        assert_eq!(Passwords::new(1).verify("anything".to_owned(), None).await, Ok(false));
    }

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(Passwords::check_new("short"), Err(PasswordError::TooShort));
        assert_eq!(Passwords::check_new(&"x".repeat(300)), Err(PasswordError::TooLong));
        assert_eq!(Passwords::check_new("long enough"), Ok(()));
    }
}
