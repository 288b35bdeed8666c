//! The name of this process among others.

use rand::RngCore as _;

/// Longest host name kept in it.
const HOST_LEN_MAX: usize = 64;

/// Returns `host:uuid`, different for every start: a consumer's name must never be that of another
/// process or of an earlier start.
pub(crate) fn process_name() -> String {
    // Containers and hosts alike have it; without one the id alone still tells processes apart.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
        .take(HOST_LEN_MAX)
        .collect();
    let host = if host.is_empty() { "localhost" } else { &host };
    let mut random = [0; 16];
    rand::rng().fill_bytes(&mut random);
    format!("{host}:{}", uuid::Builder::from_random_bytes(random).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_starts_have_different_names() {
        let (one, two) = (process_name(), process_name());
        assert_ne!(one, two);
        let (host, id) = one.rsplit_once(':').expect("two parts");
        assert!(!host.is_empty());
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{id}");
    }
}
