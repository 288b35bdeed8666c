//! What an issued certificate says.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use vayro_core::certificate::{CertificateName, Validity};
use vayro_core::timestamp::Timestamp;
use x509_parser::extensions::GeneralName;

/// Longest chain that is taken, in bytes; real ones have some 5 KiB.
const CHAIN_LEN_MAX: usize = 64 * 1024;

/// Why a certificate is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum LeafError {
    #[error("its chain is longer than {CHAIN_LEN_MAX} bytes")]
    TooLong,
    #[error("it cannot be read")]
    Unreadable,
    #[error("it is for another key")]
    OtherKey,
    #[error("it is for another name")]
    OtherName,
}

/// Returns the certificate itself, the first of its chain.
pub(super) fn leaf_of(chain: &str) -> Result<CertificateDer<'static>, LeafError> {
    if chain.len() > CHAIN_LEN_MAX {
        return Err(LeafError::TooLong);
    }
    CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|_| LeafError::Unreadable)
}

/// Checks that the certificate is for `name` and the key with this `SubjectPublicKeyInfo`, and returns when it is
/// valid.
pub(super) fn check(
    leaf: &CertificateDer<'_>,
    name: &CertificateName,
    public_key: &[u8],
) -> Result<Validity, LeafError> {
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).map_err(|_| LeafError::Unreadable)?;
    if leaf.public_key().raw != public_key {
        return Err(LeafError::OtherKey);
    }
    let names = leaf.subject_alternative_name().map_err(|_| LeafError::Unreadable)?;
    let is_for_name =
        names.is_some_and(|names| {
            names.value.general_names.iter().any(
                |one| matches!(one, GeneralName::DNSName(dns) if dns.eq_ignore_ascii_case(name.as_str())),
            )
        });
    if !is_for_name {
        return Err(LeafError::OtherName);
    }
    let at = |seconds: i64| {
        seconds.checked_mul(1_000_000).and_then(Timestamp::from_micros).ok_or(LeafError::Unreadable)
    };
    let validity = leaf.validity();
    Ok(Validity {
        not_before: at(validity.not_before.timestamp())?,
        not_after: at(validity.not_after.timestamp())?,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};

    use super::*;

    #[test]
    fn only_a_certificate_for_the_name_and_the_key_is_taken() {
        let name = |text: &str| text.parse::<CertificateName>().expect("valid");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["*.example.com".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let chain = params.self_signed(&key).expect("signed").pem();
        let leaf = leaf_of(&chain).expect("readable");
        let public_key = key.subject_public_key_info();
        let validity = check(&leaf, &name("*.example.com"), &public_key).expect("fits");
        assert_eq!(validity.not_before.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(validity.not_after.to_string(), "2026-04-01T00:00:00Z");
        assert_eq!(check(&leaf, &name("go.example.com"), &public_key), Err(LeafError::OtherName));
        let other = KeyPair::generate().expect("a key").subject_public_key_info();
        assert_eq!(check(&leaf, &name("*.example.com"), &other), Err(LeafError::OtherKey));
        assert_eq!(leaf_of("rubbish"), Err(LeafError::Unreadable));
        assert_eq!(leaf_of(&"x".repeat(CHAIN_LEN_MAX + 1)), Err(LeafError::TooLong));
    }
}
