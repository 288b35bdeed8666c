//! How the certificates are that the instance gets by itself.

use std::time::Duration;

use vayro_backends::Backends;
use vayro_backends::config::AcmeConfig;
use vayro_backends::vault::{OpenError, Vault, key_purpose};
use vayro_core::certificate::{CERTIFICATES_MAX, CertificateRecord, CertificateState};
use vayro_core::ports::StoreError;
use vayro_core::timestamp::Timestamp;

use super::{Finding, Verdict};
use crate::ui::text;

const CHECK: &str = "certificates";
/// A certificate that ends within this time should have been renewed.
const SOON: Duration = Duration::from_hours(7 * 24);

/// Says how many there are, which are missing or about to end, and whether `acme.key` opens them.
pub(super) async fn look(
    backends: &Backends,
    config: Option<&AcmeConfig>,
    listens_for_https: bool,
    now: Timestamp,
) -> Finding {
    let Some(config) = config else {
        return Finding::new(CHECK, Verdict::Note, "none are issued; `acme.enabled` turns that on");
    };
    let opens = match opens(backends, &config.vault).await {
        Ok(opens) => opens,
        Err(error) => return Finding::new(CHECK, Verdict::Failed, format!("they cannot be read: {error}")),
    };
    if let Err(error) = opens {
        let detail = format!("stored keys cannot be opened: {error}; the edges can serve none of them");
        return Finding::new(CHECK, Verdict::Failed, detail);
    }
    match backends.certificates.list(CERTIFICATES_MAX).await {
        Ok(records) => of(&records, listens_for_https, now),
        Err(error) => Finding::new(CHECK, Verdict::Failed, format!("they cannot be read: {error}")),
    }
}

/// Tries the key on one certificate, if there is one.
async fn opens(backends: &Backends, vault: &Vault) -> Result<Result<(), OpenError>, StoreError> {
    let names: Vec<_> = backends.served.versions(1).await?.into_iter().map(|(name, _)| name).collect();
    let certificates = backends.served.load(&names).await?;
    let tried = certificates.first().map(|one| vault.open(&key_purpose(&one.name), &one.sealed_key));
    Ok(tried.transpose().map(drop))
}

fn of(records: &[CertificateRecord], listens_for_https: bool, now: Timestamp) -> Finding {
    let of = |state| records.iter().filter(move |record| record.state(now) == state);
    let (issued, pending) = (of(CertificateState::Issued).count(), of(CertificateState::Pending).count());
    let mut verdict = Verdict::Ok;
    let mut said = vec![format!("{issued} issued, {pending} on their way")];
    let failed: Vec<&CertificateRecord> = of(CertificateState::Failed).collect();
    if let Some(first) = failed.first() {
        verdict = Verdict::Warning;
        let reason = first.failure.as_ref().map_or("", |failure| failure.reason.as_str());
        said.push(format!("{} missing, such as {}: {reason}", failed.len(), first.name));
    }
    let ends =
        of(CertificateState::Issued).filter_map(|record| Some((record.validity?.not_after, &record.name)));
    let first = ends.min();
    if let Some((not_after, name)) = first {
        let left = not_after.since(now);
        said.push(format!("the first to end is that of {name}, in {}", text::duration(left)));
        if left < SOON {
            verdict = Verdict::Warning;
        }
    }
    if !listens_for_https {
        said.push("no edge with these settings listens for HTTPS, see `edge.tls_listen`".to_owned());
    }
    Finding::new(CHECK, verdict, said.join("; "))
}

#[cfg(test)]
mod tests {
    use vayro_core::certificate::{Failure, Validity};

    use super::*;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_micros(days * 86_400_000_000).expect("in range")
    }

    fn record(name: &str, not_after: Option<i64>, failure: Option<&str>) -> CertificateRecord {
        CertificateRecord {
            name: name.parse().expect("valid"),
            validity: not_after.map(|not_after| Validity { not_before: at(0), not_after: at(not_after) }),
            renew_at: None,
            order: None,
            failure: failure.map(|reason| Failure { reason: reason.to_owned(), at: at(1), count: 1 }),
            due_at: at(1),
        }
    }

    #[test]
    fn what_is_missing_or_about_to_end_is_a_warning() {
        let sound = [record("a.example", Some(90), None), record("b.example", None, None)];
        let finding = of(&sound, true, at(1));
        assert_eq!(finding.verdict, Verdict::Ok);
        assert!(
            finding
                .detail
                .starts_with("1 issued, 1 on their way; the first to end is that of a.example, in 89 d")
        );
        assert!(of(&sound, false, at(1)).detail.contains("edge.tls_listen"));
        assert_eq!(of(&sound, true, at(84)).verdict, Verdict::Warning);
        let failed = of(&[record("c.example", None, Some("no address"))], true, at(1));
        assert_eq!(failed.verdict, Verdict::Warning);
        assert!(failed.detail.contains("1 missing, such as c.example: no address"), "{}", failed.detail);
    }
}
