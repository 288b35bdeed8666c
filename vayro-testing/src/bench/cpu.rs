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
    times(process_id, 2).expect("the process runs")
}

/// Sums the first `fields` of: own user and system time, those of ended children. `None` if it is gone.
fn times(process_id: u32, fields: usize) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process_id}/stat")).ok()?;
    // The name in parentheses may hold spaces; the four times begin with the 12th field after it.
    let (_, after_name) = stat.rsplit_once(") ").expect("stat has a name in parentheses");
    let ticks: f64 = after_name
        .split(' ')
        .skip(11)
        .take(fields)
        .map(|field| field.parse::<f64>().expect("CPU times are numbers"))
        .sum();
    Some(ticks / TICKS_PER_SECOND)
}

/// Returns the CPU seconds that a process and its children have used so far, those of children included that
/// have ended.
///
/// # Panics
///
/// When the process is gone.
pub fn used_by_tree(process_id: u32) -> f64 {
    let running: f64 = children(process_id).into_iter().filter_map(|child| times(child, 2)).sum();
    times(process_id, 4).expect("the process runs") + running
}

/// Returns the processes whose parent is `process_id`.
pub fn children(process_id: u32) -> Vec<u32> {
    let path = format!("/proc/{process_id}/task/{process_id}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}
