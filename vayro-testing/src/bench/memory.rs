//! Memory as the kernel accounts it.

/// Bytes of a page on x86-64, and on arm64 as a rule.
const PAGE: f64 = 4096.0;

/// Returns the bytes of a process's own memory, without what is shared with files.
///
/// # Panics
///
/// When the process is gone.
pub fn own(process_id: u32) -> f64 {
    kib(&format!("/proc/{process_id}/status"), "RssAnon:")
}

/// Returns the bytes of a process's memory, with its share of what it has in common with others (PSS).
///
/// # Panics
///
/// When the process is gone.
pub fn proportional(process_id: u32) -> f64 {
    kib(&format!("/proc/{process_id}/smaps_rollup"), "Pss:")
}

/// Returns the bytes that the kernel has for its own objects on the whole machine, sockets and files among them.
///
/// # Panics
///
/// When the kernel does not tell.
pub fn kernel_objects() -> f64 {
    kib("/proc/meminfo", "Slab:")
}

/// Returns the bytes that wait in the buffers of all TCP sockets of the machine.
///
/// # Panics
///
/// When the kernel does not tell.
pub fn socket_buffers() -> f64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").expect("Linux has sockstat");
    pages_of_tcp(&text).expect("sockstat tells the pages of TCP") * PAGE
}

fn pages_of_tcp(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("TCP:"))?;
    line.split_once(" mem ")?.1.split(' ').next()?.parse().ok()
}

fn kib(path: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"));
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells it");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib * 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_tcp_are_found() {
        let text = "sockets: used 22\nTCP: inuse 4 orphan 0 tw 1 alloc 4 mem 127\nUDP: inuse 0 mem 3\n";
        assert_eq!(pages_of_tcp(text), Some(127.0));
    }
}
