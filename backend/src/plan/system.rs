//! Memory as the system tells it.

fn status(field: &str) -> Option<usize> {
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?, field)
}

/// The value of a line `field:  123 kB`, in bytes.
fn kibibytes(text: &str, field: &str) -> Option<usize> {
    let line = text.lines().find(|line| line.starts_with(field))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? * 1024)
}

/// Memory that this process holds now; 0 where the system does not tell.
pub(super) fn resident() -> usize {
    status("VmRSS:").unwrap_or(0)
}

/// The most memory that this process has held, where the system tells.
#[must_use]
pub fn peak_memory() -> Option<usize> {
    status("VmHWM:")
}

/// Memory that could be had without swapping, where the system tells.
#[must_use]
pub fn available_memory() -> Option<usize> {
    kibibytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// Bytes for people.
#[must_use]
pub fn gigabytes(bytes: usize) -> String {
    const GIB: f64 = (1u64 << 30) as f64;
    let gib = bytes as f64 / GIB;
    if gib < 1.0 { format!("{:.0} MiB", 1024.0 * gib) } else { format!("{gib:.1} GiB") }
}
