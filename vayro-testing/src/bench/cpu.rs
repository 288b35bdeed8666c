//! CPU time as the kernel accounts it.

/// Ticks per second of `/proc/<pid>/stat`; the kernel's `USER_HZ`, 100 on every Linux platform we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the CPU seconds that these processes, all their threads included, have used so far.
///
/// # Panics
///
/// When one of them is gone.
pub fn used(process_ids: &[u32]) -> f64 {
    process_ids.iter().map(|&id| used_by(id)).sum()
}

fn used_by(process_id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process_id}/stat")).expect("the process runs");
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th after it.
    let (_, after_name) = stat.rsplit_once(") ").expect("stat has a name in parentheses");
    let ticks: f64 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().expect("CPU times are numbers"))
        .sum();
    ticks / TICKS_PER_SECOND
}

/// Returns the processes whose parent is `process_id`.
pub fn children(process_id: u32) -> Vec<u32> {
    let path = format!("/proc/{process_id}/task/{process_id}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}
