//! Reads single values from a Prometheus text.

use std::sync::LazyLock;

/// Returns the sum of all samples of `name` on the admin listener at `port`; `None` while nobody answers
/// there or the metric is missing.
pub async fn find(port: u16, name: &str) -> Option<u64> {
    // Making a client reads certificates, which would show in what is measured.
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);
    let response = CLIENT.get(format!("http://127.0.0.1:{port}/metrics")).send().await.ok()?;
    sum(&response.text().await.ok()?, name)
}

/// Returns the sum of all samples of `name` on the admin listener at `port`.
///
/// # Panics
///
/// When nobody answers there or the metric is missing.
pub async fn read(port: u16, name: &str) -> u64 {
    let url = format!("http://127.0.0.1:{port}/metrics");
    let response = reqwest::get(&url).await.expect("the admin listener answers");
    let text = response.text().await.expect("metrics are text");
    sum(&text, name).unwrap_or_else(|| panic!("{url} has no {name}"))
}

fn sum(text: &str, name: &str) -> Option<u64> {
    let samples: Vec<f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(series, _)| series.split('{').next() == Some(name))
        .filter_map(|(_, value)| value.parse().ok())
        .collect();
    (!samples.is_empty()).then(|| samples.iter().sum::<f64>() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_are_summed() {
        let text = "# HELP a b\na{x=\"1\"} 2\na{x=\"2\"} 3\nab 7\n";
        assert_eq!(sum(text, "a"), Some(5));
        assert_eq!(sum(text, "c"), None);
    }
}
