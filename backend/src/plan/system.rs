//! Memory as the system tells it.

use std::path::Path;

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

/// Memory that this process could have in all without swapping, where the system tells; no more than a container or a service is allowed.
///
/// What it holds already is part of that, as it is of a [`Plan`](super::Plan): the system counts it as taken.
#[must_use]
pub fn available_memory() -> Option<usize> {
    let machine = kibibytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    // Version 2 of control groups has one line, of this form.
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let allowed = own.and_then(|own| left_of_limits(Path::new("/sys/fs/cgroup"), Path::new(own)));
    // What is read from files gives way, and is not counted as taken.
    let held = status("RssAnon:").unwrap_or(0);
    Some(allowed.map_or(machine, |allowed| machine.min(allowed)) + held)
}

/// Bytes that the limits of the control group `own` below `root`, and of those around it, still allow; none without a limit.
fn left_of_limits(root: &Path, own: &Path) -> Option<usize> {
    own.ancestors().filter_map(|group| left_of_limit(&root.join(group))).min()
}

fn left_of_limit(group: &Path) -> Option<usize> {
    let read = |file: &str| std::fs::read_to_string(group.join(file)).ok();
    // Without a limit it is the word `max`.
    let limit: usize = read("memory.max")?.trim().parse().ok()?;
    let used: usize = read("memory.current")?.trim().parse().ok()?;
    // Files that were read count as used, but give way to whoever needs the memory, as they do in `MemAvailable`.
    let details = read("memory.stat").unwrap_or_default();
    let files = details.lines().filter_map(|line| line.split_once(' '));
    let files = files.filter(|(field, _)| ["active_file", "inactive_file"].contains(field));
    let files: usize = files.filter_map(|(_, bytes)| bytes.trim().parse::<usize>().ok()).sum();
    Some(limit.saturating_sub(used.saturating_sub(files)))
}

/// Bytes for people.
#[must_use]
pub fn gigabytes(bytes: usize) -> String {
    const GIB: f64 = (1u64 << 30) as f64;
    let gib = bytes as f64 / GIB;
    if gib < 1.0 { format!("{:.0} MiB", 1024.0 * gib) } else { format!("{gib:.1} GiB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_of_the_limits_around_a_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = |path: &str, files: [(&str, &str); 3]| {
            let folder = root.path().join(path);
            std::fs::create_dir_all(&folder).unwrap();
            for (file, text) in files {
                std::fs::write(folder.join(file), text).unwrap();
            }
        };
        let left = |own: &str| left_of_limits(root.path(), Path::new(own));
        assert_eq!(left("system.slice/mudi.service"), None);
        let stat = "anon 50\nfile 900\ninactive_file 20\nactive_file 10\nslab 5\n";
        group("a", [("memory.max", "1000\n"), ("memory.current", "400\n"), ("memory.stat", stat)]);
        group("a/b", [("memory.max", "max\n"), ("memory.current", "300\n"), ("memory.stat", "")]);
        group("a/b/c", [("memory.max", "500\n"), ("memory.current", "200\n"), ("memory.stat", "")]);
        assert_eq!(left("a"), Some(630));
        assert_eq!(left("a/b"), Some(630));
        assert_eq!(left("a/b/c"), Some(300));
        // In a container its own limit lies at the root.
        group("", [("memory.max", "90\n"), ("memory.current", "100\n"), ("memory.stat", "")]);
        assert_eq!((left(""), left("a/b/c")), (Some(0), Some(0)));
    }
}
